"""A store that is asked again, for a moment, where it did not confirm what it was asked."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, cast

from dadm.domain.errors import StoreUnavailable
from dadm.ports.clock import Clock
from dadm.ports.store import ThreadStore

PAUSES_SECONDS = (0.1, 0.4, 1.6)
"""The waits before a call is repeated; short enough for one lease to last over them."""


def confirmed(store: ThreadStore, clock: Clock) -> ThreadStore:
    """Give `store` with every call repeated, after short waits, while it raises StoreUnavailable.

    An answer has been paid for, so a store that falters for a moment must not cost it; and a
    claim that was recorded without our knowing would keep its thread until the lease runs out.
    Repeating is safe by the store's contract: the same owner is given the same lease, a decision
    made under a fence is given again, and one whose lease was lost is refused.
    """
    return cast("ThreadStore", _Confirmed(store, clock))


class _Confirmed:
    def __init__(self, store: ThreadStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        ask: Callable[..., Awaitable[Any]] = getattr(self._store, name)

        @wraps(ask)
        async def ask_until_confirmed(*args: Any, **kwargs: Any) -> Any:
            for pause_seconds in PAUSES_SECONDS:
                try:
                    return await ask(*args, **kwargs)
                except StoreUnavailable:
                    await self._clock.sleep(pause_seconds)
            return await ask(*args, **kwargs)

        # Found at once from now on.
        setattr(self, name, ask_until_confirmed)
        return ask_until_confirmed

"""Settling: ends a turn durably, again where the store did not confirm it."""

from dadm.domain.errors import StoreUnavailable
from dadm.domain.turn import Turn, TurnRef
from dadm.ports.clock import Clock
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import Lease, Settlement

PAUSES_SECONDS = (0.1, 0.4, 1.6)
"""The waits before a settlement is repeated; short enough for one lease to last over them."""


class Settling:
    """Settles turns under their threads' leases.

    An answer has been paid for, so a store that falters for a moment must not cost it. Repeating
    is safe: a settlement made under the same fence is given again, and one that comes after the
    lease was lost is refused.
    """

    def __init__(self, store: ThreadStore, clock: Clock) -> None:
        """Settle in `store`."""
        self._store = store
        self._clock = clock

    async def settle(
        self, lease: Lease, turn: TurnRef, settlement: Settlement, *, keep_lease: bool = False
    ) -> Turn:
        """End the turn, and release the lease unless it is to be kept.

        Raises:
            StoreUnavailable: The store did not confirm, not even when asked again.
            ThreadConflict: The lease does not stand any more.
        """
        for pause_seconds in PAUSES_SECONDS:
            try:
                return await self._store.settle(lease, turn, settlement, keep_lease=keep_lease)
            except StoreUnavailable:
                await self._clock.sleep(pause_seconds)
        return await self._store.settle(lease, turn, settlement, keep_lease=keep_lease)

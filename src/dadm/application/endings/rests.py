"""Rests: backends, conversations and threads at which nothing is deleted for a while."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from dadm.application.back_off import BackOff
from dadm.application.world import World
from dadm.domain.errors import BackendError, BackendUnavailable, OutcomeUnknown
from dadm.domain.thread import BackendIdentity, ThreadRef
from dadm.ports.observer import DeletionTrouble

BACKEND_REST_SECONDS = 60.0
"""How long a backend that failed is left alone the first time."""

THREAD_REST_SECONDS = 480.0
"""How long that is for a conversation or a thread, of which there are others."""

LONGEST_REST_SECONDS = 3600.0
"""How long anything is left alone at most, unless a backend asks for more."""

Left: TypeAlias = BackendIdentity | ThreadRef | tuple[ThreadRef, int]
"""A backend, a thread, or one conversation of it by its number."""


@dataclass(slots=True, kw_only=True)
class _Rest:
    tries: int = 0
    until: float = 0.0


@dataclass(slots=True)
class Rests:
    """Who is left alone, and until when; others come first meanwhile."""

    world: World
    _rests: dict[Left, _Rest] = field(default_factory=dict)

    def count(self) -> int:
        """Give how many there are, those not counted that nobody has met for long."""
        long_ago = self.world.clock.monotonic() - 4 * LONGEST_REST_SECONDS
        for left in [left for left, rest in self._rests.items() if rest.until < long_ago]:
            self.end(left)
        return len(self._rests)

    def includes(self, left: Left) -> bool:
        """Whether it is still to be left alone."""
        rest = self._rests.get(left)
        return rest is not None and self.world.clock.monotonic() < rest.until

    def backends(self) -> frozenset[BackendIdentity]:
        """Give the backends that are still to be left alone."""
        return frozenset(
            left
            for left in self._rests
            if isinstance(left, BackendIdentity) and self.includes(left)
        )

    def begin(self, left: Left, error: BackendError | None = None) -> None:
        """Leave it alone, twice as long each time; tell of a backend the first time."""
        is_backend = isinstance(left, BackendIdentity)
        if isinstance(left, BackendIdentity) and error is not None and left not in self._rests:
            self._tell(left, error.message, is_over=False)
        rest = self._rests.setdefault(left, _Rest())
        rest.tries += 1
        back_off = BackOff(
            first_seconds=BACKEND_REST_SECONDS if is_backend else THREAD_REST_SECONDS,
            longest_seconds=LONGEST_REST_SECONDS,
            patience_seconds=0.0,
            fraction=self.world.identifiers.fraction,
        )
        asked_for: timedelta | None = None
        if isinstance(error, BackendUnavailable | OutcomeUnknown):
            asked_for = error.retry_after
        pause = back_off.pause(rest.tries, at_least=asked_for)
        rest.until = self.world.clock.monotonic() + pause

    def end(self, left: Left) -> None:
        """Leave it alone no more."""
        if self._rests.pop(left, None) is not None and isinstance(left, BackendIdentity):
            self._tell(left, "", is_over=True)

    def _tell(self, backend: BackendIdentity, reason: str, *, is_over: bool) -> None:
        self.world.observer.notify(
            DeletionTrouble(backend=backend.adapter, reason=reason, is_over=is_over)
        )

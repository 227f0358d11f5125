"""EndedThreads: threads that nobody comes back to, and what becomes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dadm.domain.thread import BackendIdentity, ThreadRef
from dadm.ports.store_values import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleScope:
    """A scope whose threads have not been used for long. `position` orders scopes."""

    position: int
    tenant: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleThread:
    """A thread that has not been used for long, and whose it is."""

    ref: ThreadRef
    tenant: str
    scope: str


class EndedThreads(Protocol):
    """Closing threads with their scope, clearing what is kept of closed ones elsewhere, parking.

    A closed thread is cleared once its conversations are gone at their backends; its transcript
    stays. `note_cleared` and `park` are decisions and compare owner and fence.
    """

    async def close_scope(self, *, engine: str, tenant: str, scope: str, reason: str = "") -> int:
        """Close the open and parked threads of a scope that has ended; give how many there were.

        Each gets an audit row with the reason. From then on no thread begins in this scope, where
        it had one or a turn before: asking for one raises ThreadClosed, also under the key of a
        thread that was erased.
        """
        ...

    async def open_scopes(self, *, engine: str, tenant: str, beginning: str) -> Sequence[str]:
        """Give the names of scopes within instances that begin so and have not ended, in order.

        `beginning` is what `domain.thread_scope.scopes_within` gives; none are within `""`.
        """
        ...

    async def threads_to_clear(
        self,
        identities: Sequence[BackendIdentity],
        *,
        closed_seconds: float,
        with_cleared: bool = False,
        limit: int = 100,
    ) -> Sequence[ThreadRef]:
        """Give threads that were closed at least so long ago and are not cleared, oldest end first.

        Only those all of whose conversations that are left are kept by these backends. With
        `with_cleared` also those that are cleared, after the others.
        """
        ...

    async def note_cleared(self, lease: Lease) -> None:
        """Record that nothing of a closed thread is left at its backends, with an audit row.

        Repeating changes nothing. A conversation that becomes known later lets the thread wait to
        be cleared again.

        Raises:
            ThreadConflict: The lease does not stand, the thread is not closed, or one of its
                generations is not erased yet.
        """
        ...

    async def idle_scopes(
        self, engine: str, *, idle_seconds: float, after: int = 0, limit: int = 500
    ) -> Sequence[IdleScope]:
        """Give scopes of an engine, behind a position, with open or parked threads that are idle.

        None of its threads had an answer, or was made, within that time. May cost a scan.
        """
        ...

    async def threads_to_park(
        self, engine: str, *, idle_seconds: float, after: ThreadRef | None = None, limit: int = 100
    ) -> Sequence[IdleThread]:
        """Give open threads of an engine, behind one of them, that have been idle for so long.

        In the order of their numbers. May cost a scan.
        """
        ...

    async def park(self, lease: Lease) -> None:
        """Park an open thread: its conversations are retired, and it heals on its next task.

        Repeating changes nothing.

        Raises:
            ThreadConflict: The lease does not stand, a turn is open, or the thread is neither open
                nor parked.
        """
        ...

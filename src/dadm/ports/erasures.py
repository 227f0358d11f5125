"""Erasures: how a thread's content leaves the store, and the receipt that stays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dadm.domain.thread import BackendIdentity, Generation, ThreadRef
from dadm.ports.backend import ErasureReport
from dadm.ports.store_values import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReceipt:
    """What was erased and what could not be reached; it holds ids and counts, no text.

    `begun_at` and `erased_at` are the store's times. `turns` counts those that were deleted,
    asked or not; `conversations` all that the thread ever had. `unreachable` names ids that a
    backend refused to delete. `unnamed_responses` counts attempts whose response id was never
    learned, whether or not their request arrived: the provider keeps those for its own term.
    """

    thread: ThreadRef
    begun_at: datetime
    erased_at: datetime
    turns: int
    conversations: int
    deleted_items: int
    deleted_responses: int
    unnamed_responses: int
    unreachable: tuple[str, ...]


class Erasures(Protocol):
    """Erasing threads and the conversations that are no longer in use.

    `begin_erasure` and `finish_erasure` are decisions and compare owner and fence;
    `note_erased` is a fact. A thread that is being erased is leased by `lease_known_thread`
    again when its eraser has died, and goes on from what was noted.
    """

    async def begin_erasure(self, lease: Lease) -> None:
        """Make the thread `erasing`: it takes no more turns. Repeating changes nothing.

        Raises:
            ThreadConflict: The lease does not stand, or a turn of the thread is open. Who began
                and lost the lease since gets this too.
        """
        ...

    async def response_ids(self, thread: ThreadRef) -> Mapping[int, Sequence[str]]:
        """Give the names of all runs that were ever recorded, by generation number.

        Generations without any are left out; none are left once the thread is erased.
        """
        ...

    async def note_erased(self, thread: ThreadRef, number: int, report: ErasureReport) -> None:
        """Record that a generation's conversation is gone at its backend: state `erased`.

        What the report counts is kept for the receipt. The first record of a generation stays.
        A live generation of a thread that is not being erased is left as it is, and a receipt
        that was written does not change.
        """
        ...

    async def finish_erasure(self, lease: Lease) -> ErasureReceipt:
        """Delete the thread's turns with their texts, make it `erased`, write its receipt, release.

        In one transaction. The thread's and its generations' rows stay as a tombstone without
        text; thread and turn keys are free for a new thread. What is learned of a conversation
        afterwards is recorded as retired (`note_conversation`). Repeating it with the lease that
        it released gives the same receipt.

        Raises:
            ThreadConflict: The lease does not stand, the thread is not being erased, or one of
                its generations is not erased yet.
        """
        ...

    async def receipt(self, thread: ThreadRef) -> ErasureReceipt | None:
        """Give the receipt of an erased thread."""
        ...

    async def retired(
        self, identities: Sequence[BackendIdentity], *, retired_seconds: float, limit: int = 100
    ) -> Sequence[Generation]:
        """Give retired conversations kept by these backends that wait for erasure, oldest first.

        Only those retired at least `retired_seconds` ago by the store's clock, since what is
        thought lost may still be on its way to them; who was retired first comes first.
        """
        ...

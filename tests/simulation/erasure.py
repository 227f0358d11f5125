"""Erasure: what must be left of a thread that was erased, which is its receipt."""

from collections.abc import Iterator

from dadm.domain.thread import GenerationState, ThreadState
from tests.simulation.seen import Seen, is_foreign
from tests.simulation.witness import ThreadSeen


def i8_nothing_is_left_but_the_receipt(seen: Seen) -> Iterator[str]:
    """I8: after erasure nothing of the thread is left, here or at the backend, but the receipt.

    Tolerated at the backend: what the receipt names as out of reach, as many runs as it counts
    whose names were never learned, and empty conversations: one that nobody got to know, or that
    was recorded only after the erasure, by a replica that had been paused while it opened it.
    """
    for thread in seen.threads:
        if (
            thread.thread.ref in seen.person.erased
            and thread.thread.state is not ThreadState.ERASED
        ):
            yield f"thread {thread.thread.ref} is {thread.thread.state.value}, not erased"
        if thread.thread.state is ThreadState.ERASED:
            yield from _left_here(seen, thread)
            yield from _left_at_backend(seen, thread)
            yield from _left_unknown(seen, thread)
    if seen.person.is_busy:
        yield "an erasure does not come to its end"


def _left_here(seen: Seen, thread: ThreadSeen) -> Iterator[str]:
    if thread.receipt is None:
        yield f"thread {thread.thread.ref} has no receipt"
    if thread.turns or thread.exchanges:
        yield f"thread {thread.thread.ref} still has turns"
    for generation in thread.generations:
        is_left = generation.state is not GenerationState.ERASED
        if is_left and not holds_nothing(seen, generation.conversation_id):
            yield f"{generation.conversation_id} is {generation.state.value}"


def _left_at_backend(seen: Seen, thread: ThreadSeen) -> Iterator[str]:
    known = {generation.conversation_id for generation in thread.generations}
    out_of_reach = thread.receipt.unreachable if thread.receipt else ()
    yield from (f"{name} is still there" for name in known if not holds_nothing(seen, name))
    if not seen.weather.keeps_conversations:
        return
    left = [
        call.run
        for call in seen.ledger.calls
        if call.conversation_id in known
        and not seen.runs[call.run].is_expired
        and call.run not in out_of_reach
    ]
    if thread.receipt and len(left) > thread.receipt.unnamed_responses:
        yield f"the runs {left} are still there; {thread.receipt.unnamed_responses} may be"


def _left_unknown(seen: Seen, thread: ThreadSeen) -> Iterator[str]:
    recorded = {each.conversation_id for other in seen.threads for each in other.generations}
    for name in seen.conversations:
        is_its_own = seen.ledger.opened[name] == thread.marker_key and name not in recorded
        if is_its_own and not holds_nothing(seen, name):
            yield f"{name}, which nobody knows, holds messages"


def holds_nothing(seen: Seen, conversation_id: str) -> bool:
    """Whether a conversation is gone, or holds nothing of ours."""
    conversation = seen.conversations.get(conversation_id)
    return conversation is None or all(is_foreign(each) for each in conversation.messages())

"""Clearing: what must be left of a thread whose instance ended a while ago, which is its transcript."""

from collections.abc import Iterator, Sequence

from dadm.domain.thread import GenerationState, ThreadState
from tests.simulation.erasure import holds_nothing
from tests.simulation.seen import Seen
from tests.simulation.witness import ThreadSeen


def left_to_clear(threads: Sequence[ThreadSeen]) -> int:
    """Count the closed threads that still have conversations."""
    return sum(
        thread.thread.state is ThreadState.CLOSED
        and any(each.state is not GenerationState.ERASED for each in thread.generations)
        for thread in threads
    )


def cleared_threads_leave_their_transcript_alone(seen: Seen) -> Iterator[str]:
    """Rule 12: a while after its end nothing of a closed thread is left at the backend.

    Tolerated: a conversation that is there and holds nothing of ours, and runs that no attempt
    got to know by name; where turns were asked again more often than once, those of each.
    """
    for thread in seen.threads:
        if thread.thread.state is not ThreadState.CLOSED:
            continue
        for generation in thread.generations:
            name = generation.conversation_id
            if generation.state is not GenerationState.ERASED:
                yield f"{name} of a closed thread is {generation.state.value}"
            elif not holds_nothing(seen, name):
                yield f"{name} of a cleared thread holds messages"
        if any(turn.state.is_open for turn in thread.turns):
            yield f"the closed thread {thread.thread.ref} has an open turn"

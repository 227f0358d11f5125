"""What a delivery of a task may claim: the rules that memory and SQLite judge it by."""

from dadm.domain.errors import (
    TaskContentChanged,
    TaskIdentityConflict,
    ThreadClosed,
    ThreadErased,
)
from dadm.domain.thread import ThreadState
from dadm.domain.turn import Turn, TurnState
from dadm.ports.store_values import ClaimRequest


def is_recorded(state: ThreadState, turn: Turn, request: ClaimRequest, *, waits: bool) -> bool:
    """Whether the turn has its end already, so that the delivery is given that.

    Args:
        state: That of the turn's thread.
        turn: The turn under the key that was asked for.
        request: The delivery.
        waits: Whether the turn is planned and its ticket alive.

    Raises:
        RequestError: The turn is not one that this delivery can be for, or take.
    """
    if state in {ThreadState.ERASING, ThreadState.ERASED}:
        raise ThreadErased
    refuse_another_task(turn, request)
    if not turn.state.is_settled:
        refuse_unusable(state)
    is_taken = waits or turn.state is not TurnState.PLANNED
    is_changed = turn.content_digest != request.content_digest
    if request.refuse_other_content and is_taken and is_changed:
        raise TaskContentChanged
    is_released = turn.state is TurnState.REFUSED and turn.is_reported and state.takes_turns
    return turn.state.is_settled and not is_released


def refuse_another_task(turn: Turn, request: ClaimRequest) -> None:
    """Let only deliveries of the recorded element and definition pass, as far as both are known.

    Raises:
        TaskIdentityConflict: It is another one.
    """
    for recorded, given in (
        (turn.element_id, request.element_id),
        (turn.process_definition, request.process_definition),
    ):
        if recorded and given and recorded != given:
            raise TaskIdentityConflict


def refuse_unusable(state: ThreadState) -> None:
    """Let only threads pass that take turns.

    Raises:
        ThreadClosed: It is closed.
        ThreadErased: It is being erased.
    """
    if state is ThreadState.CLOSED:
        raise ThreadClosed
    if not state.takes_turns:
        raise ThreadErased

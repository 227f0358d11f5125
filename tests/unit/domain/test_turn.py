"""A turn's states: which are open, which are ends, and what may follow what."""

from dadm.domain.turn import LEGAL_CHANGES, TurnState

OPEN = {TurnState.SUBMITTED, TurnState.UNKNOWN}
ENDS = {TurnState.COMPLETED, TurnState.REFUSED, TurnState.ABANDONED}


def test_every_state_is_planned_open_or_an_end() -> None:
    assert {state for state in TurnState if state.is_open} == OPEN
    assert {state for state in TurnState if state.is_settled} == ENDS
    assert set(TurnState) - OPEN - ENDS == {TurnState.PLANNED}


def test_every_state_says_what_may_follow() -> None:
    assert set(LEGAL_CHANGES) == set(TurnState)
    assert all(state not in following for state, following in LEGAL_CHANGES.items())


def test_completed_and_abandoned_never_change() -> None:
    assert not LEGAL_CHANGES[TurnState.COMPLETED]
    assert not LEGAL_CHANGES[TurnState.ABANDONED]


def test_only_an_open_turn_can_be_completed() -> None:
    before = {state for state, after in LEGAL_CHANGES.items() if TurnState.COMPLETED in after}

    assert before == OPEN


def test_open_turn_may_go_back_to_planned_and_a_refused_one_may_be_released() -> None:
    before = {state for state, after in LEGAL_CHANGES.items() if TurnState.PLANNED in after}

    assert before == OPEN | {TurnState.REFUSED}


def test_outcome_becomes_unknown_only_after_submission() -> None:
    before = {state for state, after in LEGAL_CHANGES.items() if TurnState.UNKNOWN in after}

    assert before == {TurnState.SUBMITTED}


def test_whatever_has_no_end_may_be_abandoned_by_a_person() -> None:
    before = {state for state, after in LEGAL_CHANGES.items() if TurnState.ABANDONED in after}

    assert before == {TurnState.PLANNED, *OPEN}

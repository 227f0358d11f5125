"""A transcript is looked at in itself: its numbers, its keys and its chain."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dadm.application.care.findings import FindingKind
from dadm.application.care.transcript_check import TranscriptCheck
from dadm.domain.chain import CHAIN_START, next_link
from dadm.domain.turn import Turn, TurnRef, TurnState
from tests.builders import make_thread, make_turn

COMPLETED = TurnState.COMPLETED
REFUSED = TurnState.REFUSED
UNKNOWN = TurnState.UNKNOWN


def turns_of(*states: TurnState, links_from: int = 1) -> list[Turn]:
    """Give turns in these states with their links, which turns before `links_from` do not have."""
    turns, link = [], CHAIN_START
    for sequence, state in enumerate(states, start=1):
        turn = make_turn(
            f"t{sequence}",
            ref=TurnRef(sequence),
            sequence=sequence,
            state=state,
            prompt=f"Question {sequence}?",
            answer="ok" if state is COMPLETED else None,
        )
        if state is COMPLETED and sequence >= links_from:
            link = next_link(link, sequence=sequence, prompt=turn.prompt, answer="ok")
            turn = replace(turn, link=link)
        turns.append(turn)
    return turns


def found_in(
    turns: Sequence[Turn], *, before: Sequence[Turn] = (), refusals: Sequence[int] = ()
) -> list[tuple[FindingKind, int | None]]:
    """Look at `turns` of a thread that was at the last of `before` when all was well with it."""
    links = [turn.link for turn in before or turns if turn.link]
    thread = make_thread(
        turn_count=max((turn.sequence for turn in before or turns), default=0),
        chain=links[-1] if links else CHAIN_START,
    )
    check = TranscriptCheck()
    for turn in turns:
        check.take(turn)
    check.end(thread, Counter(TurnRef(each) for each in refusals))
    return [(each.kind, each.sequence) for each in check.findings]


@pytest.mark.parametrize(
    "turns",
    [
        [],
        turns_of(COMPLETED, COMPLETED, COMPLETED),
        turns_of(COMPLETED, REFUSED, COMPLETED, TurnState.ABANDONED, COMPLETED, UNKNOWN),
        turns_of(COMPLETED, COMPLETED, COMPLETED, links_from=3),
        turns_of(COMPLETED, COMPLETED, links_from=9),
    ],
    ids=["empty", "completed", "of all kinds", "older than the chain", "all of it older"],
)
def test_a_whole_transcript_has_no_findings(turns: list[Turn]) -> None:
    assert found_in(turns, refusals=[2]) == []


def test_a_turn_that_is_gone_leaves_a_gap_and_a_broken_link() -> None:
    whole = turns_of(*[COMPLETED] * 5)

    assert found_in([*whole[:2], *whole[3:]], before=whole) == [
        (FindingKind.BROKEN_LINK, 4),
        (FindingKind.SEQUENCE_GAP, 3),
    ]


def test_turns_gone_at_the_end_leave_a_gap_and_another_head_of_the_chain() -> None:
    whole = turns_of(*[COMPLETED] * 5)

    assert found_in(whole[:3], before=whole) == [
        (FindingKind.SEQUENCE_GAP, 4),
        (FindingKind.CHAIN_HEAD_DIFFERS, None),
    ]


def test_numbers_of_refused_turns_that_were_asked_again_are_no_gap() -> None:
    whole = turns_of(COMPLETED, REFUSED, COMPLETED)

    assert found_in([whole[0], whole[2]], refusals=[2]) == []
    assert found_in([whole[0], whole[2]]) == [(FindingKind.SEQUENCE_GAP, 2)]


def test_a_turn_that_is_still_refused_explains_no_missing_number() -> None:
    whole = turns_of(COMPLETED, COMPLETED, REFUSED)

    assert found_in([whole[0], whole[2]], before=whole, refusals=[3])[0] == (
        FindingKind.SEQUENCE_GAP,
        2,
    )
    # But being refused a second time does.
    assert (FindingKind.SEQUENCE_GAP, 2) not in found_in([whole[0], whole[2]], refusals=[3, 3])


def test_numbers_missing_from_before_the_chain_are_taken_as_they_are() -> None:
    whole = turns_of(*[COMPLETED] * 4, links_from=4)

    assert found_in([whole[0], whole[2], whole[3]]) == []


@pytest.mark.parametrize("change", [{"prompt": "Another?"}, {"answer": "no"}, {"link": ""}])
def test_only_the_first_broken_link_is_told(change: dict[str, str]) -> None:
    turns = turns_of(*[COMPLETED] * 5)
    turns[2] = replace(turns[2], **change)  # type: ignore[arg-type]

    assert found_in(turns) == [(FindingKind.BROKEN_LINK, 3)]


def test_a_link_taken_from_the_beginning_does_not_pass_for_an_older_thread() -> None:
    turns = turns_of(*[COMPLETED] * 3)
    turns[0] = replace(turns[0], link="")

    assert found_in(turns) == [(FindingKind.BROKEN_LINK, 2)]


def test_another_turn_of_the_same_key_is_told() -> None:
    turns = turns_of(*[COMPLETED] * 3)
    turns[2] = replace(turns[2], key=turns[0].key)

    assert found_in(turns) == [(FindingKind.DUPLICATE_KEY, 3)]


def test_only_the_last_turn_may_be_open() -> None:
    assert found_in(turns_of(COMPLETED, UNKNOWN, COMPLETED)) == [
        (FindingKind.OPEN_TURN_NOT_LAST, 2)
    ]


def test_a_number_given_twice_is_told() -> None:
    turns = turns_of(COMPLETED, REFUSED, REFUSED)
    turns[2] = replace(turns[2], sequence=2)

    assert found_in(turns) == [(FindingKind.DUPLICATE_SEQUENCE, 2)]


def test_a_turn_behind_the_threads_own_count_is_told() -> None:
    turns = turns_of(COMPLETED, REFUSED)

    assert found_in(turns, before=turns[:1]) == [(FindingKind.SEQUENCE_GAP, 2)]

"""The demo's proof judges: each of its checks fails on evidence that does not bear it out."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dadm.domain.turn import Attempt, AttemptRef, Turn, TurnRef
from dadm.entrypoints.cli.demo.play import untimely_end
from dadm.entrypoints.cli.demo.proof import Evidence, checks, repeats
from dadm.entrypoints.cli.demo.scenes import SCENES
from tests.builders import make_generation, make_thread, make_turn

SCENE, OTHER = SCENES
THREAD = make_thread(turn_count=4, live=make_generation())
TURNS = tuple(
    make_turn(ref=TurnRef(number), sequence=number, prompt=f"question {number}", answer="advice")
    for number in range(1, 5)
)


def attempt(number: int) -> Attempt:
    return Attempt(
        ref=AttemptRef(number),
        turn=TurnRef(number),
        number=1,
        generation=1,
        item_before="",
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


GOOD = Evidence(
    scene=SCENE,
    at_the_kill=replace(THREAD, turn_count=2),
    thread=THREAD,
    turns=TURNS,
    attempts=tuple(attempt(number) for number in range(1, 5)),
    shown=(f"{SCENE.decision_owner} may spend {SCENE.budget}.", "question 4"),
    is_completed=True,
    recommendation="advice",
)


def with_last_prompt(prompt: str) -> tuple[Turn, ...]:
    return (*TURNS[:-1], replace(TURNS[-1], prompt=prompt))


def failing(evidence: Evidence) -> list[str]:
    return [check.claim for check in checks(evidence) if not check.holds]


def test_good_evidence_bears_every_claim_out() -> None:
    assert failing(GOOD) == []


@pytest.mark.parametrize(
    ("evidence", "claim"),
    [
        (replace(GOOD, shown=("question 4",)), "the last task was shown the owner and the budget"),
        (replace(GOOD, shown=()), "the last task was shown the owner and the budget"),
        (
            replace(GOOD, turns=with_last_prompt(f"Has {SCENE.decision_owner} decided?")),
            "its own prompt names neither",
        ),
        (
            replace(GOOD, shown=(*GOOD.shown, OTHER.budget)),
            "nothing of the other decision is among them",
        ),
        (
            replace(GOOD, at_the_kill=make_thread(turn_count=2, live=None)),
            "the thread id survived the kill",
        ),
        (replace(GOOD, thread=replace(THREAD, turn_count=3)), "the turns survived the kill"),
        (
            replace(GOOD, attempts=(*GOOD.attempts, attempt(5))),
            "every task was asked once",
        ),
        (replace(GOOD, is_completed=False), "the process has ended with the last answer"),
        (replace(GOOD, recommendation="else"), "the process has ended with the last answer"),
    ],
)
def test_evidence_that_does_not_bear_a_claim_out_fails_it(evidence: Evidence, claim: str) -> None:
    assert failing(evidence) == [claim]


def test_what_an_answer_repeats_is_told_fact_by_fact() -> None:
    said = repeats(f"{SCENE.decision_owner.upper()} decides.", SCENE)
    assert said == {SCENE.decision_owner: True, SCENE.budget: False}


def test_a_life_killed_by_somebody_else_is_told_as_that_and_not_blamed_on_its_messages() -> None:
    assert "signal 9" in untimely_end(-9)
    assert "messages above" not in untimely_end(-9)
    assert "messages above" in untimely_end(3)

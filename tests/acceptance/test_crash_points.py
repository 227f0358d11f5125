"""A replica may die at any of thirteen points: one question and one answer all the same, and at most one model call more."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pytest

from dadm.domain.thread import GenerationReason, GenerationState, ThreadState
from tests.acceptance.crashes import CREATED, GATE, SECONDS, Stage, assert_killed, heard_task
from tests.acceptance.evidence import Evidence, violations
from tests.acceptance.playing import Crash, after

pytestmark = pytest.mark.timeout(600)

TASKS = ("First", "Second", "Third")
LONG = tuple(f"Task{number:02}" for number in range(1, 14))
"""So many that at the gate, behind the eleventh, the thread has more messages than one chunk."""

AT_THE_GATE = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A thread before it was erased, what is left of it afterwards, and the receipt."""

    before: Evidence
    after: Evidence
    receipt: Any
    responses_left: list[str]


def names_of_runs(seen: Evidence) -> set[str]:
    return {each.response_id for attempts in seen.attempts for each in attempts} - {""}


def killed_at(failpoint: str) -> Crash:
    """Let three tasks run, be killed at the point, and run to the end."""

    def play(stage: Stage) -> Evidence:
        stage.begin(TASKS)
        stage.dies_at(failpoint)
        with stage.running() as program:
            stage.ends(program)
        return stage.evidence()

    return play


LetGo: TypeAlias = Literal["before the start", "once it is asked about", "at the end"]


def killed_while_held(let_go: LetGo, **fault: str | bool) -> Crash:
    """Have the simulator hold the second task's turn, be killed, and run to the end."""

    def play(stage: Stage) -> Evidence:
        stage.begin(("First", GATE, "Second", "Third"))
        with stage.running() as program:
            conversation = program.heard(CREATED, seconds=SECONDS)["conversation"]
            hold = stage.has_held(program, **fault)
            if fault["fault"] == "hold-run":
                stage.knows_the_run(seconds=SECONDS)
            program.kill()
        if let_go == "before the start":
            hold.let_go()
        with stage.running() as program:
            if let_go == "once it is asked about":
                hold.is_asked_about(seconds=SECONDS)
                hold.let_go()
            stage.ends(program)
        if let_go == "at the end":
            hold.let_arrive(conversation, seconds=SECONDS)
        return stage.evidence()

    return play


def killed_healing_at(failpoint: str) -> Crash:
    """Lose the conversation of a long thread, be killed while it heals, and run to the end."""

    def play(stage: Stage) -> Evidence:
        stage.begin((*LONG[:AT_THE_GATE], GATE, *LONG[AT_THE_GATE:]))
        with stage.running(failpoint=failpoint) as program:
            heard_task(program, LONG[AT_THE_GATE - 1])
            created = program.heard(CREATED, seconds=SECONDS)
            stage.simulator.delete_conversation(created["conversation"])
            stage.pass_gate()
            assert_killed(program)
        with stage.running() as program:
            stage.ends(program)
        return stage.evidence()

    return play


def killed_erasing_at(failpoint: str) -> Crash:
    """Rebuild and end a thread, be killed while it is erased, and erase it again."""

    def play(stage: Stage) -> Erasure:
        stage.begin(("First", GATE, "Second", "Third"))
        with stage.running() as program:
            created = program.heard(CREATED, seconds=SECONDS)
            heard_task(program, "First")
            stage.simulator.delete_conversation(created["conversation"])
            stage.pass_gate()
            stage.ends(program)
        before = stage.evidence()
        erase = ("threads", "erase", before.live.conversation_id, "--yes", "--json", "--wait", "60")
        # Longer than others: its backend is loaded under the lease, which takes its time.
        lease = {"DADM_TURNS__LEASE_SECONDS": "25"}
        with stage.program(*erase, failpoint=failpoint, **lease) as killed:
            assert_killed(killed)
        with stage.program(*erase, **lease) as again:
            assert again.wait(seconds=SECONDS) == 0, again.stderr
        return Erasure(
            before=before,
            after=stage.evidence(),
            receipt=json.loads("\n".join(again.stdout)),
            responses_left=[each for each in names_of_runs(before) if stage.simulator.has(each)],
        )

    return play


FIRST, FENCED, LOST = GenerationReason.FIRST, GenerationReason.FENCED, GenerationReason.LOST


LIVE, RETIRED = GenerationState.LIVE, GenerationState.RETIRED


def asked_once(elements: Sequence[str] = TASKS) -> Counter[str]:
    """Count one model call for each task."""
    return Counter(elements)


def reasons(seen: Evidence) -> list[GenerationReason]:
    return [each.reason for each in seen.generations]


def attempts(seen: Evidence) -> list[int]:
    return [len(each) for each in seen.attempts]


def copied(seen: Evidence) -> list[int]:
    """Give how many messages were copied into each conversation of the thread."""
    return [each.copied_messages for each in seen.generations]


@after(killed_at("store.claim:before:2"))
def test_1_killed_before_the_claim_asks_once(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == []


@after(killed_at("store.submit:before:1"))
def test_2_killed_claimed_and_not_submitted_asks_once(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == []


@after(killed_at("backend.take_turn:before:2"))
def test_3_killed_submitted_and_not_sent_fences_and_asks_once(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 2, 1]
    assert reasons(seen) == [FIRST, FENCED]
    assert seen.recovered == []


@after(killed_while_held("at the end", fault="hold-request", outlives_caller=True))
def test_4_killed_with_the_request_on_its_way_fences_and_one_call_is_wasted(
    seen: Evidence,
) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once() + Counter(["Second"])
    assert attempts(seen) == [1, 2, 1]
    assert reasons(seen) == [FIRST, FENCED]
    assert seen.recovered == []
    # The late one landed where nobody reads.
    assert len(seen.kept(seen.generations[0]) or ()) == 4


@after(killed_while_held("once it is asked about", fault="hold-run"))
def test_4_killed_while_the_backend_answers_waits_for_the_answer(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == ["Second"]


@after(killed_while_held("before the start", fault="hold-reply"))
def test_5_killed_with_the_answer_appended_and_nothing_received_finds_it(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == ["Second"]


@after(killed_at("store.note_response:after:2"))
def test_6_killed_with_the_name_of_the_run_fetches_its_answer(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == ["Second"]


@after(killed_at("store.settle:before:2"))
def test_7_killed_with_the_answer_and_not_settled_fetches_it(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == ["Second"]


@after(killed_at("engine.complete:before:2"))
def test_8_killed_settled_and_the_engine_not_told_replays_the_answer(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert seen.recovered == []
    assert [turn.is_reported for turn in seen.turns] == [True, True, True]


@after(killed_at("engine.complete:after:2"))
def test_9_killed_with_the_engine_told_and_not_marked_goes_on(seen: Evidence) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == asked_once()
    assert attempts(seen) == [1, 1, 1]
    assert reasons(seen) == [FIRST]
    assert [turn.is_reported for turn in seen.turns] == [True, False, True]


@after(killed_healing_at("store.note_conversation:before:2"))
def test_10_killed_with_a_conversation_opened_and_not_recorded_leaves_it_empty(
    seen: Evidence,
) -> None:
    assert violations(seen, LONG) == []
    assert seen.asked == asked_once(LONG)
    assert attempts(seen) == [1] * 11 + [3, 1]
    assert reasons(seen) == [FIRST, LOST]
    assert copied(seen) == [0, 22]
    (left_behind,) = set(seen.remote.of(seen.scope)) - {seen.live.conversation_id}
    assert seen.remote.conversations[left_behind] == ()


@after(killed_healing_at("store.note_copied:after:1"))
def test_11_killed_with_half_the_memory_copied_queues_it_for_erasure(seen: Evidence) -> None:
    assert violations(seen, LONG) == []
    assert seen.asked == asked_once(LONG)
    assert attempts(seen) == [1] * 11 + [3, 1]
    assert reasons(seen) == [FIRST, LOST, LOST]
    assert copied(seen) == [0, 20, 22]
    assert [each.state for each in seen.generations] == [RETIRED, RETIRED, LIVE]


@after(killed_healing_at("store.make_live:before:2"))
def test_12_killed_with_the_memory_whole_and_not_yet_live_queues_it_for_erasure(
    seen: Evidence,
) -> None:
    assert violations(seen, LONG) == []
    assert seen.asked == asked_once(LONG)
    assert attempts(seen) == [1] * 11 + [3, 1]
    assert reasons(seen) == [FIRST, LOST, LOST]
    assert copied(seen) == [0, 22, 22]
    assert [each.state for each in seen.generations] == [RETIRED, RETIRED, LIVE]


def assert_erased(seen: Erasure) -> None:
    """Find nothing left but a receipt, which names nothing as left."""
    assert violations(seen.before, TASKS) == []
    assert len(names_of_runs(seen.before)) == len(TASKS)
    assert seen.after.thread.state is ThreadState.ERASED
    assert seen.after.turns == ()
    assert {each.state for each in seen.after.generations} == {GenerationState.ERASED}
    assert seen.after.remote.of(seen.before.scope) == []
    assert seen.responses_left == []
    assert (seen.receipt["turns"], seen.receipt["conversations"]) == (3, 2)
    assert seen.receipt["unreachable"] == []


@after(killed_erasing_at("backend.erase:before:2"))
def test_13_killed_with_half_the_conversations_erased_goes_on_with_the_rest(
    seen: Erasure,
) -> None:
    assert_erased(seen)


@after(killed_erasing_at("backend.erase:after:2"))
def test_13_killed_with_a_conversation_deleted_and_not_noted_takes_it_for_deleted(
    seen: Erasure,
) -> None:
    assert_erased(seen)


@after(killed_erasing_at("store.finish_erasure:before:1"))
def test_13_killed_with_all_deleted_there_and_nothing_here_deletes_it_here(
    seen: Erasure,
) -> None:
    assert_erased(seen)

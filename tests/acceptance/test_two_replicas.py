"""Two programs on one database: what one leaves in the middle, another brings to its end."""

import os
import signal
import socket
from collections import Counter

import pytest

from tests.acceptance.crashes import SECONDS, Stage, assert_killed
from tests.acceptance.evidence import Evidence, violations
from tests.acceptance.playing import after

pytestmark = pytest.mark.timeout(600)

TASKS = ("First", "Second", "Third")
INSTANCES = 4


def killed_with_all_in_hand(stage: Stage) -> tuple[Evidence, ...]:
    """Have one replica killed that has the tasks of all instances, beside one that has none."""
    with (
        stage.running() as survivor,
        stage.running(failpoint=f"store.note_response:after:{INSTANCES + 1}") as doomed,
    ):
        for program in (survivor, doomed):
            program.heard("DADM .* runs engine", seconds=SECONDS)
        # It stands still meanwhile, so that the other one has all tasks in hand when it dies.
        os.kill(survivor.pid, signal.SIGSTOP)
        for _ in range(INSTANCES):
            stage.begin(TASKS)
        assert_killed(doomed)
        os.kill(survivor.pid, signal.SIGCONT)
        survivor.heard(r"action=threads_closed", times=INSTANCES, seconds=SECONDS)
        survivor.terminate()
        assert survivor.wait(seconds=SECONDS) == 0
    return stage.all_evidence()


@after(killed_with_all_in_hand)
def test_what_a_killed_replica_had_in_hand_is_taken_over_by_one_that_runs(
    seen: tuple[Evidence, ...],
) -> None:
    assert [violations(each, TASKS) for each in seen] == [[]] * INSTANCES
    assert [each.asked for each in seen] == [Counter(TASKS)] * INSTANCES
    assert sum(len(each.recovered) for each in seen) >= 1


def stands_still_in_mid_turn(stage: Stage) -> Evidence:
    """Have one replica stand still beyond its lease, and go on when another has done its work."""
    with stage.turn_under_way() as (paused, hold):
        os.kill(paused.pid, signal.SIGSTOP)
        with stage.running() as other:
            hold.is_asked_about(seconds=SECONDS)
            hold.let_go()
            other.heard(r"action=threads_closed", seconds=SECONDS)
            os.kill(paused.pid, signal.SIGCONT)
            paused.heard(r"action=report_lost", seconds=SECONDS)
            for program in (paused, other):
                program.terminate()
                assert program.wait(seconds=SECONDS) == 0
    return stage.evidence()


@after(stands_still_in_mid_turn)
def test_a_replica_that_stood_still_beyond_its_lease_decides_nothing_any_more(
    seen: Evidence,
) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == Counter(TASKS)
    assert seen.recovered == ["Second"]


def service_killed_in_mid_turn(stage: Stage) -> Evidence:
    """Have the service killed that a worker's tasks are answered by, and start it again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    stage.begin(TASKS)
    with (
        stage.program("serve", DADM_PORT=port, failpoint="store.settle:before:2") as killed,
        stage.program(
            "work",
            DADM_SERVICE_URL=f"http://127.0.0.1:{port}",
            # A service that is away costs no retry: with none to spend, any would be an incident.
            DADM_ENGINE__RETRIES="0",
        ) as worker,
    ):
        assert_killed(killed)
        with stage.program("serve", DADM_PORT=port):
            stage.ends(worker)
    return stage.evidence()


@after(service_killed_in_mid_turn)
def test_a_service_killed_in_mid_turn_finds_the_answer_when_its_worker_comes_again(
    seen: Evidence,
) -> None:
    assert violations(seen, TASKS) == []
    assert seen.asked == Counter(TASKS)
    assert seen.recovered == ["Second"]

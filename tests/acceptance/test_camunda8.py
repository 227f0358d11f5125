"""`dadm work` beside a real broker of Camunda 8: the shipped model runs there to its end."""

import signal
from pathlib import Path

import pytest

from tests.acceptance.command_line import EXAMPLES, CommandLine
from tests.acceptance.programs import Starting

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]

FACTS = {"decision": "chairs", "decision_owner": "Alice Moreno", "budget": "15,000 euros"}
TASKS = ["FrameDecision", "IdentifyAlternatives", "EvaluateAlternatives", "Recommend"]
MODEL = EXAMPLES / "decision_process_zeebe.bpmn"
SHORT_LEASES = {"DADM_TURNS__LEASE_SECONDS": "6", "DADM_ENGINE__LEASE_SECONDS": "3"}


@pytest.fixture
def dadm(camunda8_url: str, start: Starting, tmp_path: Path) -> CommandLine:
    """Give commands beside the engine, in a home of this test's own."""
    settings = {
        "DADM_BACKEND": "scripted",
        "DADM_ENGINE_URL": camunda8_url,
        "DADM_ENGINE__TOPICS": ",".join(TASKS),
    }
    return CommandLine(start=start, home=tmp_path, settings=settings)


def test_the_shipped_process_is_worked_to_its_end_on_one_thread(dadm: CommandLine) -> None:
    dadm.deploy(MODEL)
    instance = dadm.begin("decision_process_zeebe", FACTS)

    worker = dadm.stay("work")

    worker.heard("is completed", times=4, seconds=60)
    # The process's own listener tells its end, which is the engine's word that it came so far.
    worker.heard("action=threads_closed", seconds=30)
    thread = dadm.only_thread(instance)
    assert thread["engine"] == "camunda8"
    assert [turn["element_id"] for turn in thread["turns"]] == TASKS
    # The last task's prompt names neither: the thread remembers what the first was told.
    assert "Alice Moreno" in thread["turns"][-1]["answer"]
    assert "15,000 euros" in thread["turns"][-1]["answer"]
    worker.terminate()
    assert worker.wait() == 0


def test_a_check_says_what_answers_and_whose_tasks_are_worked(dadm: CommandLine) -> None:
    checked = dadm.document("check")

    (found,) = [each for each in checked["checks"] if each["what"] == "engine"]
    assert found["ok"]
    assert "its version is 8.6.0" in found["detail"]
    assert ", ".join(sorted(TASKS)) in found["detail"]


def test_without_job_types_it_is_said_what_to_set(dadm: CommandLine) -> None:
    del dadm.settings["DADM_ENGINE__TOPICS"]

    refused = dadm("check")

    assert refused.code != 0
    assert "DADM_ENGINE__TOPICS" in refused.out + refused.err


def test_a_replica_killed_in_the_middle_of_a_turn_loses_and_doubles_nothing(
    dadm: CommandLine,
) -> None:
    dadm.script({"alternative": {"answer": "Stools.", "seconds": 2.0}, "": "Yes."})
    dadm.deploy(MODEL)
    instance = dadm.begin("decision_process_zeebe", FACTS)
    first = dadm.stay("work", **SHORT_LEASES)
    first.heard("Asking turn 2")
    second = dadm.stay("work", **SHORT_LEASES)

    first.kill()

    assert first.wait() == -signal.SIGKILL
    second.heard("is completed", times=3, seconds=60)
    second.heard("action=threads_closed", seconds=60)
    thread = dadm.only_thread(instance)
    assert [turn["element_id"] for turn in thread["turns"]] == TASKS
    assert {turn["state"] for turn in thread["turns"]} == {"completed"}
    assert thread["turns"][1]["answer"] == "Stools."

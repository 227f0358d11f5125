"""`dadm work` beside a real broker of Camunda 8: the shipped model runs there to its end."""

from pathlib import Path

import pytest

from tests.acceptance.command_line import EXAMPLES, CommandLine
from tests.acceptance.programs import Starting
from tests.engines.broker_records import BrokerRecords

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]

FACTS = {"decision": "chairs", "decision_owner": "Alice Moreno", "budget": "15,000 euros"}
TASKS = ["FrameDecision", "IdentifyAlternatives", "EvaluateAlternatives", "Recommend"]
MODEL = EXAMPLES / "decision_process_zeebe.bpmn"


@pytest.fixture
def dadm(camunda8_url: str, start: Starting, tmp_path: Path) -> CommandLine:
    """Give commands beside the engine, in a home of this test's own."""
    settings = {
        "DADM_BACKEND": "scripted",
        "DADM_ENGINE_URL": camunda8_url,
        "DADM_ENGINE__TOPICS": ",".join(TASKS),
    }
    return CommandLine(start=start, home=tmp_path, settings=settings)


def test_the_shipped_process_is_worked_to_its_end_on_one_thread(
    dadm: CommandLine, camunda8_records: BrokerRecords
) -> None:
    dadm.deploy(MODEL)
    instance = dadm.begin("decision_process_zeebe", FACTS)

    worker = dadm.stay("work")

    worker.heard("is completed", times=4, seconds=60)
    # The process's own listener tells its end, and stands still until it is heard.
    worker.heard("action=threads_closed", seconds=30)
    camunda8_records.wait_for_state(instance, "COMPLETED")
    thread = dadm.only_thread(instance)
    assert thread["engine"] == "camunda8"
    assert [turn["element_id"] for turn in thread["turns"]] == TASKS
    # The last task's prompt names neither: the thread remembers what the first was told.
    assert "Alice Moreno" in thread["turns"][-1]["answer"]
    assert "15,000 euros" in thread["turns"][-1]["answer"]
    told = camunda8_records.variables(instance)
    answers = {turn["element_id"]: turn["answer"] for turn in thread["turns"]}
    assert {name: told[f"{name}_result"] for name in TASKS} == answers
    assert told["recommendation"] == answers["Recommend"]
    assert not camunda8_records.incidents(instance)
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

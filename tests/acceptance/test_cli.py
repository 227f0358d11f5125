"""`dadm` from outside: models are deployed, instances run to their end in another process, and all can be read."""

import json
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.command_line import DECISION, EXAMPLES, CommandLine
from tests.acceptance.programs import Starting

FACTS = {"decision": "chairs", "decision_owner": "Alice Moreno", "budget": "15,000 euros"}
TASKS = ["FrameDecision", "IdentifyAlternatives", "EvaluateAlternatives", "Recommend"]

MESSAGE_MODEL = """\
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"
             xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="d" targetNamespace="urn:d">
  <message id="offer" name="offer_received" />
  <process id="offer" isExecutable="true">
    <startEvent id="begin" />
    <intermediateCatchEvent id="AwaitOffer">
      <messageEventDefinition messageRef="offer" />
    </intermediateCatchEvent>
    <serviceTask id="JudgeOffer" camunda:type="external" camunda:topic="JudgeOffer">
      <documentation>Is ${price} a good price for ${thing}?</documentation>
      <extensionElements>
        <camunda:properties>
          <camunda:property name="service.type" value="assistant" />
        </camunda:properties>
      </extensionElements>
    </serviceTask>
    <endEvent id="end" />
    <sequenceFlow id="f1" sourceRef="begin" targetRef="AwaitOffer" />
    <sequenceFlow id="f2" sourceRef="AwaitOffer" targetRef="JudgeOffer" />
    <sequenceFlow id="f3" sourceRef="JudgeOffer" targetRef="end" />
  </process>
</definitions>
"""


@pytest.fixture
def dadm(start: Starting, tmp_path: Path) -> CommandLine:
    """Give commands in a home of this test's own, answered by an echo of what was told."""
    return CommandLine(start=start, home=tmp_path)


def test_a_decision_runs_to_its_end_in_another_process_and_can_be_read(
    dadm: CommandLine,
) -> None:
    program = dadm.run()
    program.heard("runs engine, orchestrator and OpenAI Service; listens at")
    deployed = dadm.document("deploy", DECISION)["definitions"]
    assert [(each["key"], each["version"]) for each in deployed] == [("decision_process", 1)]

    ended = dadm.document(
        "start",
        "decision_process",
        *(f"-v{name}={value}" for name, value in FACTS.items()),
        "--business-key",
        "chairs",
        "--wait",
    )

    instance = ended["process_instance_id"]
    assert (ended["state"], ended["business_key"]) == ("completed", "chairs")
    # The echo repeats what the thread was told, so the last answer shows what it remembers.
    assert "Alice Moreno" in ended["variables"]["recommendation"]
    assert set(ended["variables"]) >= {f"{task}_result" for task in TASKS}
    thread = dadm.only_thread(instance)
    assert [turn["element_id"] for turn in thread["turns"]] == TASKS
    assert [turn["sequence"] for turn in thread["turns"]] == [1, 2, 3, 4]
    assert [len(turn["attempt_list"]) for turn in thread["turns"]] == [1, 1, 1, 1]
    assert [each["state"] for each in thread["generations"]] == ["live"]
    assert "Alice Moreno" not in thread["turns"][-1]["prompt"]
    program.heard(f"Closed 1 threads for process {instance}")
    _read_as_people_do(dadm, instance, thread["thread_id"])
    program.terminate()
    assert program.wait() == 0
    assert (dadm.home / ".local/share/dadm/dadm.db").is_file()


def _read_as_people_do(dadm: CommandLine, instance: str, thread: str) -> None:
    listed = dadm("instances", "list").out.splitlines()
    assert listed[0].split() == [
        *("instance", "process", "business", "key", "state", "waiting", "at"),
        *("incidents", "started"),
    ]
    assert listed[1].split()[:4] == [instance, "decision_process", "chairs", "completed"]
    shown = dadm("instances", "show", instance).out
    assert thread in shown
    assert "Alice Moreno" in shown
    read = dadm("threads", "show", thread, "--last", "1").out
    assert "Turn 4: completed, reported" in read
    assert "Turn 3" not in read
    assert "\n  > Tell me the decision owner's name" in read
    assert "\n  < I was told: " in read


def test_instances_do_not_see_each_other_and_a_cancelled_one_is_left_alone(
    dadm: CommandLine,
) -> None:
    dadm.deploy()
    cancelled = dadm.begin("decision_process", FACTS | {"decision_owner": "Nobody"})
    assert dadm("instances", "cancel", cancelled).code == 0
    first = dadm.begin("decision_process", FACTS)
    second = dadm.begin("decision_process", FACTS | {"decision_owner": "Tom Becker"})
    program = dadm.run()
    program.heard("Closed 1 threads", times=2)

    said = {instance: dadm.document("instances", "show", instance) for instance in (first, second)}

    assert "Tom Becker" not in json.dumps(said[first])
    assert "Alice Moreno" not in json.dumps(said[second])
    assert "Tom Becker" in said[second]["variables"]["recommendation"]
    assert (
        dadm.document("instances", "list", "--state", "cancelled")["instances"][0]
        | {
            "process_instance_id": cancelled,
            "waiting_at": [],
        }
        == dadm.document("instances", "list", "--state", "cancelled")["instances"][0]
    )
    assert dadm.document("threads", "list", "--instance", cancelled) == {"threads": []}


def test_branches_an_error_path_a_person_and_a_timer_work_together(dadm: CommandLine) -> None:
    dadm.script({"costs": {"refuse": "No talk of money."}, "affects": "All.", "": "It costs much."})
    program = dadm.run()
    dadm.deploy(EXAMPLES / "parallel_review.bpmn")
    instance = dadm.begin("parallel_review", {"proposal": "a night bus", "costs": "9 euros"})
    program.heard("is bpmn_error: No talk of money")

    (task,) = dadm.document("tasks", "list")["tasks"]
    assert task["process_instance_id"] == instance
    assert task["element_id"] == "ReviewCostsByHand"
    done = dadm("tasks", "complete", task["task_id"], "-v", "costs_review=Cheap.")
    program.heard("Closed 2 threads")

    assert done.code == 0
    ended = dadm.document("instances", "show", instance)
    assert ended["state"] == "completed"
    assert ended["variables"]["costs_review"] == "Cheap."
    assert ended["variables"]["people_review"] == "All."
    assert len(ended["thread_ids"]) == 2
    assert dadm("tasks", "complete", task["task_id"]).code == 2


def test_a_model_for_camunda_8_runs(dadm: CommandLine) -> None:
    dadm.run()
    dadm.deploy(EXAMPLES / "supplier_review_zeebe.bpmn")

    ended = dadm.document(
        *("start", "supplier_review", "-v", "supplier=Nordholz", "-v", "order_value=90000"),
        "--wait",
    )

    assert ended["state"] == "completed"
    assert "Name one risk" in ended["variables"]["risk"]


def test_a_message_and_an_incident_that_a_changed_variable_ends(dadm: CommandLine) -> None:
    model = dadm.home / "offer.bpmn"
    model.write_text(MESSAGE_MODEL, "utf-8")
    dadm.deploy(model)
    dadm.script({"9000": {"refuse": "Too much."}, "": "Good."})
    program = dadm.run()
    nobody = dadm("message", "offer_received")
    instance = dadm.begin("offer", {"thing": "chairs"})
    taken = dadm("message", "offer_received", "--instance", instance, "-v", "price=9000")
    program.heard("is incident: Too much.")

    (incident,) = dadm.document("incidents", "list")["incidents"]
    (shown,) = dadm.document("instances", "show", instance)["incidents"]
    retried = dadm("incidents", "retry", incident["incident_id"], "-v", "price=12")
    program.heard("Closed 1 threads")

    assert (nobody.code, taken.code, retried.code) == (4, 0, 0)
    assert "No instance waits for a message called 'offer_received'" in nobody.err
    assert shown == incident
    assert (incident["element_id"], incident["process_instance_id"]) == ("JudgeOffer", instance)
    assert dadm.document("incidents", "list") == {"incidents": []}
    ended = dadm.document("instances", "show", instance)
    assert (ended["state"], ended["variables"]["recommendation"]) == ("completed", "Good.")


def test_waiting_for_an_instance_with_an_incident_ends_and_says_how_it_goes_on(
    dadm: CommandLine,
) -> None:
    dadm.script({"": {"refuse": "Not today."}})
    dadm.run()
    dadm.deploy()

    ended = dadm("start", "decision_process", "-v", "decision=x", "--wait")

    assert ended.code == 4
    assert "waits at FrameDecision" in ended.out
    assert "dadm incidents retry " in ended.err


def test_the_orchestrator_alone_passes_tasks_to_the_service_alone(dadm: CommandLine) -> None:
    service = dadm.stay("serve", "--port", "0", DADM_API_TOKENS="open-sesame")
    worker = dadm.stay("work", "--service-url", service.address, DADM_SERVICE_TOKEN="open-sesame")
    worker.heard("runs engine and orchestrator; assistant service at http")
    dadm.deploy()

    ended = dadm.document(
        *("start", "decision_process", "--wait"),
        *(f"-v{name}={value}" for name, value in FACTS.items()),
    )

    assert "Alice Moreno" in ended["variables"]["recommendation"]
    service.heard("Reusing existing thread", times=3)
    assert not any("Reusing existing thread" in line for line in worker.stderr)
    for program in (worker, service):
        program.terminate()
        assert program.wait() == 0
        assert not any("open-sesame" in line for line in program.stderr)


def test_the_orchestrator_alone_answers_in_its_own_process_without_a_service(
    dadm: CommandLine,
) -> None:
    worker = dadm.stay("work")
    dadm.deploy()

    ended = dadm.document(
        "start",
        "decision_process",
        "--wait",
        *(f"-v{name}={value}" for name, value in FACTS.items()),
    )

    assert ended["state"] == "completed"
    worker.heard("Reusing existing thread", times=3)
    worker.terminate()
    assert worker.wait() == 0


def test_what_http_callers_said_can_be_read_on_the_command_line(dadm: CommandLine) -> None:
    service = dadm.stay("serve", "--port", "0")
    with httpx2.Client(base_url=service.address, timeout=10) as client:
        reply = client.post(
            "/process_task",
            json={"task_description": "Who?", "process_instance_id": "p1", "task_id": "t1"},
        )
        metrics = client.get("/metrics").text

    assert reply.status_code == 200
    thread_id = reply.json()["result"]["thread_id"]
    shown = dadm.document("threads", "show", thread_id)
    (turn,) = shown["turns"]
    assert (shown["engine"], shown["process_instance_id"]) == ("http", "p1")
    assert (turn["prompt"], turn["answer"]) == ("Who?", reply.json()["result"]["recommendation"])
    assert 'dadm_turns_total{backend="scripted",result="completed"} 1.0' in metrics
    assert dadm.document("threads", "list", "--engine", "embedded") == {"threads": []}

"""`dadm` from outside: models are deployed, instances run to their end in another process, and all can be read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.command_line import EXAMPLES, CommandLine
from tests.acceptance.programs import Program, Starting

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


REFUSALS = {
    "It costs": {"refuse": "No talk of money."},
    "9000": {"refuse": "Too much."},
    "We must choose": {"refuse": "Not today."},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Commands beside a program that runs engine, orchestrator and service."""

    dadm: CommandLine
    program: Program


def in_folder(start: Starting, folder: Path) -> CommandLine:
    """Give commands on a database in `folder`, for the programs of a module share their home."""
    dadm = CommandLine(start=start, home=folder)
    dadm.settings["DADM_DATABASE_URL"] = f"sqlite:///{folder / 'dadm.db'}"
    return dadm


@pytest.fixture(scope="module")
def echoing(start_for_module: Starting, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """Have questions answered by an echo of what their thread was told."""
    dadm = in_folder(start_for_module, tmp_path_factory.mktemp("echoing"))
    program = dadm.run()
    program.heard("runs engine, orchestrator and OpenAI Service; listens at")
    dadm.deploy()
    return Running(dadm=dadm, program=program)


@pytest.fixture(scope="module")
def refusing(start_for_module: Starting, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """Have some questions refused, and the others answered well."""
    dadm = in_folder(start_for_module, tmp_path_factory.mktemp("refusing"))
    dadm.script(REFUSALS | {"": "Good."})
    return Running(dadm=dadm, program=dadm.run())


def given(variables: Mapping[str, str]) -> list[str]:
    return [f"-v{name}={value}" for name, value in variables.items()]


def test_a_decision_runs_to_its_end_in_another_process_and_can_be_read(echoing: Running) -> None:
    dadm = echoing.dadm

    ended = dadm.document(
        "start", "decision_process", *given(FACTS), "--business-key", "chairs", "--wait"
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
    echoing.program.heard(f"Closed 1 threads for process {instance}")
    read = dadm("threads", "show", thread["thread_id"], "--last", "1").out
    assert "Turn 4: completed, reported" in read
    assert "\n  > Tell me the decision owner's name" in read
    assert "\n  < I was told: " in read


def test_instances_do_not_see_each_other(echoing: Running) -> None:
    dadm = echoing.dadm
    first = dadm.begin("decision_process", FACTS)
    second = dadm.begin("decision_process", FACTS | {"decision_owner": "Tom Becker"})
    for instance in (first, second):
        echoing.program.heard(f"Closed 1 threads for process {instance}")

    of_first = dadm.document("instances", "show", first)
    of_second = dadm.document("instances", "show", second)

    assert "Tom Becker" not in json.dumps(of_first)
    assert "Alice Moreno" not in json.dumps(of_second)
    assert "Tom Becker" in of_second["variables"]["recommendation"]
    assert of_first["thread_ids"] != of_second["thread_ids"]


def test_a_model_for_camunda_8_runs(echoing: Running) -> None:
    echoing.dadm.deploy(EXAMPLES / "supplier_review_zeebe.bpmn")
    variables = {"supplier": "Nordholz", "order_value": "90000"}

    ended = echoing.dadm.document("start", "supplier_review", *given(variables), "--wait")

    assert ended["state"] == "completed"
    assert "Name one risk" in ended["variables"]["risk"]


def test_branches_an_error_path_a_person_and_a_timer_work_together(refusing: Running) -> None:
    dadm = refusing.dadm
    dadm.deploy(EXAMPLES / "parallel_review.bpmn")
    instance = dadm.begin("parallel_review", {"proposal": "a night bus", "costs": "9 euros"})
    refusing.program.heard(f"is bpmn_error: No talk of money.*{instance}")

    (task,) = dadm.document("tasks", "list")["tasks"]
    done = dadm("tasks", "complete", task["task_id"], "-v", "costs_review=Cheap.")
    refusing.program.heard(f"Closed 2 threads for process {instance}")

    assert done.code == 0
    assert task["process_instance_id"] == instance
    assert task["element_id"] == "ReviewCostsByHand"
    ended = dadm.document("instances", "show", instance)
    assert ended["state"] == "completed"
    assert ended["variables"]["costs_review"] == "Cheap."
    assert ended["variables"]["people_review"] == "Good."
    assert len(ended["thread_ids"]) == 2


def test_a_message_and_an_incident_that_a_changed_variable_ends(refusing: Running) -> None:
    dadm = refusing.dadm
    model = dadm.home / "offer.bpmn"
    model.write_text(MESSAGE_MODEL, "utf-8")
    dadm.deploy(model)
    instance = dadm.begin("offer", {"thing": "chairs"})
    taken = dadm("message", "offer_received", "--instance", instance, "-v", "price=9000")
    refusing.program.heard(f"is incident: Too much.*{instance}")

    (shown,) = dadm.document("instances", "show", instance)["incidents"]
    retried = dadm("incidents", "retry", shown["incident_id"], "-v", "price=12")
    refusing.program.heard(f"Closed 1 threads for process {instance}")

    assert (taken.code, retried.code) == (0, 0)
    assert (shown["element_id"], shown["message"]) == ("JudgeOffer", "Too much.")
    ended = dadm.document("instances", "show", instance)
    assert ended["incidents"] == []
    assert (ended["state"], ended["variables"]["recommendation"]) == ("completed", "Good.")


def test_waiting_for_an_instance_with_an_incident_ends_and_says_how_it_goes_on(
    refusing: Running,
) -> None:
    refusing.dadm.deploy()

    ended = refusing.dadm("start", "decision_process", *given(FACTS), "--wait")

    assert ended.code == 4
    assert "waits at FrameDecision" in ended.out
    (incident,) = refusing.dadm.document("incidents", "list")["incidents"]
    assert ended.err == (
        "Error: FrameDecision: Not today. Mend the cause, then: "
        f"dadm incidents retry {incident['incident_id']}"
    )


def test_the_orchestrator_alone_passes_tasks_to_the_service_alone(
    start: Starting, tmp_path: Path
) -> None:
    dadm = CommandLine(start=start, home=tmp_path)
    service = dadm.stay("serve", "--port", "0", DADM_API_TOKENS="open-sesame")
    worker = dadm.stay("work", "--service-url", service.address, DADM_SERVICE_TOKEN="open-sesame")
    worker.heard("runs engine and orchestrator; assistant service at http")
    dadm.deploy()

    ended = dadm.document("start", "decision_process", *given(FACTS), "--wait")

    assert "Alice Moreno" in ended["variables"]["recommendation"]
    service.heard("Reusing existing thread", times=3)
    assert not any("Reusing existing thread" in line for line in worker.stderr)
    assert (tmp_path / ".local/share/dadm/dadm.db").is_file()
    for program in (worker, service):
        program.terminate()
        assert program.wait() == 0
        assert not any("open-sesame" in line for line in program.stderr)


def test_what_http_callers_said_can_be_read_on_the_command_line(echoing: Running) -> None:
    with httpx2.Client(base_url=echoing.program.address, timeout=10) as client:
        reply = client.post(
            "/process_task",
            json={"task_description": "Who?", "process_instance_id": "p1", "task_id": "t1"},
        )
        metrics = client.get("/metrics").text
        status = client.get("/status").json()

    assert reply.status_code == 200
    thread_id = reply.json()["result"]["thread_id"]
    shown = echoing.dadm.document("threads", "show", thread_id)
    (turn,) = shown["turns"]
    assert (shown["engine"], shown["process_instance_id"]) == ("http", "p1")
    assert (turn["prompt"], turn["answer"]) == ("Who?", reply.json()["result"]["recommendation"])
    assert 'dadm_turns_total{backend="scripted",result="completed"}' in metrics
    assert status["engines"] == ["http", "embedded"]

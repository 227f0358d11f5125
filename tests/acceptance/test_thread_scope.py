"""`dadm` from outside: called processes, multiple instances and business keys share what models say."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command_line import CommandLine
from tests.acceptance.programs import Program, Starting
from tests.adapters.engines.bpmn import (
    definitions,
    end,
    extended,
    flows,
    instances,
    node,
    process,
    properties,
    start,
    task,
)

HAND_ON = extended("<camunda:in businessKey='#{execution.processBusinessKey}'/>")


def ask(element_id: str, prompt: str, *, scope: str = "", more: str = "") -> str:
    """Write an AI task that is shown no variables but those its prompt names."""
    settings = {"service__type": "assistant", "variables": "none"}
    if scope:
        settings["thread__scope"] = scope
    said = f"<bpmn:documentation>{prompt}</bpmn:documentation>"
    return task(element_id, said + extended(properties(**settings)) + more)


# The called process sets a scope for its tasks, and some of them another.
MODEL = definitions(
    process(
        start(),
        ask("Frame", "The owner is ${owner}."),
        node("callActivity", "Review", HAND_ON, "calledElement='review'"),
        ask("Sum", "Sum up."),
        end(),
        flows("s > Frame > Review > Sum > e"),
        key="order",
    ),
    process(
        extended(properties(thread__scope="element")),
        start("s2"),
        ask("Judge", "Judge it.", scope="root-instance"),
        ask("Case", "What is this case about?", scope="business-key"),
        ask("Each", "Look at one.", scope="element-instance", more=instances(count="3")),
        ask("Kept", "Look at another.", more=instances(count="3")),
        ask("Own", "What do you know?", scope="process-instance"),
        end("e2"),
        flows("s2 > Judge > Case > Each > Kept > Own > e2"),
        key="review",
    ),
)


@pytest.fixture
def dadm(start: Starting, tmp_path: Path) -> CommandLine:
    commands = CommandLine(start=start, home=tmp_path)
    commands.settings["DADM_DATABASE_URL"] = f"sqlite:///{tmp_path / 'dadm.db'}"
    return commands


def threads(dadm: CommandLine) -> dict[str, Any]:
    """Read all threads with their turns, by scope."""
    listed = dadm.document("threads", "list")["threads"]
    whole = [dadm.document("threads", "show", each["last_id"]) for each in listed]
    return {each["scope"]: each for each in whole}


def elements(thread: Any) -> list[str]:
    return [turn["element_id"] for turn in thread["turns"]]


def run_to_its_end(dadm: CommandLine, program: Program, owner: str) -> str:
    """Run an order, wait until its threads are closed, and give its id."""
    ended = dadm.document("start", "order", f"-vowner={owner}", "--business-key=case-7", "--wait")
    assert ended["state"] == "completed"
    root: str = ended["process_instance_id"]
    program.heard(f"Closed 1 threads for process {root}")
    return root


def test_what_a_model_says_is_what_its_tasks_share(dadm: CommandLine, tmp_path: Path) -> None:
    model = tmp_path / "model.bpmn"
    model.write_bytes(MODEL)
    program = dadm.run()
    program.heard("runs engine, orchestrator and OpenAI Service; listens at")
    dadm.deploy(model)

    root = run_to_its_end(dadm, program, "Alice Moreno")

    found = threads(dadm)
    # The caller's thread is that of the called task which asks for the root.
    assert elements(found[root]) == ["Frame", "Judge", "Sum"]
    assert "Alice Moreno" in found[root]["turns"][1]["answer"]
    (called,) = {each["process_instance_id"] for each in found.values()} - {root, None}
    assert elements(found[called]) == ["Own"]
    assert "Alice Moreno" not in found[called]["turns"][0]["answer"]
    # Three that are apart, and three that remember each other.
    apart = [each for scope, each in found.items() if scope.startswith(f"element:{called}:Each:")]
    assert [elements(each) for each in apart] == [["Each"]] * 3
    assert elements(found[f"element:{called}:Kept"]) == ["Kept"] * 3
    assert elements(found["business-key:case-7"]) == ["Case"]
    assert len(found) == 7

    assert {each["state"] for scope, each in found.items() if called in scope} == {"closed"}
    assert found[root]["state"] == "closed"
    assert found["business-key:case-7"]["state"] == "open"
    assert found["business-key:case-7"]["process_instance_id"] is None
    listed = dadm.document("threads", "list", "--instance", called)["threads"]
    assert {each["scope"] for each in listed} == {scope for scope in found if called in scope}


def test_a_business_key_that_returns_finds_its_thread(dadm: CommandLine, tmp_path: Path) -> None:
    model = tmp_path / "model.bpmn"
    model.write_bytes(MODEL)
    program = dadm.run()
    dadm.deploy(model)
    first = run_to_its_end(dadm, program, "Alice Moreno")
    second = run_to_its_end(dadm, program, "Tom Becker")

    found = threads(dadm)

    assert elements(found["business-key:case-7"]) == ["Case", "Case"]
    assert "Alice" not in str(found[second]["turns"])
    assert "Tom" not in str(found[first]["turns"])
    # Without a key the task waits for a person, and no thread is taken for it.
    stuck = dadm.begin("review", {})
    program.heard("no business key")
    (incident,) = [
        each
        for each in dadm.document("incidents", "list")["incidents"]
        if each["process_instance_id"] == stuck
    ]
    assert incident["element_id"] == "Case"
    assert "Start instances with one" in incident["message"]

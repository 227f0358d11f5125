"""`dadm` from outside: called processes, multiple instances and business keys share what models say."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
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
from tests.engines.rest_engine import RestEngine

# Each command is a program of its own.
pytestmark = pytest.mark.timeout(300)

KEY = "business-key:case-7"
TURNS = 11
SECONDS = 120.0
KEPT = "camunda:historyTimeToLive='1'"
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
        attributes=KEPT,
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
        attributes=KEPT,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An engine with the model, and commands beside it."""

    dadm: CommandLine
    begin: Callable[[str], Awaitable[str]]
    is_embedded: bool = True

    async def run_to_its_end(self, owner: str) -> str:
        """Have an order of that owner worked to its end and its threads closed, and give its id."""
        program = self.dadm.run()
        program.heard("runs")
        root = await self.begin(owner)
        program.heard("is completed", times=TURNS, seconds=SECONDS)
        if not self.is_embedded:
            # Who comes anew asks for ends at once.
            stopped(program)
            program = self.dadm.run()
        program.heard(f"Closed 1 threads for process {root}", seconds=SECONDS)
        stopped(program)
        return root


def stopped(program: Program) -> None:
    program.terminate()
    assert program.wait() == 0


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("operaton_url", marks=pytest.mark.engines),
        pytest.param("camunda7_url", marks=pytest.mark.engines),
    ]
)
async def stage(
    request: pytest.FixtureRequest, start: Starting, tmp_path: Path
) -> AsyncIterator[Stage]:
    dadm = CommandLine(start=start, home=tmp_path)
    if request.param == "embedded":
        model = tmp_path / "model.bpmn"
        model.write_bytes(MODEL)
        dadm.deploy(model)

        async def begin_here(owner: str) -> str:
            given = f"-vowner={owner}", "--business-key=case-7"
            begun: str = dadm.document("start", "order", *given)["process_instance_id"]
            return begun

        yield Stage(dadm=dadm, begin=begin_here)
        return
    engine = RestEngine(request.getfixturevalue(request.param))
    dadm.settings["DADM_ENGINE_URL"] = engine.address
    await engine.deploy(MODEL)

    async def begin_there(owner: str) -> str:
        return await engine.start("order", variables={"owner": owner}, business_key="case-7")

    yield Stage(dadm=dadm, begin=begin_there, is_embedded=False)
    await engine.close()


def threads(dadm: CommandLine) -> dict[str, Any]:
    """Read all threads with their turns, by scope."""
    listed = dadm.document("threads", "list")["threads"]
    whole = [dadm.document("threads", "show", each["last_id"]) for each in listed]
    return {each["scope"]: each for each in whole}


def elements(thread: Any) -> list[str]:
    return [turn["element_id"] for turn in thread["turns"]]


async def test_what_a_model_says_is_what_its_tasks_share(stage: Stage) -> None:
    root = await stage.run_to_its_end("Alice Moreno")

    found = threads(stage.dadm)
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
    assert elements(found[KEY]) == ["Case"]
    assert len(found) == 7
    # The key may return with another instance.
    assert {scope for scope, each in found.items() if each["state"] == "open"} == {KEY}
    assert found[KEY]["process_instance_id"] is None
    listed = stage.dadm.document("threads", "list", "--instance", called)["threads"]
    assert {each["scope"] for each in listed} == {scope for scope in found if called in scope}


@pytest.mark.parametrize("stage", ["embedded"], indirect=True)
async def test_a_business_key_that_returns_finds_its_thread(stage: Stage) -> None:
    first = await stage.run_to_its_end("Alice Moreno")
    second = await stage.run_to_its_end("Tom Becker")

    found = threads(stage.dadm)

    assert elements(found[KEY]) == ["Case", "Case"]
    assert "Alice" not in str(found[second]["turns"])
    assert "Tom" not in str(found[first]["turns"])


def test_a_task_without_the_key_that_it_wants_waits_for_a_person(
    start: Starting, tmp_path: Path
) -> None:
    dadm = CommandLine(start=start, home=tmp_path)
    model = tmp_path / "model.bpmn"
    model.write_bytes(MODEL)
    dadm.deploy(model)
    instance = dadm.begin("review", {})

    dadm.run().heard("no business key")

    (incident,) = dadm.document("incidents", "list")["incidents"]
    assert (incident["process_instance_id"], incident["element_id"]) == (instance, "Case")
    assert "Start instances with one" in incident["message"]
    assert set(threads(dadm)) == {instance}

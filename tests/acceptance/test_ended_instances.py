"""The end of a process instance: its thread is closed, cleared after the grace, and remembers what it was told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.command_line import DECISION, EXAMPLES, CommandLine
from tests.acceptance.evidence import Door
from tests.acceptance.programs import Program, Starting
from tests.engines.rest_engine import RestEngine

# Each command is a program of its own.
pytestmark = pytest.mark.timeout(300)

FACTS = {"decision": "chairs", "decision_owner": "Alice Moreno", "budget": "15,000 euros"}
TASKS = ["FrameDecision", "IdentifyAlternatives", "EvaluateAlternatives", "Recommend"]
SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An engine that runs the decision process, and the simulated OpenAI that keeps its threads."""

    engine_id: str
    dadm: CommandLine
    simulator: Door
    begin: Callable[[], Awaitable[str]]

    def run(self, **more: str) -> Program:
        """Run DADM until it is stopped."""
        return self.dadm.run(**more)

    def late(self, program: Program, instance: str, **fields: str) -> httpx2.Response:
        """Bring a task of the instance, as an orchestrator would that still has one in hand."""
        body = {
            "engine": self.engine_id,
            "process_instance_id": instance,
            "task_description": "And what else?",
            **fields,
        }
        return httpx2.post(f"{program.address}/process_task", json=body, timeout=30)


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
    simulated = start("simulate-openai", "--port", "0").address
    settings = {"OPENAI_API_KEY": "sk-of-nobody", "OPENAI_BASE_URL": f"{simulated}/v1"}
    with Door(address=simulated) as simulator:
        if request.param == "embedded":
            dadm = CommandLine(start=start, home=tmp_path, settings=settings)
            dadm.deploy(DECISION)

            async def begin_here() -> str:
                return dadm.begin("decision_process", FACTS)

            yield Stage(engine_id="embedded", dadm=dadm, simulator=simulator, begin=begin_here)
            return
        engine = RestEngine(request.getfixturevalue(request.param))
        dadm = CommandLine(
            start=start, home=tmp_path, settings=settings | {"DADM_ENGINE_URL": engine.address}
        )

        async def begin_there() -> str:
            model = (EXAMPLES / "decision_process.bpmn").read_bytes()
            await engine.deploy(model, name="decision_process.bpmn")
            return await engine.start("decision_process", variables=FACTS)

        yield Stage(engine_id="camunda7", dadm=dadm, simulator=simulator, begin=begin_there)
        await engine.close()


def stopped(program: Program) -> None:
    program.terminate()
    assert program.wait() == 0


def worked_and_closed(stage: Stage) -> Program:
    """Have the instance worked to its end, and its thread closed by the program given."""
    running = stage.run()
    running.heard("is completed", times=len(TASKS))
    if stage.engine_id != "embedded":
        # Who comes anew asks for ends at once, and goes on where the one before has been.
        stopped(running)
        running = stage.run()
    running.heard("action=threads_closed", seconds=SECONDS)
    return running


async def test_an_ended_instance_is_closed_then_cleared_with_a_receipt_and_its_transcript_kept(
    stage: Stage,
) -> None:
    instance = await stage.begin()
    running = worked_and_closed(stage)
    thread = stage.dadm.only_thread(instance)
    name = thread["thread_id"]
    assert thread["state"] == "closed"
    assert name in stage.simulator.remote({instance}).conversations, "it is in its grace"

    refused = await asyncio.to_thread(stage.late, running, instance)

    assert refused.status_code == HTTPStatus.CONFLICT
    assert refused.json()["code"] == "thread_closed"
    stopped(running)

    running = stage.run(DADM_ENDED__AFTER_SECONDS="0")
    running.heard("action=thread_cleared", seconds=SECONDS)

    assert name not in stage.simulator.remote({instance}).conversations
    cleared = stage.dadm.document("threads", "show", name)
    assert cleared["state"] == "closed"
    assert [turn["element_id"] for turn in cleared["turns"]] == TASKS
    assert [turn["answer"] for turn in cleared["turns"]] == [
        turn["answer"] for turn in thread["turns"]
    ]
    closed, receipt = stage.dadm.document("threads", "audit", name)["audit"][-2:]
    assert (closed["action"], closed["detail"]) == ("closed", "completed")
    assert receipt["action"] == "cleared"
    assert receipt["detail"] == "1 conversations, 8 items, 4 responses, 0 ids refused"
    verified = stage.dadm("threads", "verify", "--remote")
    assert verified.code == 0, "nothing is missing: " + verified.out
    late = await asyncio.to_thread(stage.late, running, instance)
    assert late.json()["code"] == "thread_closed"
    first: Any = cleared["turns"][0]
    again = await asyncio.to_thread(stage.late, running, instance, task_id=first["task_id"])
    assert again.json()["result"]["recommendation"] == first["answer"], "as it is recorded"
    stopped(running)


async def test_an_ended_instance_is_erased_where_the_policy_says_so(stage: Stage) -> None:
    instance = await stage.begin()
    running = worked_and_closed(stage)
    name = stage.dadm.only_thread(instance)["thread_id"]
    stopped(running)

    running = stage.run(DADM_ENDED__POLICY="erase", DADM_ENDED__AFTER_SECONDS="0")
    running.heard("action=thread_cleared", seconds=SECONDS)

    assert name not in stage.simulator.remote({instance}).conversations
    receipt = stage.dadm.document("threads", "erase", name, "--yes")
    assert (receipt["turns"], receipt["conversations"], receipt["unreachable"]) == (4, 1, [])
    late = await asyncio.to_thread(stage.late, running, instance)
    assert late.json()["code"] in {"thread_closed", "thread_erased"}
    stopped(running)

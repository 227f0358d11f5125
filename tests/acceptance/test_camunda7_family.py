"""`dadm work` beside a real Operaton or Camunda 7: shipped models run there unchanged, to their ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command_line import EXAMPLES, CommandLine
from tests.acceptance.programs import Starting
from tests.engines.rest_engine import RestEngine

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]

FACTS = {"decision": "chairs", "decision_owner": "Alice Moreno", "budget": "15,000 euros"}
TASKS = ["FrameDecision", "IdentifyAlternatives", "EvaluateAlternatives", "Recommend"]
MODEL = (EXAMPLES / "decision_process.bpmn").read_bytes()


@pytest.fixture(params=["operaton_url", "camunda7_url"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[RestEngine]:
    rest = RestEngine(request.getfixturevalue(request.param))
    yield rest
    await rest.close()


@pytest.fixture
def dadm(engine: RestEngine, start: Starting, tmp_path: Path) -> CommandLine:
    """Give commands beside the engine, in a home of this test's own."""
    settings = {"DADM_BACKEND": "scripted", "DADM_ENGINE_URL": engine.address}
    return CommandLine(start=start, home=tmp_path, settings=settings)


async def begin(engine: RestEngine, **facts: Any) -> str:
    await engine.deploy(MODEL, name="decision_process.bpmn")
    return await engine.start("decision_process", variables=FACTS | facts)


async def ended(engine: RestEngine, instance: str) -> str:
    """Wait for the end of an instance, and say how it ended."""
    async with asyncio.timeout(60):
        while (state := await engine.state(instance)) == "ACTIVE":  # noqa: ASYNC110 - it is remote
            await asyncio.sleep(0.1)
    return state


async def test_the_shipped_process_is_worked_to_its_end_on_one_thread(
    engine: RestEngine, dadm: CommandLine
) -> None:
    instance = await begin(engine)

    worker = dadm.stay("work")

    assert await ended(engine, instance) == "COMPLETED"
    worker.heard("is completed", times=4)
    thread = dadm.only_thread(instance)
    assert thread["engine"] == "camunda7"
    assert [turn["element_id"] for turn in thread["turns"]] == TASKS
    answers = {turn["element_id"]: turn["answer"] for turn in thread["turns"]}
    variables = await engine.variables(instance)
    told = {name: each["value"] for name, each in variables.items()}
    # The last task's prompt names neither: the thread remembers what the first was told.
    assert "Alice Moreno" in answers["Recommend"]
    assert "15,000 euros" in answers["Recommend"]
    assert told["recommendation"] == answers["Recommend"]
    assert {name: told[f"{name}_result"] for name in TASKS} == answers
    worker.terminate()
    assert worker.wait() == 0


async def test_a_check_says_what_answers_and_whose_tasks_are_worked(
    engine: RestEngine, dadm: CommandLine
) -> None:
    await begin(engine)

    checked = dadm.document("check")

    (found,) = [each for each in checked["checks"] if each["what"] == "engine"]
    assert found["ok"]
    assert f"{engine.address} answers" in found["detail"]
    assert ", ".join(sorted(TASKS)) in found["detail"]


async def test_a_command_for_the_embedded_engine_says_where_processes_are(
    engine: RestEngine, dadm: CommandLine
) -> None:
    refused = dadm("start", "decision_process")

    assert refused.code != 0
    assert engine.address in refused.err


async def test_a_refusal_that_nothing_catches_waits_for_a_person_and_is_then_asked_anew(
    engine: RestEngine, dadm: CommandLine
) -> None:
    dadm.script({"We must choose": {"refuse": "Not today."}, "": "Yes."})
    instance = await begin(engine)
    worker = dadm.stay("work")
    worker.heard("is incident")
    worker.terminate()
    worker.wait()
    (incident,) = await engine.get(f"/incident?processInstanceId={instance}")
    assert "Not today." in incident["incidentMessage"]

    dadm.script({"": "Well then."})
    await engine.put(f"/external-task/{incident['configuration']}/retries", {"retries": 1})
    dadm.stay("work")

    assert await ended(engine, instance) == "COMPLETED"
    assert (await engine.variables(instance))["FrameDecision_result"]["value"] == "Well then."

"""`dadm work` beside several engines at once: told apart, and none waits for another."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.command_line import EXAMPLES, CommandLine
from tests.acceptance.programs import Starting
from tests.acceptance.test_camunda7_family import FACTS, MODEL, TASKS, ended
from tests.engines.distributions import CAMUNDA_7
from tests.engines.rest_engine import RestEngine
from tests.engines.running import running_engine

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]

KEY = "decision_process"


@pytest.fixture
async def sales(operaton_url: str) -> AsyncIterator[RestEngine]:
    rest = RestEngine(operaton_url)
    await rest.deploy(MODEL, name="decision_process.bpmn")
    yield rest
    await rest.close()


@pytest.fixture
def dadm(sales: RestEngine, start: Starting, tmp_path: Path) -> CommandLine:
    """Give commands beside the engine that is called `sales`, in a home of this test's own."""
    settings = {"DADM_BACKEND": "scripted", "DADM_ENGINES__SALES__URL": sales.address}
    return CommandLine(start=start, home=tmp_path, settings=settings)


def turns_of(dadm: CommandLine, thread_id: str) -> list[str]:
    return [turn["element_id"] for turn in dadm.document("threads", "show", thread_id)["turns"]]


async def test_one_instance_id_in_two_engines_is_never_one_thread(
    sales: RestEngine, dadm: CommandLine
) -> None:
    # Two engines whose instances have the same ids: one and the same, by two addresses.
    dadm.settings["DADM_ENGINES__HR__URL"] = f"{sales.address}/engine/default"
    dadm.settings["DADM_ENGINES__SALES__TOPICS"] = ",".join(TASKS[::2])
    dadm.settings["DADM_ENGINES__HR__TOPICS"] = ",".join(TASKS[1::2])
    instance = await sales.start(KEY, variables=FACTS)

    dadm.stay("work")

    assert await ended(sales, instance) == "COMPLETED"
    threads = dadm.document("threads", "list")["threads"]
    assert {each["process_instance_id"] for each in threads} == {instance}
    asked = {each["engine"]: turns_of(dadm, each["thread_id"]) for each in threads}
    assert asked == {"sales": TASKS[::2], "hr": TASKS[1::2]}
    # An answer repeats what was asked on its thread.
    told = (await sales.variables(instance))["Recommend_result"]["value"]
    assert "Name one alternative" in told
    assert "We must choose" not in told


async def test_an_engine_that_stops_leaves_the_others_at_work(
    sales: RestEngine, dadm: CommandLine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_engine(CAMUNDA_7, tmp_path_factory.mktemp("hr")) as address:
        dadm.settings["DADM_ENGINES__HR__URL"] = address
        hr = RestEngine(address)
        await hr.deploy(MODEL, name="decision_process.bpmn")
        worker = dadm.stay("work")
        instances = await asyncio.gather(
            hr.start(KEY, variables=FACTS), sales.start(KEY, variables=FACTS)
        )
        assert await ended(hr, instances[0]) == "COMPLETED"
        assert await ended(sales, instances[1]) == "COMPLETED"
        await hr.client.aclose()

    worker.heard(r"hr.*not reachable")
    later = await sales.start(KEY, variables=FACTS)

    assert await ended(sales, later) == "COMPLETED"
    threads = dadm.document("threads", "list")["threads"]
    assert {(each["engine"], each["process_instance_id"]) for each in threads} == {
        ("hr", instances[0]),
        ("sales", instances[1]),
        ("sales", later),
    }
    worker.terminate()
    assert worker.wait() == 0


async def test_an_engine_that_is_away_from_the_start_leaves_the_others_at_work(
    sales: RestEngine, dadm: CommandLine
) -> None:
    dadm.settings["DADM_ENGINES__HR__URL"] = "http://127.0.0.1:9/engine-rest"
    dadm.settings["DADM_ENGINES__OWN__URL"] = "embedded"
    dadm.deploy(EXAMPLES / "decision_process.bpmn")
    own = dadm.begin(KEY, FACTS)
    elsewhere = await sales.start(KEY, variables=FACTS)

    dadm.stay("work")

    assert await ended(sales, elsewhere) == "COMPLETED"
    async with asyncio.timeout(60):
        while len(dadm.only_thread(own)["turns"]) < len(TASKS):  # noqa: ASYNC110 - it is remote
            await asyncio.sleep(0.2)
    assert dadm.only_thread(own)["engine"] == "own"


async def test_a_check_reports_each_engine(dadm: CommandLine) -> None:
    dadm.settings["DADM_ENGINES__HR__URL"] = "http://127.0.0.1:9/engine-rest"

    checked = dadm("check")

    assert checked.code != 0
    assert re.search(r"^ok +engine sales: sales: .*Topics of AI tasks", checked.out, re.MULTILINE)
    assert re.search(r"^failed +engine hr: .*not reachable", checked.out, re.MULTILINE)

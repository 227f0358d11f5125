"""The programs that stay work together on one database, and end when they are told to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

import dadm
from dadm import bootstrap
from dadm.adapters.stores.memory import MemoryProcessStore, MemoryStore
from dadm.bootstrap import CLOCK, Databases
from dadm.domain.errors import StoreUnavailable
from dadm.entrypoints.cli import programs
from dadm.ports.engine import InstanceState
from dadm.settings import Settings, load_settings

MODEL = Path(dadm.__file__).parent / "examples" / "decision_process.bpmn"
T = TypeVar("T")
FACTS = {"decision": "chairs", "decision_owner": "Alice Moreno", "budget": "15,000 euros"}


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Databases:
    """Give every program that is opened in the test the same memory."""
    shared = Databases(threads=MemoryStore(CLOCK), processes=MemoryProcessStore(CLOCK))

    @asynccontextmanager
    async def open_shared(settings: Settings) -> AsyncIterator[Databases]:
        del settings
        yield shared

    monkeypatch.setattr(bootstrap, "open_databases", open_shared)
    return shared


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Stand in for the signals that programs hear."""
    event = asyncio.Event()

    @asynccontextmanager
    async def hear() -> AsyncIterator[asyncio.Event]:
        yield event

    monkeypatch.setattr(programs, "stop_on_signals", hear)
    return event


def settings_of(**given: Any) -> Settings:
    return load_settings(database_url="memory:", backend="scripted", port=0, **given)


async def begin(databases: Databases) -> str:
    engine = bootstrap.embedded_engine(settings_of(), databases.processes)
    await engine.deploy({MODEL.name: MODEL.read_bytes()})
    return (await engine.start("decision_process", variables=FACTS)).instance_id


async def until(condition: Callable[[], Awaitable[T | None]]) -> T:
    """Wait until `condition` gives something."""
    async with asyncio.timeout(20):
        while (found := await condition()) is None:  # noqa: ASYNC110 - it does not know of us
            await asyncio.sleep(0.01)
    return found


async def completed(databases: Databases, instance_id: str) -> Any:
    """Wait for the end of an instance, and give its variables."""
    engine = bootstrap.embedded_engine(settings_of(), databases.processes)

    async def variables() -> Any:
        instance = await engine.instance(instance_id)
        return instance.variables if instance.state is InstanceState.COMPLETED else None

    return await until(variables)


async def address_in(caplog: pytest.LogCaptureFixture) -> str:
    """Wait until a service says where it listens."""

    async def address() -> str | None:
        said = [each for each in caplog.messages if " listens at http" in each]
        return said[-1].rpartition(" ")[2] if said else None

    return await until(address)


@pytest.mark.parametrize("program", [programs.run_everything, programs.work_alone])
async def test_tasks_of_the_engine_are_worked_until_the_program_is_told_to_stop(
    databases: Databases, stop: asyncio.Event, program: Callable[[Settings], Any]
) -> None:
    instance = await begin(databases)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(program(settings_of()))
        variables = await completed(databases, instance)
        stop.set()
        async with asyncio.timeout(20):
            await running

    assert "Alice Moreno" in variables["recommendation"]


async def test_the_orchestrator_passes_tasks_to_another_programs_service(
    databases: Databases, stop: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    instance = await begin(databases)

    async with asyncio.TaskGroup() as group:
        group.create_task(programs.serve_alone(settings_of(api_tokens="open-sesame")))
        address = await address_in(caplog)
        worker = settings_of(service_url=address, service_token="open-sesame")
        group.create_task(programs.work_alone(worker))
        variables = await completed(databases, instance)
        stop.set()

    assert "Alice Moreno" in variables["recommendation"]
    assert f"assistant service at {address}" in caplog.text


async def test_a_service_that_drains_is_not_ready_and_ends(
    databases: Databases, stop: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(programs.serve_alone(settings_of()))
        async with httpx2.AsyncClient(base_url=await address_in(caplog)) as client:
            ready = await client.get("/ready")
            status = (await client.get("/status")).json()
        stop.set()
        async with asyncio.timeout(20):
            await running

    assert ready.status_code == 200
    assert status["backend"]["kind"] == "scripted"
    assert status["engines"] == ["http"]
    assert caplog.messages[-1] == "OpenAI Service has ended"


async def test_timers_are_looked_at_again_after_trouble_with_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "TIMERS_SECONDS", 0)
    stop, looks = asyncio.Event(), 0

    async def run_due() -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise StoreUnavailable
        stop.set()
        return 0

    async with asyncio.timeout(5):
        await programs.run_timers(run_due, stop)

    assert looks == 2


async def test_the_simulated_openai_answers_by_its_script(
    stop: asyncio.Event, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO")
    script = tmp_path / "script.json"
    script.write_text('{"owner": "Tom.", "": {"refuse": "Not this."}}', "utf-8")

    async def ask(client: httpx2.AsyncClient, question: str) -> Any:
        body = {"model": "m", "input": question}
        return (await client.post("/v1/responses", json=body)).json()["output"][0]["content"][0]

    async with asyncio.TaskGroup() as group:
        group.create_task(
            programs.simulate_openai(
                settings_of(scripted={"script": script}),
                answers="script",
                switches={},
                api_keys=(),
            )
        )
        address = await address_in(caplog)
        headers = {"Authorization": "Bearer any"}
        async with httpx2.AsyncClient(base_url=address, headers=headers) as client:
            answer, refusal = await ask(client, "The owner?"), await ask(client, "The budget?")
        stop.set()

    assert (answer["type"], answer["text"]) == ("output_text", "Tom.")
    assert (refusal["type"], refusal["refusal"]) == ("refusal", "Not this.")
    assert f"Set OPENAI_BASE_URL={address}/v1" in caplog.text


async def test_the_simulated_openai_refuses_a_key_that_it_was_not_told(
    stop: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async with asyncio.TaskGroup() as group:
        group.create_task(
            programs.simulate_openai(
                settings_of(), answers="echo", switches={}, api_keys=("right",)
            )
        )
        async with httpx2.AsyncClient(base_url=await address_in(caplog)) as client:
            statuses = [
                (
                    await client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
                ).status_code
                for key in ("right", "wrong")
            ]
        stop.set()

    assert statuses == [200, 401]


async def test_the_simulated_openai_breaks_what_it_is_told_to_break(
    stop: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rule = "GET /v1/models http-error status=503 probability=0.5"

    async def statuses(seed: int) -> list[int]:
        caplog.clear()
        stop.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(
                programs.simulate_openai(
                    settings_of(),
                    answers="echo",
                    switches={},
                    api_keys=(),
                    faults=(rule,),
                    seed=seed,
                )
            )
            headers = {"Authorization": "Bearer any"}
            async with httpx2.AsyncClient(
                base_url=await address_in(caplog), headers=headers
            ) as client:
                seen = [(await client.get("/v1/models")).status_code for _ in range(20)]
            stop.set()
        return seen

    first = await statuses(1)

    assert set(first) == {200, 503}
    assert await statuses(1) == first
    assert await statuses(2) != first
    assert "Fault fault_1, http-error, struck request" in caplog.text

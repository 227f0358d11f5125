"""One task, one question to the model: repeated, at once, left by its caller, or killed in mid-turn."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
import uvicorn

from dadm.adapters.simulators.openai import Answer, Echo, Held, SimulatedOpenAI, create_app
from dadm.adapters.simulators.openai.context import ShownMessage
from dadm.adapters.simulators.openai.requests import ResponseRequest
from tests.acceptance.programs import Program, Starting

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOLD = "Think long. Who decides?"
SECONDS = 20.0


class Server(uvicorn.Server):
    """A server that leaves signals to the test run."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HoldingSome:
    """Echoes what it was told, and holds the answer where the question is HOLD."""

    def __init__(self) -> None:
        self.held = Held(Echo())
        self._echo = Echo()

    async def __call__(
        self,
        instructions: str | None,
        messages: Sequence[ShownMessage],
        request: ResponseRequest,
    ) -> Answer | str:
        answers = self.held if messages[-1].text == HOLD else self._echo
        return await answers(instructions, messages, request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """The simulator in this process, reached over HTTP by the services under test."""

    simulated: SimulatedOpenAI
    model: HoldingSome
    url: str

    async def is_asking(self) -> None:
        """Wait until a held question has reached the model."""
        await asyncio.wait_for(self.model.held.asked(), SECONDS)

    def let_go(self) -> None:
        self.model.held.let_go()

    def questions(self, task_id: str) -> int:
        """Count how often the model was asked for a task, in whatever conversation."""
        calls = self.simulated.ledger.model_calls()
        return sum(call.metadata["task"] == task_id for call in calls)

    def texts(self, conversation_id: str) -> list[str]:
        items = self.simulated.items_of(conversation_id)
        return [item["content"][0]["text"] for item in items]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    model = HoldingSome()
    simulated = SimulatedOpenAI(model)
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(
        uvicorn.Config(
            create_app(simulated),
            lifespan="on",
            ws="none",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([listener]))
        port = listener.getsockname()[1]
        yield Simulator(simulated=simulated, model=model, url=f"http://127.0.0.1:{port}/v1")
        server.should_exit = True


class Caller:
    """Somebody who calls a service."""

    def __init__(self, program: Program, client: httpx2.AsyncClient) -> None:
        self.program = program
        self._client = client

    async def ask(self, question: str, **more: Any) -> httpx2.Response:
        headers = more.pop("headers", None)
        body = {"task_description": question, **more}
        return await self._client.post("/process_task", json=body, headers=headers)

    async def answer(self, question: str, **more: Any) -> Any:
        response = await self.ask(question, **more)
        assert response.status_code == 200, response.text
        return response.json()

    async def left_without_reply(self, question: str, **more: Any) -> None:
        with pytest.raises(httpx2.TransportError):
            await self.ask(question, **more)

    async def get(self, path: str) -> httpx2.Response:
        return await self._client.get(path)

    async def heard(self, pattern: str, *, times: int = 1) -> None:
        """Wait until the service has logged that."""
        await asyncio.to_thread(self.program.heard, pattern, times=times, seconds=SECONDS)


@asynccontextmanager
async def serving(start: Starting, simulator: Simulator, **more: str) -> AsyncIterator[Caller]:
    """Start a service on the simulator; whoever started it before in this home, it goes on."""
    settings = {
        "DADM_PORT": "0",
        "DADM_DRAIN_SECONDS": "5",
        "DADM_TURNS__LEASE_SECONDS": "6",
        "OPENAI_API_KEY": "sk-of-nobody",
        "OPENAI_BASE_URL": simulator.url,
        **more,
    }
    program = await asyncio.to_thread(start, "serve", **settings)
    address = await asyncio.to_thread(getattr, program, "address")
    async with httpx2.AsyncClient(base_url=address, timeout=SECONDS) as client:
        yield Caller(program, client)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(start_for_module: Starting, simulator: Simulator) -> AsyncIterator[Caller]:
    async with serving(start_for_module, simulator) as caller:
        yield caller


def new_task() -> dict[str, str]:
    """Name a task of an instance, which nobody has."""
    return {"process_instance_id": f"instance-{uuid4()}", "task_id": f"task-{uuid4()}"}


async def a_turn_later(caller: Caller) -> None:
    """Have a whole turn taken on another thread.

    What the service was about to do for others before, such as recording the name of a run that
    the first event of its stream told, went through the same loop and the same writer earlier.
    """
    await caller.answer("Anything else?", **new_task())


async def test_the_same_task_again_gets_the_recorded_answer(
    service: Caller, simulator: Simulator
) -> None:
    task = new_task()
    first = await service.answer("Who decides?", **task)
    again = await service.answer("Who decides?", **task)

    assert (first["turn"]["replayed"], again["turn"]["replayed"]) == (False, True)
    assert again["result"] == first["result"]
    assert again["turn"] == first["turn"] | {"replayed": True}
    assert simulator.questions(task["task_id"]) == 1
    assert len(simulator.texts(first["result"]["thread_id"])) == 2


async def test_an_idempotency_key_names_the_work_where_no_task_id_does(
    service: Caller, simulator: Simulator
) -> None:
    instance = new_task()["process_instance_id"]
    headers = {"Idempotency-Key": f"key-{uuid4()}"}
    answers = [
        await service.answer("Who decides?", process_instance_id=instance, headers=headers)
        for _ in range(2)
    ]

    assert [each["turn"]["replayed"] for each in answers] == [False, True]
    assert answers[0]["task_id"] == answers[1]["task_id"] == headers["Idempotency-Key"]
    assert simulator.questions(headers["Idempotency-Key"]) == 1


async def test_two_deliveries_at_once_get_one_answer(service: Caller, simulator: Simulator) -> None:
    task = new_task()
    async with asyncio.TaskGroup() as group:
        deliveries = [group.create_task(service.answer(HOLD, **task)) for _ in range(2)]
        await simulator.is_asking()
        done, _ = await asyncio.wait(deliveries, timeout=1)
        assert not done
        simulator.let_go()
    first, second = (delivery.result() for delivery in deliveries)

    assert first["result"] == second["result"]
    assert [each["turn"]["replayed"] for each in (first, second)] == [False, False]
    assert simulator.questions(task["task_id"]) == 1


async def test_two_replicas_at_once_ask_once(
    start_for_module: Starting, service: Caller, simulator: Simulator
) -> None:
    task = new_task()
    async with serving(start_for_module, simulator) as replica, asyncio.TaskGroup() as group:
        first = group.create_task(service.answer(HOLD, **task))
        await simulator.is_asking()
        second = group.create_task(replica.answer(HOLD, **task))
        await replica.heard(f"Task {task['task_id']} waits for its thread")
        simulator.let_go()

    assert first.result()["result"] == second.result()["result"]
    assert [each.result()["turn"]["replayed"] for each in (first, second)] == [False, True]
    assert simulator.questions(task["task_id"]) == 1


async def test_other_content_under_the_same_task_id_is_a_conflict_at_any_time(
    service: Caller, simulator: Simulator
) -> None:
    task = new_task()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(service.answer(HOLD, **task))
        await simulator.is_asking()
        meanwhile = await service.ask("Who pays?", **task)
        simulator.let_go()
    afterwards = await service.ask("Who pays?", **task)

    for refused in (meanwhile, afterwards):
        assert refused.status_code == 409
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "task_content_changed"
    thread_id = first.result()["result"]["thread_id"]
    assert simulator.questions(task["task_id"]) == 1
    assert simulator.texts(thread_id)[0] == HOLD
    assert len(simulator.texts(thread_id)) == 2


async def test_a_turn_whose_caller_leaves_is_completed_and_replayed(
    service: Caller, simulator: Simulator
) -> None:
    task = new_task()
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(service.ask(HOLD, **task))
        await simulator.is_asking()
        leaving.cancel()
    listed = await service.get(f"/threads?process_instance_id={task['process_instance_id']}")
    thread_id = listed.json()["threads"][0]["thread_id"]
    simulator.let_go()
    await service.heard(f"Turn 1 of thread {thread_id} has its answer")
    await a_turn_later(service)
    again = await service.answer(HOLD, **task)

    assert leaving.cancelled()
    assert again["turn"]["replayed"]
    assert again["result"]["recommendation"] == f"I was told: {HOLD}"
    assert simulator.questions(task["task_id"]) == 1


async def test_an_answer_given_after_kill_9_is_found_by_looking(
    start: Starting, simulator: Simulator
) -> None:
    task = new_task()
    async with serving(start, simulator) as killed, asyncio.TaskGroup() as group:
        group.create_task(killed.left_without_reply(HOLD, **task))
        await simulator.is_asking()
        await a_turn_later(killed)
        await asyncio.to_thread(killed.program.kill)
        simulator.let_go()
    async with serving(start, simulator) as restarted:
        answer = await restarted.answer(HOLD, **task)
        again = await restarted.answer(HOLD, **task)
        following = await restarted.answer(
            "Who pays?", process_instance_id=task["process_instance_id"]
        )

    assert answer["turn"]["recovered"]
    assert not answer["turn"]["replayed"]
    assert answer["result"]["recommendation"] == f"I was told: {HOLD}"
    assert again["turn"] == answer["turn"] | {"replayed": True}
    assert simulator.questions(task["task_id"]) == 1
    assert following["result"]["thread_id"] == answer["result"]["thread_id"]
    assert following["turn"]["sequence"] == 2
    assert simulator.texts(answer["result"]["thread_id"])[:3] == [
        HOLD,
        f"I was told: {HOLD}",
        "Who pays?",
    ]


async def test_sigterm_lets_the_turn_under_way_end_and_sends_others_away(
    start: Starting, simulator: Simulator
) -> None:
    task = new_task()
    waiting_task = task | {"task_id": f"task-{uuid4()}"}
    async with serving(start, simulator) as service, asyncio.TaskGroup() as group:
        under_way = group.create_task(service.answer(HOLD, **task))
        await simulator.is_asking()
        waiting = group.create_task(service.ask("Who pays?", **waiting_task))
        await service.heard(f"Task {waiting_task['task_id']} waits for its thread")
        service.program.terminate()
        await service.heard("takes no new turns")
        sent_away = [await waiting, await service.ask("Who pays?", **new_task())]
        health, ready = await service.get("/health"), await service.get("/ready")
        simulator.let_go()
        answer = await under_way
        status = await asyncio.to_thread(service.program.wait)

    for refused in sent_away:
        assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
        assert int(refused.headers["retry-after"]) > 0
    assert (health.status_code, ready.status_code) == (200, 503)
    assert answer["result"]["recommendation"] == f"I was told: {HOLD}"
    assert status == 0
    assert simulator.questions(waiting_task["task_id"]) == 0


async def test_a_turn_that_outlasts_the_drain_is_found_by_the_next_service(
    start: Starting, simulator: Simulator
) -> None:
    task = new_task()
    async with serving(start, simulator, DADM_DRAIN_SECONDS="0.2") as stopped:
        async with asyncio.TaskGroup() as group:
            cut_off = group.create_task(stopped.ask(HOLD, **task))
            await simulator.is_asking()
            await a_turn_later(stopped)
            stopped.program.terminate()
        status = await asyncio.to_thread(stopped.program.wait)
    simulator.let_go()
    async with serving(start, simulator) as restarted:
        answer = await restarted.answer(HOLD, **task)

    assert status == 0
    assert (cut_off.result().status_code, cut_off.result().json()["code"]) == (503, "shutting_down")
    assert answer["turn"]["recovered"]
    assert simulator.questions(task["task_id"]) == 1

"""The service listens where it may, answers real callers, and ends in good order."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from dadm.domain.errors import SettingsError
from dadm.entrypoints.openai_service import (
    address_of,
    open_listener,
    serve,
    stop_on_signals,
)
from dadm.entrypoints.openai_service.serving import is_loopback, refuse_open_door
from dadm.ports.backend import Question
from dadm.ports.observer import TaskReceived
from dadm.ports.store_values import ThreadFilter
from tests.unit.openai_service.world import Service, running_service, until


@asynccontextmanager
async def listening(
    service: Service, *, drain_seconds: float = 5.0
) -> AsyncIterator[tuple[httpx2.AsyncClient, asyncio.Event, "asyncio.Task[None]"]]:
    """Serve on a free port; gives a client, the event that stops it, and the serving."""
    listener = open_listener("127.0.0.1", 0, has_tokens=False)
    stop = asyncio.Event()

    async def drain() -> None:
        await service.manager.drain(seconds=drain_seconds)

    async with asyncio.TaskGroup() as group:
        serving = group.create_task(
            serve(
                service.app,
                listener,
                stop=stop,
                lifecycle=service.parts.lifecycle,
                drain=drain,
            )
        )
        try:
            async with httpx2.AsyncClient(base_url=address_of(listener), timeout=20) as client:
                yield client, stop, serving
        finally:
            stop.set()


class Slowly:
    """A backend's answer that waits until it may go on."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, question: Question) -> str:
        self.asked.set()
        await self.go_on.wait()
        return "At last."


async def test_a_task_is_answered_over_real_http() -> None:
    async with running_service() as service, listening(service) as (client, _, _):
        response = await client.post("/process_task", json={"task_description": "What now?"})

    assert response.status_code == 200
    assert response.json()["result"]["recommendation"].startswith("What now?")


async def test_a_caller_whose_connection_breaks_finds_the_answer_later() -> None:
    async with running_service() as service, listening(service) as (client, _, _):
        slowly = Slowly()
        service.backend.answer = slowly
        body = {"task_description": "What now?", "task_id": "t1", "process_instance_id": "p1"}
        with pytest.raises(httpx2.ReadTimeout):
            await client.post("/process_task", json=body, timeout=0.2)
        slowly.go_on.set()
        response = await client.post("/process_task", json=body)

    assert response.json()["result"]["recommendation"] == "At last."
    assert len(service.backend.asked) == 1


def handlers() -> int:
    """Count the requests that the server is at work on."""
    return sum("run_asgi" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_a_caller_that_comes_again_and_again_leaves_no_handler_behind() -> None:
    async with running_service() as service, listening(service) as (client, _, _):
        slowly = Slowly()
        service.backend.answer = slowly
        body = {"task_description": "What now?", "task_id": "t1", "process_instance_id": "p1"}
        for _ in range(3):
            with pytest.raises(httpx2.ReadTimeout):
                await client.post("/process_task", json=body, timeout=0.2)
        await until(lambda: handlers() == 0)
        assert service.manager.in_flight_count == 1, "the turn goes on"
        received = [each for each in service.heard.events if isinstance(each, TaskReceived)]
        slowly.go_on.set()
        response = await client.post("/process_task", json=body)

    assert response.json()["result"]["recommendation"] == "At last."
    assert len(service.backend.asked) == 1
    assert len(received) == 1, "one task, however often it was passed"


async def test_a_caller_that_left_has_not_heard_the_outcome() -> None:
    async with running_service() as service, listening(service) as (client, _, _):
        slowly = Slowly()
        service.backend.answer = slowly
        body = {"task_description": "What now?", "task_id": "t1", "process_instance_id": "p1"}
        with pytest.raises(httpx2.ReadTimeout):
            await client.post("/process_task", json=body, timeout=0.2)
        slowly.go_on.set()
        await until(lambda: service.manager.in_flight_count == 0)
        (thread,) = await service.store.threads(ThreadFilter())
        (turn,) = await service.store.turns(thread.ref)

    assert turn.answer == "At last."
    assert not turn.is_reported


async def test_a_large_body_is_refused_over_real_http() -> None:
    async with running_service(max_body_bytes=4096) as service, listening(service) as (client, *_):
        response = await client.post("/process_task", json={"task_description": "a" * 10_000_000})

    assert response.status_code == 413


async def test_stopping_lets_turns_under_way_finish_and_takes_no_new_ones() -> None:
    async with running_service() as service, listening(service) as (client, stop, serving):
        slowly = Slowly()
        service.backend.answer = slowly
        async with asyncio.TaskGroup() as group:
            under_way = group.create_task(
                client.post("/process_task", json={"task_description": "What now?"})
            )
            await slowly.asked.wait()
            stop.set()
            await until(lambda: service.parts.lifecycle.is_draining)

            new = await client.post("/process_task", json={"task_description": "And now?"})
            ready = await client.get("/ready")
            health = await client.get("/health")
            assert not serving.done()
            slowly.go_on.set()
        await asyncio.wait_for(serving, 10)

    assert under_way.result().json()["result"]["recommendation"] == "At last."
    assert (new.status_code, new.json()["code"]) == (503, "shutting_down")
    assert "retry-after" in new.headers
    assert ready.status_code == 503
    assert health.status_code == 200
    assert len(service.backend.asked) == 1


async def test_a_turn_that_takes_too_long_is_left_to_be_recovered() -> None:
    async with running_service() as service:
        async with listening(service, drain_seconds=0.05) as (client, stop, serving):
            slowly = Slowly()
            service.backend.answer = slowly
            body = {"task_description": "What now?", "task_id": "t1", "process_instance_id": "p1"}
            async with asyncio.TaskGroup() as group:
                under_way = group.create_task(client.post("/process_task", json=body))
                await slowly.asked.wait()
                stop.set()
            await asyncio.wait_for(serving, 10)
        (thread,) = await service.store.threads(ThreadFilter())
        (turn,) = await service.store.turns(thread.ref)

    assert under_way.result().json()["code"] == "shutting_down"
    assert turn.state.is_open, "whoever comes next looks what became of it"


async def test_a_stopped_service_listens_no_more() -> None:
    async with running_service() as service, listening(service) as (client, stop, serving):
        assert (await client.get("/health")).status_code == 200
        stop.set()
        await asyncio.wait_for(serving, 10)
        with pytest.raises(httpx2.ConnectError):
            await client.get("/health")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_asks_for_an_orderly_end(number: signal.Signals) -> None:
    async with stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 5)


@pytest.mark.parametrize(("apart_seconds", "ends_at_once"), [(60.0, False), (0.0, True)])
async def test_a_second_signal_ends_the_program_unless_it_is_the_first_one_doubled(
    apart_seconds: float, ends_at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = signal.raise_signal
    raised: list[signal.Signals] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    module = "dadm.entrypoints.openai_service.serving"
    monkeypatch.setattr(f"{module}.ONE_SIGNAL_SECONDS", apart_seconds)
    async with stop_on_signals() as stop:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 5)
        await asyncio.sleep(0)

    assert bool(raised) is ends_at_once


def test_a_port_in_use_is_one_clear_sentence() -> None:
    with open_listener("127.0.0.1", 0, has_tokens=False) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(SettingsError) as refusal:
            open_listener("127.0.0.1", port, has_tokens=False)

    assert f"port {port}" in refusal.value.message
    assert "DADM_PORT" in refusal.value.message
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "some-host"])  # noqa: S104 - refused
def test_other_machines_are_let_in_only_with_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="DADM_API_TOKENS"):
        open_listener(host, 0, has_tokens=False)


def test_with_a_token_it_may_listen_everywhere() -> None:
    refuse_open_door("0.0.0.0", has_tokens=True)  # noqa: S104 - the point


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    refuse_open_door(host, has_tokens=False)


def test_an_address_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(SettingsError, match=r"DADM_HOST is 'no-such-host'.*not known"):
        open_listener("no-such-host", 0, has_tokens=True)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_can_be_called_as_it_is_told() -> None:
    with open_listener("localhost", 0, has_tokens=False) as listener:
        port = listener.getsockname()[1]
        assert address_of(listener) in {f"http://127.0.0.1:{port}", f"http://[::1]:{port}"}

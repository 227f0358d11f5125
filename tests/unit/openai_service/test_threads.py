"""Threads can be found by their process instance and by any id they ever had."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from dadm.domain.thread import ConversationId, GenerationReason, ThreadState
from dadm.ports.store_values import ThreadFilter, ThreadGranted
from tests.unit.openai_service.world import Service, running_service


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as running:
        yield running


async def get(service: Service, path: str, **parameters: Any) -> dict[str, Any]:
    response = await service.client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def replace_conversation(service: Service, conversation_id: str) -> None:
    """Give the only thread another conversation, as after a loss."""
    (thread,) = await service.store.threads(ThreadFilter())
    granted = await service.store.lease_thread(thread.key, owner="test", lease_seconds=30)
    assert isinstance(granted, ThreadGranted)
    generation = await service.store.note_conversation(
        thread.ref,
        identity=service.backend.identity,
        conversation_id=ConversationId(conversation_id),
        reason=GenerationReason.LOST,
        opened_from=1,
        opened_to=1,
    )
    await service.store.make_live(granted.lease, generation.number)
    await service.store.release(granted.lease)


async def test_the_threads_of_a_process_instance_are_listed(service: Service) -> None:
    reply = await service.answer(process_instance_id="p1", task_id="t1")
    await service.answer(process_instance_id="p1", task_id="t2")
    await service.answer(process_instance_id="p1", assistant="advocate")
    await service.answer(process_instance_id="p2")

    found = await get(service, "/threads", process_instance_id="p1", assistant="analyst")

    (thread,) = found["threads"]
    assert thread["thread_id"] == reply["result"]["thread_id"]
    assert thread["process_instance_id"] == "p1"
    assert thread["assistant_id"] == "analyst"
    assert thread["engine"] == "http"
    assert thread["state"] == "open"
    assert thread["turn_count"] == 2
    assert thread["usage"]["input_tokens"] == 3 + 9
    assert thread["conversation"]["generation"] == 1
    assert found["next"] is None
    assert len((await get(service, "/threads", process_instance_id="p1"))["threads"]) == 2


async def test_an_assistant_is_found_by_its_alias_here_too(service: Service) -> None:
    await service.answer(process_instance_id="p1")

    found = await get(service, "/threads", assistant="dadm-openai-assistant")

    assert len(found["threads"]) == 1


async def test_an_unknown_assistant_is_refused_here_too(service: Service) -> None:
    response = await service.client.get("/threads", params={"assistant": "nobody"})

    assert response.status_code == 400
    assert response.json()["known_assistants"] == ["advocate", "analyst"]


async def test_engines_and_tenants_narrow_the_list(service: Service) -> None:
    await service.answer(process_instance_id="p1", engine="camunda", tenant="north")
    await service.answer(process_instance_id="p1")

    for parameters in ({"engine": "camunda"}, {"tenant": "north"}):
        (thread,) = (await get(service, "/threads", **parameters))["threads"]
        assert (thread["engine"], thread["tenant"]) == ("camunda", "north")


async def test_a_long_list_comes_in_pages_newest_first(service: Service) -> None:
    for number in range(5):
        await service.answer(process_instance_id=f"p{number}")

    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 2}
    while True:
        page = await get(service, "/threads", **parameters)
        seen += [thread["process_instance_id"] for thread in page["threads"]]
        if page["next"] is None:
            break
        parameters["before"] = page["next"]

    assert seen == ["p4", "p3", "p2", "p1", "p0"]


async def test_the_thread_of_a_single_task_belongs_to_no_process(service: Service) -> None:
    await service.answer(task_id="alone")

    (thread,) = (await get(service, "/threads"))["threads"]

    assert thread["process_instance_id"] is None
    assert thread["scope"] == "task:alone"


async def test_a_thread_is_read_with_its_turns(service: Service) -> None:
    reply = await service.answer(process_instance_id="p1", task_id="t1")

    thread = await get(service, f"/threads/{reply['result']['thread_id']}")

    assert thread["thread_id"] == reply["result"]["thread_id"]
    (turn,) = thread["turns"]
    assert turn["turn_id"] == reply["turn"]["id"]
    assert turn["task_id"] == "t1"
    assert turn["state"] == "completed"
    assert turn["prompt"] == "What now?"
    assert turn["answer"] == reply["result"]["recommendation"]
    assert turn["refusal"] is None
    assert turn["sequence"] == 1
    assert turn["reported"]


async def test_turns_come_in_pages_in_order(service: Service) -> None:
    replies = [await service.answer(process_instance_id="p1") for _ in range(5)]
    path = f"/threads/{replies[0]['result']['thread_id']}"

    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = await get(service, path, after=after, limit=2)
        seen += [turn["sequence"] for turn in page["turns"]]
        after = page["next"]

    assert seen == [1, 2, 3, 4, 5]


async def test_a_thread_is_found_by_every_id_it_ever_had(service: Service) -> None:
    reply = await service.answer(process_instance_id="p1")
    old = reply["result"]["thread_id"]
    await replace_conversation(service, "conv_new")

    by_old, by_new = await get(service, f"/threads/{old}"), await get(service, "/threads/conv_new")

    assert by_old == by_new
    assert by_old["thread_id"] == "conv_new"
    assert by_old["conversation"]["reason"] == "lost"


async def test_an_unknown_thread_is_not_found(service: Service) -> None:
    response = await service.client.get("/threads/conv_nobody")

    assert response.status_code == 404
    assert response.json()["code"] == "unknown_thread"
    assert "conv_nobody" in response.json()["detail"]


async def test_a_closed_thread_can_be_read_and_takes_no_task(service: Service) -> None:
    reply = await service.answer(process_instance_id="p1", task_id="t1")
    await service.store.close_scope(engine="http", tenant="", scope="p1")

    thread = await get(service, f"/threads/{reply['result']['thread_id']}")
    refused = await service.ask(process_instance_id="p1", task_id="t2")
    replayed = await service.answer(process_instance_id="p1", task_id="t1")

    assert thread["state"] == "closed"
    assert refused.status_code == 409
    assert refused.json()["code"] == "thread_closed"
    assert replayed["turn"]["replayed"]
    assert len(service.backend.asked) == 1


async def test_an_erased_thread_is_gone(service: Service) -> None:
    reply = await service.answer(process_instance_id="p1")
    (thread,) = await service.store.threads(ThreadFilter())
    service.store._records.threads[thread.ref].state = ThreadState.ERASING

    read = await service.client.get(f"/threads/{reply['result']['thread_id']}")
    asked = await service.ask(process_instance_id="p1")

    for response in (read, asked):
        assert response.status_code == 410
        assert response.json()["code"] == "thread_erased"

"""POST /process_task keeps the contract that users of DADM know."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime

import httpx2
import pytest

from dadm.domain.errors import BackendRefused, StoreUnavailable
from dadm.domain.task import ServiceTask
from dadm.ports.assistant_service import TaskAnswer
from dadm.ports.backend import Question
from dadm.ports.observer import ThreadCreated, TurnReplayed
from dadm.ports.store_values import ThreadFilter
from tests.unit.openai_service.world import Service, running_service, until


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as running:
        yield running


async def test_a_reply_has_the_documented_fields_and_ours_beside_them(service: Service) -> None:
    reply = await service.answer(task_id="t1", process_instance_id="p1", task_name="Frame")

    assert reply["status"] == "success"
    assert reply["task_id"] == "t1"
    assert reply["approach"] == "name_based_discovery"
    assert set(reply["result"]) == {
        "assistant_id",
        "processed_at",
        "processed_by",
        "recommendation",
        "thread_id",
    }
    assert reply["result"]["assistant_id"] == "analyst"
    assert reply["result"]["recommendation"] == "What now? (0 before)"
    assert datetime.fromisoformat(reply["timestamp"]).tzinfo
    assert datetime.fromisoformat(reply["result"]["processed_at"]).tzinfo
    assert reply["turn"]["sequence"] == 1
    assert (reply["turn"]["replayed"], reply["turn"]["recovered"]) == (False, False)
    assert reply["usage"] == {"input_tokens": 3, "output_tokens": 4, "cached_tokens": 0}
    assert reply["thread"] == {
        "generation": 1,
        "change": "created",
        "previous_thread_id": None,
        "copied_messages": 0,
    }


async def test_tasks_of_one_process_instance_share_a_thread(service: Service) -> None:
    first = await service.answer(process_instance_id="p1")
    second = await service.answer(process_instance_id="p1")
    other = await service.answer(process_instance_id="p2")

    assert second["result"]["thread_id"] == first["result"]["thread_id"]
    assert second["thread"]["change"] == "reused"
    assert second["result"]["recommendation"] == "What now? (1 before)"
    assert other["result"]["thread_id"] != first["result"]["thread_id"]


async def test_assistants_have_a_thread_each(service: Service) -> None:
    one = await service.answer(process_instance_id="p1", assistant="analyst")
    two = await service.answer(process_instance_id="p1", assistant="advocate")
    alias = await service.answer(process_instance_id="p1", assistant="dadm-openai-assistant")

    assert two["result"]["assistant_id"] == "advocate"
    assert two["result"]["thread_id"] != one["result"]["thread_id"]
    assert alias["result"]["thread_id"] == one["result"]["thread_id"]


async def test_tenants_and_engines_do_not_share_threads(service: Service) -> None:
    threads = {
        (await service.answer(process_instance_id="p1", **place))["result"]["thread_id"]
        for place in ({}, {"tenant": "north"}, {"engine": "camunda"})
    }

    assert len(threads) == 3


async def test_without_a_process_instance_every_task_has_a_thread_of_its_own(
    service: Service,
) -> None:
    first = await service.answer()
    second = await service.answer()

    assert first["task_id"] != second["task_id"]
    assert first["result"]["thread_id"] != second["result"]["thread_id"]


async def test_the_same_task_again_gives_the_recorded_answer(service: Service) -> None:
    first = await service.answer(task_id="t1", process_instance_id="p1", variables={"a": [1, 2]})
    again = await service.answer(task_id="t1", process_instance_id="p1", variables={"a": [1, 2]})

    assert again["result"] == first["result"]
    assert again["turn"] == {**first["turn"], "replayed": True}
    assert len(service.backend.asked) == 1


async def test_the_same_task_with_other_content_is_refused(service: Service) -> None:
    await service.answer(task_id="t1", process_instance_id="p1")

    response = await service.ask(task_id="t1", process_instance_id="p1", variables={"a": 1})

    assert response.status_code == 409
    assert response.json()["code"] == "task_content_changed"
    assert len(service.backend.asked) == 1


async def test_an_engine_gets_the_recorded_answer_whatever_changed(service: Service) -> None:
    first = await service.answer(task_id="t1", process_instance_id="p1", engine="camunda")

    again = await service.answer(
        task_id="t1", process_instance_id="p1", engine="camunda", variables={"a": 1}
    )

    assert again["result"] == first["result"]
    (replay,) = [event for event in service.heard.events if isinstance(event, TurnReplayed)]
    assert replay.content_differs


async def test_a_task_of_another_element_is_never_answered_from_the_record(
    service: Service,
) -> None:
    await service.answer(task_id="1", process_instance_id="1", engine="e", element_id="Frame")

    response = await service.ask(
        task_id="1", process_instance_id="1", engine="e", element_id="Evaluate"
    )

    assert response.status_code == 409
    assert response.json()["code"] == "task_identity_conflict"


async def test_the_same_task_while_the_first_is_in_flight_waits_for_the_same_answer(
    service: Service,
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(question: Question) -> str:
        asked.set()
        await go_on.wait()
        return "At last."

    service.backend.answer = slowly
    async with asyncio.TaskGroup() as group:
        first = group.create_task(service.answer(task_id="t1", process_instance_id="p1"))
        await asked.wait()
        second = group.create_task(service.answer(task_id="t1", process_instance_id="p1"))
        await until(lambda: not second.done())
        go_on.set()

    assert first.result()["result"] == second.result()["result"]
    assert len(service.backend.asked) == 1


async def test_an_idempotency_key_serves_where_there_is_no_task_id(service: Service) -> None:
    body = {"task_description": "What now?", "process_instance_id": "p1"}
    plain, quoted = [
        await service.client.post("/process_task", json=body, headers={"Idempotency-Key": key})
        for key in ("k-1", '"k-1"')
    ]

    assert plain.json()["task_id"] == "k-1"
    assert quoted.json()["turn"]["replayed"]
    assert len(service.backend.asked) == 1


async def test_a_task_id_wins_over_an_idempotency_key(service: Service) -> None:
    response = await service.client.post(
        "/process_task",
        json={"task_description": "What now?", "task_id": "t1"},
        headers={"Idempotency-Key": "k-1"},
    )

    assert response.json()["task_id"] == "t1"


async def test_a_caller_that_leaves_does_not_stop_the_turn(service: Service) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(question: Question) -> str:
        asked.set()
        await go_on.wait()
        return "At last."

    service.backend.answer = slowly
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(service.ask(task_id="t1", process_instance_id="p1"))
        await asked.wait()
        calling.cancel()
    go_on.set()
    await until(lambda: service.manager.in_flight_count == 0)

    again = await service.answer(task_id="t1", process_instance_id="p1")

    assert again["result"]["recommendation"] == "At last."
    assert again["turn"]["replayed"]
    assert len(service.backend.asked) == 1


async def test_placeholders_are_filled_and_variables_shown_once(service: Service) -> None:
    await service.answer(
        process_instance_id="p1",
        task_documentation="What should ${owner} do?",
        variables={"owner": "Amara", "budget": 1500},
    )
    await service.answer(
        process_instance_id="p1",
        task_documentation="And then?",
        variables={"owner": "Amara", "budget": 1600},
    )

    first, second = (question.prompt for question in service.backend.asked)
    assert first == "What should Amara do?\n\nProcess variables:\n- budget: 1500"
    assert second == "And then?\n\nProcess variables:\n- budget: 1600"


async def test_an_undefined_placeholder_fails_the_task_by_name(service: Service) -> None:
    response = await service.ask(task_documentation="What should ${owner} do?", task_name="Frame")

    assert response.status_code == 400
    assert "owner" in response.json()["detail"]
    assert "Frame" in response.json()["detail"]
    assert service.backend.asked == []


async def test_what_only_orchestrators_know_shapes_the_question(service: Service) -> None:
    await service.answer(
        variables={"a": 1, "b": 2, "c": 3},
        mapped_variables=["a", "b"],
        own_answers=["b"],
        answer_schema={"type": "object"},
    )
    await service.answer(variables={"a": 1, "b": 2}, variable_selection="none")

    first, second = service.backend.asked
    assert first.prompt == "What now?\n\nProcess variables:\n- a: 1"
    assert first.answer_schema == {"type": "object"}
    assert second.prompt == "What now?"


async def test_a_reply_says_which_fields_nobody_reads(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await service.answer(proces_instance_id="p1")

    assert reply["ignored_fields"] == ["proces_instance_id"]
    assert "proces_instance_id" in caplog.text
    assert "ignored_fields" not in await service.answer()


async def test_fields_that_are_null_count_as_left_out(service: Service) -> None:
    reply = await service.answer(task_id=None, process_instance_id=None, assistant=None)

    assert reply["task_id"].startswith("task_")
    assert reply["result"]["assistant_id"] == "analyst"


async def test_the_logs_say_word_for_word_what_happens(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    first = await service.answer(process_instance_id="proc_123")
    await service.answer(process_instance_id="proc_123")

    thread = first["result"]["thread_id"]
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    for line in (
        "Processing task for process_instance_id: proc_123",
        "Thread persistence enabled for process: proc_123",
        f"Created new thread {thread} for process proc_123",
        f"Reusing existing thread {thread} for process proc_123",
    ):
        assert line in told


async def test_a_plain_caller_has_the_outcome_with_the_reply(service: Service) -> None:
    await service.answer(task_id="t1", process_instance_id="p1")

    (thread,) = await service.store.threads(ThreadFilter())
    (turn,) = await service.store.turns(thread.ref)
    assert turn.is_reported


async def test_an_orchestrator_reports_itself(service: Service) -> None:
    body = {"task_id": "t1", "process_instance_id": "p1", "engine": "camunda"}
    await service.answer(**body)
    (thread,) = await service.store.threads(ThreadFilter())
    (turn,) = await service.store.turns(thread.ref)
    assert not turn.is_reported

    response = await service.client.post("/turns/reported", json=body)

    assert response.status_code == 204
    (turn,) = await service.store.turns(thread.ref)
    assert turn.is_reported


async def test_a_refused_task_is_refused_with_its_reason_and_asked_again_when_sent_again(
    service: Service,
) -> None:
    async def refuse(question: Question) -> str:
        raise BackendRefused("Not about this.")

    service.backend.answer = refuse
    response = await service.ask(task_id="t1", process_instance_id="p1")
    assert response.status_code == 422
    assert response.json()["detail"] == "Not about this."
    assert response.json()["task_id"] == "t1"

    service.backend.answer = service.backend.echo
    assert (await service.answer(task_id="t1", process_instance_id="p1"))["status"] == "success"


class AnsweringWithoutStore:
    """A service whose answer is there and whose store has gone."""

    def __init__(self, answer: TaskAnswer) -> None:
        self._answer = answer

    async def process_task(self, task: ServiceTask) -> TaskAnswer:
        return self._answer

    async def knows_assistant(self, name: str) -> bool:
        return True

    async def refuse_if_away(self) -> None:
        raise StoreUnavailable

    async def outcome_reported(self, task: ServiceTask) -> None:
        raise StoreUnavailable

    async def withdraw_task(self, task: ServiceTask) -> None:
        raise StoreUnavailable


async def test_an_answer_is_given_even_where_its_report_cannot_be_recorded(
    service: Service,
) -> None:
    answer = await service.manager.process_task(ServiceTask(task_id="t", description="What?"))

    async with running_service(service=AnsweringWithoutStore(answer)) as other:
        assert (await other.answer(task_id="t"))["status"] == "success"


async def test_a_thread_is_created_once_for_tasks_that_come_together(service: Service) -> None:
    async with asyncio.TaskGroup() as group:
        replies = [
            group.create_task(service.answer(task_id=f"t{number}", process_instance_id="p1"))
            for number in range(10)
        ]

    assert len({reply.result()["result"]["thread_id"] for reply in replies}) == 1
    assert sorted(reply.result()["turn"]["sequence"] for reply in replies) == list(range(1, 11))
    assert len([each for each in service.heard.events if isinstance(each, ThreadCreated)]) == 1


async def test_a_minted_task_id_gives_the_same_answer_again(service: Service) -> None:
    first = await service.answer(process_instance_id="p1")

    again: httpx2.Response = await service.ask(process_instance_id="p1", task_id=first["task_id"])

    assert again.json()["result"] == first["result"]
    assert again.json()["turn"]["replayed"]

"""What every AssistantService promises, in this process or over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dadm.adapters.services.remote import RemoteAssistantService
from dadm.application.limits import TurnLimits
from dadm.domain.errors import (
    AnswerCutShort,
    BackendMisconfigured,
    BackendRefused,
    BackendUnavailable,
    InvalidTask,
    ShuttingDown,
    TaskContentChanged,
    TaskIdentityConflict,
    ThreadClosed,
    UnknownAssistant,
)
from dadm.domain.task import Selecting, ServiceTask, VariableSelection
from dadm.domain.thread import Usage
from dadm.ports.assistant_service import AssistantService, ThreadChange
from dadm.ports.backend import CutShort, Question
from dadm.ports.store_values import ThreadFilter
from tests.unit.openai_service.world import ADDRESS, Service, running_service, until


@dataclass
class Given:
    """The service under test, and what stands behind it."""

    service: AssistantService
    behind: Service


@pytest.fixture(params=["in_process", "remote"])
async def given(request: pytest.FixtureRequest) -> AsyncIterator[Given]:
    # How a backend that fails is waited for has tests of its own.
    limits = TurnLimits(patience_seconds=0.0)
    async with running_service(tokens=("token",), limits=limits) as behind:
        if request.param == "in_process":
            yield Given(behind.manager, behind)
        else:
            yield Given(RemoteAssistantService(ADDRESS, "token", client=behind.client), behind)


def task(task_id: str = "t1", **changes: Any) -> ServiceTask:
    plain = ServiceTask(
        task_id=task_id, engine="embedded", process_instance_id="p1", description="What now?"
    )
    return replace(plain, **changes)


async def test_a_task_is_answered(given: Given) -> None:
    answer = await given.service.process_task(task())

    assert answer.task_id == "t1"
    assert answer.recommendation == "What now? (0 before)"
    assert answer.assistant_id == "analyst"
    assert len(answer.assistant_version) == 12
    assert answer.change is ThreadChange.CREATED
    assert (answer.generation, answer.sequence) == (1, 1)
    assert (answer.is_replayed, answer.is_recovered, answer.has_structure) == (False, False, False)
    assert answer.previous_thread_id == ""
    assert answer.usage == Usage(input_tokens=3, output_tokens=4)
    assert answer.processed_at.tzinfo is not None
    assert answer.thread_id
    assert answer.turn_id


async def test_the_next_task_goes_on_in_the_same_thread(given: Given) -> None:
    first = await given.service.process_task(task("t1"))
    second = await given.service.process_task(task("t2"))

    assert second.thread_id == first.thread_id
    assert second.change is ThreadChange.REUSED
    assert second.sequence == 2
    assert second.recommendation == "What now? (1 before)"


async def test_the_same_task_again_gives_the_recorded_answer(given: Given) -> None:
    first = await given.service.process_task(task())
    again = await given.service.process_task(task())

    assert again == replace(first, is_replayed=True, change=ThreadChange.REUSED)
    assert len(given.behind.backend.asked) == 1


async def test_an_engine_gets_the_recorded_answer_whatever_changed(given: Given) -> None:
    first = await given.service.process_task(task())
    again = await given.service.process_task(task(variables={"a": 1}))

    assert again.recommendation == first.recommendation
    assert len(given.behind.backend.asked) == 1


async def test_a_plain_caller_may_not_change_the_content(given: Given) -> None:
    await given.service.process_task(task(engine="http"))

    with pytest.raises(TaskContentChanged):
        await given.service.process_task(task(engine="http", variables={"a": 1}))


async def test_another_element_under_the_same_id_is_a_conflict(given: Given) -> None:
    await given.service.process_task(task(element_id="Frame", process_definition="d:1"))

    with pytest.raises(TaskIdentityConflict):
        await given.service.process_task(task(element_id="Evaluate", process_definition="d:1"))


async def test_everything_about_the_task_arrives(given: Given) -> None:
    await given.service.process_task(
        task(
            documentation="What should ${owner} do?",
            variables={"owner": "Zoë", "budget": 1500, "answer": "x", "other": [1, None]},
            mapped=("owner", "budget", "answer"),
            own_answers=frozenset({"answer"}),
            assistant="advocate",
            answer_schema={"type": "object"},
        )
    )
    await given.service.process_task(
        task(
            "t2",
            variables={"budget": 1500, "other": {"b": 1, "a": 2}},
            selection=VariableSelection(selecting=Selecting.LISTED, names=("other",)),
        )
    )

    first, second = given.behind.backend.asked
    assert first.prompt == "What should Zoë do?\n\nProcess variables:\n- budget: 1500"
    assert first.assistant.name == "advocate"
    assert first.answer_schema == {"type": "object"}
    assert second.prompt == 'What now?\n\nProcess variables:\n- other: {"a": 2, "b": 1}'


async def test_a_structured_answer_is_known_as_one(given: Given) -> None:
    answer = await given.service.process_task(task(answer_schema={"type": "object"}))

    assert answer.has_structure


async def test_tenants_and_scopes_are_kept_apart(given: Given) -> None:
    plain = await given.service.process_task(task("t1"))
    tenant = await given.service.process_task(task("t2", tenant="north"))
    order = await given.service.process_task(task("t3", scope="order-9"))
    same = await given.service.process_task(task("t4", scope="order-9", process_instance_id="p2"))

    assert len({plain.thread_id, tenant.thread_id, order.thread_id}) == 3
    assert same.thread_id == order.thread_id


async def test_an_unknown_assistant_is_refused_with_those_known(given: Given) -> None:
    with pytest.raises(UnknownAssistant) as refusal:
        await given.service.process_task(task(assistant="nobody"))

    assert refusal.value.known == ("advocate", "analyst")
    assert "'nobody'" in refusal.value.message


async def test_a_task_that_cannot_be_rendered_is_refused(given: Given) -> None:
    with pytest.raises(InvalidTask, match="owner"):
        await given.service.process_task(task(documentation="What should ${owner} do?"))


async def test_a_closed_thread_takes_no_task(given: Given) -> None:
    await given.service.process_task(task("t1"))
    await given.behind.store.close_scope(engine="embedded", tenant="", scope="p1")

    with pytest.raises(ThreadClosed):
        await given.service.process_task(task("t2"))
    assert (await given.service.process_task(task("t1"))).is_replayed


@pytest.mark.parametrize(
    "error",
    [BackendUnavailable("Nobody there."), BackendMisconfigured("The key is wrong.")],
    ids=lambda error: type(error).__name__,
)
async def test_what_the_backend_did_is_told_as_it_is(
    given: Given, error: BackendUnavailable | BackendMisconfigured
) -> None:
    async def fail(question: Question) -> str:
        raise error

    given.behind.backend.answer = fail

    with pytest.raises(type(error)) as raised:
        await given.service.process_task(task())

    assert raised.value.message == error.message
    given.behind.backend.answer = given.behind.backend.echo
    assert (await given.service.process_task(task())).sequence == 1


async def test_an_answer_cut_short_is_told_from_other_refusals(given: Given) -> None:
    async def stop_early(question: Question) -> CutShort:
        return CutShort(reason="max_output_tokens", partial_text="Half", usage=Usage())

    given.behind.backend.answer = stop_early

    for _ in range(2):
        with pytest.raises(AnswerCutShort, match="max_output_tokens"):
            await given.service.process_task(task())


async def test_a_service_that_takes_turns_says_so_and_one_that_does_not_says_why(
    given: Given,
) -> None:
    await given.service.refuse_if_away()

    await given.behind.manager.drain(seconds=0)
    given.behind.parts.lifecycle.is_draining = True

    with pytest.raises(ShuttingDown):
        await given.service.refuse_if_away()


async def test_a_refused_task_is_asked_again_once_its_outcome_was_reported(given: Given) -> None:
    async def refuse(question: Question) -> str:
        msg = "Not about this."
        raise BackendRefused(msg)

    given.behind.backend.answer = refuse
    for _ in range(2):
        with pytest.raises(BackendRefused, match=r"Not about this\."):
            await given.service.process_task(task())
    assert len(given.behind.backend.asked) == 1, "the refusal is recorded"

    await given.service.outcome_reported(task())
    given.behind.backend.answer = given.behind.backend.echo

    assert (await given.service.process_task(task())).recommendation
    assert len(given.behind.backend.asked) == 2


async def test_a_reported_outcome_is_recorded(given: Given) -> None:
    await given.service.process_task(task())
    (thread,) = await given.behind.store.threads(ThreadFilter())
    (turn,) = await given.behind.store.turns(thread.ref)
    assert not turn.is_reported

    await given.service.outcome_reported(task())

    (turn,) = await given.behind.store.turns(thread.ref)
    assert turn.is_reported


async def test_leaving_does_not_stop_the_turn(given: Given) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(question: Question) -> str:
        asked.set()
        await go_on.wait()
        return "At last."

    given.behind.backend.answer = slowly
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(given.service.process_task(task()))
        await asked.wait()
        calling.cancel()
    go_on.set()
    await until(lambda: given.behind.manager.in_flight_count == 0)

    assert (await given.service.process_task(task())).recommendation == "At last."
    assert len(given.behind.backend.asked) == 1


async def test_tasks_that_come_together_are_answered_one_after_another(given: Given) -> None:
    async with asyncio.TaskGroup() as group:
        answers = [
            group.create_task(given.service.process_task(task(f"t{number}"))) for number in range(8)
        ]

    assert sorted(answer.result().sequence for answer in answers) == list(range(1, 9))
    assert len({answer.result().thread_id for answer in answers}) == 1


async def test_a_service_that_shuts_down_says_so(given: Given) -> None:
    await given.behind.manager.drain(seconds=1)

    with pytest.raises(ShuttingDown):
        await given.service.process_task(task())


@pytest.mark.parametrize(
    ("name", "is_known"),
    [("analyst", True), ("advocate", True), ("dadm-openai-assistant", True), ("nobody", False)],
)
async def test_names_and_aliases_are_known(given: Given, name: str, is_known: bool) -> None:
    assert await given.service.knows_assistant(name) is is_known

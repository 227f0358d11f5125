"""Turns on threads: one question and one answer per task, on the thread it belongs to."""

import asyncio
from dataclasses import replace

import pytest

from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    InvalidTask,
    TaskContentChanged,
    TaskIdentityConflict,
    ThreadClosed,
    UnknownAssistant,
)
from dadm.domain.task import DEFAULT_ENGINE
from dadm.domain.thread import ThreadState
from dadm.domain.transcript import Role
from dadm.domain.turn import TurnState
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.observer import (
    ModelShown,
    TaskReceived,
    ThreadCreated,
    ThreadReused,
    TurnCompleted,
    TurnReplayed,
    TurnStarted,
)
from tests.builders import make_assistant, make_task
from tests.unit.application.stage import Stage, settled


async def test_tasks_of_one_process_instance_share_one_thread(stage: Stage) -> None:
    replica = await stage.replica()

    first = await replica.ask("t1")
    second = await replica.ask("t2")

    assert (first.change, second.change) == (ThreadChange.CREATED, ThreadChange.REUSED)
    assert first.thread_id == second.thread_id != ""
    assert (first.sequence, second.sequence) == (1, 2)
    assert (await stage.thread()).turn_count == 2
    assert stage.called("open") == 1
    created, reused = replica.told(ThreadCreated), replica.told(ThreadReused)
    assert [event.thread_id for event in created] == [first.thread_id]
    assert [event.thread_id for event in reused] == [first.thread_id]


async def test_later_task_is_asked_on_top_of_the_earlier_ones(forgetful: Stage) -> None:
    replica = await forgetful.replica()
    await replica.ask("t1", documentation="The owner is Ada.")
    await replica.ask("t2", documentation="Who is the owner?")

    shown = replica.told(ModelShown)[-1].messages

    assert [(each.role, each.text) for each in shown] == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "The owner is Ada."),
        (Role.ASSISTANT, "ok"),
        (Role.USER, "Who is the owner?"),
    ]


async def test_conversation_holds_each_exchange_once_and_in_order(keeping: Stage) -> None:
    replica = await keeping.replica()
    for task in ("t1", "t2", "t1"):
        await replica.ask(task)
    answer = await replica.ask("t3")

    kept = await keeping.kept(answer.thread_id)

    assert [each.text for each in kept if each.role is Role.USER] == [
        "What about t1?",
        "What about t2?",
        "What about t3?",
    ]
    assert len(kept) == 6


async def test_steady_state_costs_one_backend_request_and_few_store_calls(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1")
    replica.store.calls.clear()
    stage.backend.calls.clear()

    await replica.ask("t2")

    reads = {"look_up": 1} | ({} if stage.backend.keeps_conversations else {"window": 1})
    facts = {"note_response": 1} if stage.backend.keeps_conversations else {}
    assert replica.store.calls == {"claim": 1, "settle": 1} | reads | facts
    assert [call.method for call in stage.backend.calls] == ["take_turn"]


async def test_process_instances_never_share_a_thread_or_a_message(stage: Stage) -> None:
    replica = await stage.replica()
    one = await replica.ask("t1", documentation="Secret one.")
    other = await replica.ask("t1", process_instance_id="p2", documentation="Secret two.")
    again = await replica.ask("t2", process_instance_id="p2")

    assert other.thread_id == again.thread_id != one.thread_id
    if stage.backend.keeps_conversations:
        assert "one" not in str(await stage.kept(other.thread_id))
    else:
        assert "one" not in str(replica.told(ModelShown)[-1].messages)


@pytest.mark.parametrize("change", [{"engine": "camunda"}, {"tenant": "acme"}])
async def test_engines_and_tenants_may_number_their_instances_alike(
    stage: Stage, change: dict[str, str]
) -> None:
    replica = await stage.replica()

    one = await replica.ask("t1")
    other = await replica.ask("t1", **change)

    assert one.thread_id != other.thread_id
    assert not other.is_replayed


async def test_scope_that_is_given_takes_the_place_of_the_instance(stage: Stage) -> None:
    replica = await stage.replica()

    one = await replica.ask("t1", scope="case-7", process_instance_id="p1")
    other = await replica.ask("t2", scope="case-7", process_instance_id="p2")

    assert one.thread_id == other.thread_id


async def test_several_assistants_in_one_instance_have_a_thread_each(stage: Stage) -> None:
    replica = await stage.replica()
    by_analyst = await replica.ask("t1", assistant="analyst")
    by_critic = await replica.ask("t2", assistant="critic")
    by_alias = await replica.ask("t3", assistant="ann")
    by_default = await replica.ask("t4")

    assert by_critic.assistant_id == "critic"
    assert by_critic.thread_id != by_analyst.thread_id
    assert by_analyst.thread_id == by_alias.thread_id == by_default.thread_id
    assert {by_alias.assistant_id, by_default.assistant_id} == {"analyst"}
    assert by_critic.assistant_version == make_assistant("critic").version


async def test_task_without_process_instance_has_a_new_thread_every_time(stage: Stage) -> None:
    replica = await stage.replica()

    one = await replica.ask("t1", process_instance_id="")
    other = await replica.ask("t2", process_instance_id="")
    again = await replica.ask("t1", process_instance_id="")

    assert one.thread_id != other.thread_id
    assert (again.thread_id, again.is_replayed) == (one.thread_id, True)


async def test_unknown_assistant_is_refused_before_anything_happens(stage: Stage) -> None:
    replica = await stage.replica()

    with pytest.raises(UnknownAssistant):
        await replica.ask(assistant="nobody")

    assert not replica.store.calls
    assert await replica.manager.knows_assistant("ann")
    assert not await replica.manager.knows_assistant("nobody")


async def test_answer_says_how_it_came_about(stage: Stage) -> None:
    replica = await stage.replica()

    answer = await replica.ask("t1", answer_schema={"type": "string"})

    turn = await stage.turn()
    assert answer.recommendation == turn.answer == "ok"
    assert answer.task_id == "t1"
    assert answer.turn_id == str(turn.ref)
    assert answer.assistant_version == turn.assistant_version == make_assistant().version
    assert answer.usage == turn.usage
    assert answer.usage.output_tokens == 1
    assert answer.processed_at == turn.settled_at
    assert answer.processed_by == "dadm"
    assert answer.generation == 1
    assert answer.has_structure
    assert not answer.is_recovered
    assert not answer.previous_thread_id


async def test_observer_is_told_each_step(stage: Stage) -> None:
    replica = await stage.replica()

    answer = await replica.ask("t1")

    kinds = [type(event) for event in replica.events if not isinstance(event, ModelShown)]
    assert kinds == [TaskReceived, ThreadCreated, TurnStarted, TurnCompleted]
    (completed,) = replica.told(TurnCompleted)
    assert (completed.thread_id, completed.sequence) == (answer.thread_id, 1)
    assert completed.store_seconds > 0
    assert completed.waited_seconds > 0


# Variables


async def test_variables_are_shown_once_and_again_when_they_change(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1", variables={"owner": "Ada", "budget": 5})
    await replica.ask("t2", variables={"owner": "Ada", "budget": 5})
    await replica.ask("t3", variables={"owner": "Ada", "budget": 6})

    assert stage.asked == [
        "What about t1?\n\nProcess variables:\n- budget: 5\n- owner: Ada",
        "What about t2?",
        "What about t3?\n\nProcess variables:\n- budget: 6",
    ]


async def test_variables_of_a_turn_without_answer_count_as_not_shown(stage: Stage) -> None:
    replica = await stage.replica()
    stage.backend.fail_turn(BackendRefused())
    await settled(replica.ask("t1", variables={"owner": "Ada"}))

    await replica.ask("t2", variables={"owner": "Ada"})

    assert stage.asked[-1].endswith("- owner: Ada")


async def test_undefined_placeholder_gives_the_thread_back_at_once(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1")

    with pytest.raises(InvalidTask, match="gone"):
        await replica.ask("t2", documentation="Say ${gone}.")

    before = asyncio.get_running_loop().time()
    await replica.ask("t3")
    assert asyncio.get_running_loop().time() - before < 0.1
    assert len(stage.asked) == 2


async def test_task_that_cannot_be_asked_opens_no_conversation(stage: Stage) -> None:
    replica = await stage.replica()

    with pytest.raises(InvalidTask):
        await replica.ask("t1", documentation="Say ${gone}.")

    assert stage.called("open") == 0
    assert (await replica.ask("t2")).sequence == 1


# The same task again


async def test_redelivered_task_gets_the_recorded_answer_without_the_model(stage: Stage) -> None:
    replica = await stage.replica()
    first = await replica.ask("t1")
    await replica.ask("t2")

    again = await replica.ask("t1")

    assert again.is_replayed
    assert not first.is_replayed
    assert (again.recommendation, again.sequence) == (first.recommendation, 1)
    assert len(stage.asked) == 2
    (told,) = replica.told(TurnReplayed)
    assert (told.task_id, told.content_differs) == ("t1", False)


async def test_http_caller_that_sends_other_content_is_refused(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1", engine=DEFAULT_ENGINE)

    with pytest.raises(TaskContentChanged):
        await replica.ask("t1", engine=DEFAULT_ENGINE, variables={"a": 1})

    assert len(stage.asked) == 1


async def test_http_caller_that_sends_other_content_meanwhile_is_refused(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(replica.ask("t1", engine=DEFAULT_ENGINE))
    await hold.asked.wait()

    with pytest.raises(TaskContentChanged):
        await replica.ask("t1", engine=DEFAULT_ENGINE, documentation="Other?")

    hold.let_go()
    assert (await first).recommendation == "ok"


async def test_engine_that_sends_other_content_gets_the_recorded_answer(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1")

    again = await replica.ask("t1", variables={"a": 1}, documentation="Other?")

    assert again.is_replayed
    assert len(stage.asked) == 1
    assert [event.content_differs for event in replica.told(TurnReplayed)] == [True]


async def test_engine_that_sends_other_content_meanwhile_waits_for_the_answer(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    second = stage.begin(replica.ask("t1", documentation="Other?"))
    await asyncio.sleep(1)
    hold.let_go()

    assert (await second).is_replayed
    assert (await first).recommendation == (await second).recommendation
    assert len(stage.asked) == 1


@pytest.mark.parametrize("change", [{"element_id": "Other"}, {"process_definition": "other"}])
async def test_other_element_or_definition_is_a_conflict_and_no_answer(
    stage: Stage, change: dict[str, str]
) -> None:
    replica = await stage.replica()
    await replica.ask("t1")

    with pytest.raises(TaskIdentityConflict):
        await replica.ask("t1", **change)


async def test_other_element_is_a_conflict_while_the_first_is_in_flight(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(replica.ask("t1"))
    await hold.asked.wait()

    with pytest.raises(TaskIdentityConflict):
        await replica.ask("t1", element_id="Other")

    hold.let_go()
    await first


async def test_concurrent_deliveries_of_one_task_get_the_same_answer_from_one_call(
    stage: Stage,
) -> None:
    replica = await stage.replica()

    answers = await asyncio.gather(*(replica.ask("t1") for _ in range(5)))

    assert len(stage.asked) == 1
    assert len({answer.turn_id for answer in answers}) == 1
    assert replica.manager.in_flight_count == 0


async def test_caller_that_leaves_does_not_stop_the_turn(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    caller = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    caller.cancel()
    await settled(caller)
    hold.let_go()

    again = await replica.ask("t1")

    assert caller.cancelled()
    assert again.recommendation == "ok"
    assert len(stage.asked) == 1


async def test_turn_that_nobody_waits_for_is_settled_and_replayed(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    caller = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    caller.cancel()
    hold.let_go()
    await asyncio.sleep(1)

    assert (await stage.turn()).state is TurnState.COMPLETED
    assert (await replica.ask("t1")).is_replayed


async def test_turn_follows_its_first_thread_when_the_default_assistant_changes(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    first = await replica.ask("t1")
    changed = AssistantCatalogue(stage.assistants.assistants, default="critic")
    later = await stage.replica(assistants=changed)

    again = await later.ask("t1")

    assert again.is_replayed
    assert (again.thread_id, again.assistant_id) == (first.thread_id, "analyst")


async def test_planned_turn_takes_the_content_of_today(stage: Stage) -> None:
    replica = await stage.replica()
    stage.backend.fail_turn(BackendUnavailable())
    await settled(replica.ask("t1", documentation="Old?"))

    await replica.ask("t1", documentation="New?")

    assert stage.asked == ["New?"]


# Closed threads


async def test_closed_thread_takes_no_turn_and_replays_recorded_answers(stage: Stage) -> None:
    replica = await stage.replica()
    first = await replica.ask("t1")
    await stage.store.close_scope(engine="embedded", tenant="", scope="p1")

    with pytest.raises(ThreadClosed):
        await replica.ask("t2")

    again = await replica.ask("t1")
    assert (again.is_replayed, again.thread_id) == (True, first.thread_id)
    assert (await stage.thread()).state is ThreadState.CLOSED


async def test_turn_in_flight_when_its_thread_closes_is_settled(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    await stage.store.close_scope(engine="embedded", tenant="", scope="p1")
    hold.let_go()

    assert (await asking).recommendation == "ok"
    assert (await stage.turn()).state is TurnState.COMPLETED


async def test_outcome_that_was_reported_is_noted_on_the_turn(stage: Stage) -> None:
    replica = await stage.replica()
    task = make_task("t1")

    answer = await replica.manager.process_task(task)
    await replica.manager.outcome_reported(task)

    assert (await stage.turn(task)).is_reported
    assert str((await stage.turn(task)).ref) == answer.turn_id


async def test_turn_that_a_person_abandoned_has_no_answer_and_is_not_asked(stage: Stage) -> None:
    replica = await stage.replica()
    stage.backend.fail_turn(BackendUnavailable())
    await settled(replica.ask("t1"))
    record = stage.store._records.turns[(await stage.turn()).ref]
    record.turn = replace(record.turn, state=TurnState.ABANDONED)

    with pytest.raises(BackendRefused, match="abandoned"):
        await replica.ask("t1")

    assert not stage.asked

"""Waiting for a thread: in order, without asking all the time, and without delaying other threads."""

import asyncio
from dataclasses import replace

import pytest

from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.errors import (
    BackendUnavailable,
    StoreUnavailable,
    TaskContentChanged,
    TooManyWaiting,
)
from dadm.domain.task import DEFAULT_ENGINE
from dadm.ports.observer import TurnStarted, TurnWaiting
from tests.unit.application.stage import LIMITS, Replica, Stage, settled


def seconds() -> float:
    return asyncio.get_running_loop().time()


async def tasks_in_line(stage: Stage, replica: Replica, count: int) -> list[asyncio.Task[object]]:
    """Have tasks 1..count stand in line for p1, in that order; the first holds the thread."""
    waiting: list[asyncio.Task[object]] = []
    for number in range(1, count + 1):
        waiting.append(stage.begin(replica.ask(f"t{number}")))
        await asyncio.sleep(0.01)
    return waiting


async def test_turns_of_a_thread_happen_in_the_order_their_tasks_arrived(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    waiting = await tasks_in_line(stage, replica, 12)
    hold.let_go()

    await asyncio.gather(*waiting)

    assert [turn.key.task_id for turn in await stage.turns()] == [f"t{n}" for n in range(1, 13)]
    assert [event.ahead for event in replica.told(TurnWaiting)] == list(range(11))


async def test_tasks_that_arrive_at_once_all_have_their_turn(stage: Stage) -> None:
    replica = await stage.replica()

    answers = await asyncio.gather(*(replica.ask(f"t{number}") for number in range(50)))

    assert sorted(answer.sequence for answer in answers) == list(range(1, 51))


async def test_200_tasks_on_one_thread_delay_no_other_thread(stage: Stage) -> None:
    replica = await stage.replica(limits=replace(LIMITS, concurrent_turns=2))
    hold = stage.backend.hold_turn()
    crowd = [stage.begin(replica.ask(f"t{number}")) for number in range(200)]
    await hold.asked.wait()
    await asyncio.sleep(1)
    begun_at = seconds()

    for number in range(5):
        await replica.ask(f"other{number}", process_instance_id="p2")

    assert seconds() - begun_at < 0.2
    hold.let_go()
    assert len(await asyncio.gather(*crowd)) == 200


async def test_200_waiting_tasks_ask_the_store_nothing_but_to_keep_their_tickets(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    crowd = [stage.begin(replica.ask(f"t{number}")) for number in range(200)]
    await asyncio.sleep(2)
    replica.store.calls.clear()

    await asyncio.sleep(60)

    assert replica.store.calls == {"keep_tickets": 3, "extend": 6}
    hold.let_go()
    await asyncio.gather(*crowd)


async def test_crowd_costs_the_store_a_few_calls_for_each_task_and_no_more(stage: Stage) -> None:
    replica = await stage.replica()
    await asyncio.gather(*(replica.ask(f"t{number}") for number in range(100)))

    # Each task looks and claims when it arrives, and once more when it is its turn.
    assert replica.store.calls["claim"] <= 200
    assert replica.store.calls["look_up"] <= 201


async def test_no_more_turns_hold_their_threads_than_there_are_permits(stage: Stage) -> None:
    replica = await stage.replica(limits=replace(LIMITS, concurrent_turns=3))
    holds = [stage.backend.hold_turn() for _ in range(8)]
    asking = [
        stage.begin(replica.ask("t1", process_instance_id=f"p{number}")) for number in range(8)
    ]
    await asyncio.sleep(5)

    assert len(replica.told(TurnStarted)) == 3
    holds[0].let_go()
    await asyncio.sleep(1)
    assert len(replica.told(TurnStarted)) == 4
    for hold in holds:
        hold.let_go()
    await asyncio.gather(*asking)


async def test_more_tasks_than_may_wait_are_sent_away(stage: Stage) -> None:
    replica = await stage.replica(limits=replace(LIMITS, concurrent_turns=1, waiting_turns=2))
    hold = stage.backend.hold_turn()
    waiting = await tasks_in_line(stage, replica, 3)

    with pytest.raises(TooManyWaiting, match=r"3 tasks .* DADM_TURNS__WAITING_TURNS"):
        await replica.ask("t4")

    hold.let_go()
    await asyncio.gather(*waiting)
    assert (await replica.ask("t4")).sequence == 4


async def test_waiting_task_keeps_its_place_for_longer_than_a_ticket_lasts(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(one.ask("t1"))
    await hold.asked.wait()
    second = stage.begin(one.ask("t2"))
    await asyncio.sleep(LIMITS.ticket_seconds * 1.4)
    third = stage.begin(other.ask("t3"))
    await asyncio.sleep(10)
    hold.let_go()

    await asyncio.gather(first, second, third)

    assert [turn.key.task_id for turn in await stage.turns()] == ["t1", "t2", "t3"]


async def test_ticket_that_could_not_be_kept_once_is_kept_by_the_next_beat(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(one.ask("t1"))
    await hold.asked.wait()
    second = stage.begin(one.ask("t2"))
    one.store.fail_next("keep_tickets", StoreUnavailable())
    await asyncio.sleep(LIMITS.ticket_seconds * 1.4)
    third = stage.begin(other.ask("t3"))
    await asyncio.sleep(1)
    hold.let_go()

    await asyncio.gather(first, second, third)

    assert [turn.key.task_id for turn in await stage.turns()] == ["t1", "t2", "t3"]


async def test_task_that_gives_up_lets_the_next_one_go_on_at_once(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    waiting = await tasks_in_line(stage, replica, 3)
    stage.backend.fail_turn(BackendUnavailable())
    hold.let_go()
    begun_at = seconds()

    outcomes = await settled(*waiting)

    assert seconds() - begun_at < 1
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "TaskAnswer",
        "BackendUnavailable",
        "TaskAnswer",
    ]


async def test_store_that_fails_one_waiting_task_leaves_the_line_moving(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    waiting = await tasks_in_line(stage, replica, 3)
    replica.store.fail_next("look_up", StoreUnavailable(), times=4)
    hold.let_go()

    outcomes = await settled(*waiting)

    # The second met the error and keeps its place for a while; the third waits behind it.
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "TaskAnswer",
        "StoreUnavailable",
        "TaskAnswer",
    ]
    assert seconds() < 2 * LIMITS.ticket_seconds


async def test_first_waiter_finds_out_within_a_moment_that_another_replica_is_done(
    stage: Stage,
) -> None:
    one, other = await stage.replica(), await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(one.ask("t1"))
    await hold.asked.wait()
    second = stage.begin(other.ask("t2"))
    await asyncio.sleep(20)
    hold.let_go()
    await first
    begun_at = seconds()

    await second

    assert seconds() - begun_at <= LIMITS.poll_seconds + 0.1


async def test_first_waiter_asks_more_and_more_rarely(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(one.ask("t1"))
    await hold.asked.wait()
    crowd = [stage.begin(other.ask(f"u{number}")) for number in range(50)]
    await asyncio.sleep(10)
    other.store.calls.clear()

    await asyncio.sleep(30)

    # One task of the crowd asks, about once in a second.
    assert 25 <= other.store.calls["claim"] <= 32
    hold.let_go()
    await asyncio.gather(first, *crowd)


async def test_place_that_leaves_the_line_wakes_the_first_of_those_that_wait(
    stage: Stage,
) -> None:
    one = await stage.replica()
    other = await stage.replica(limits=replace(LIMITS, poll_seconds=1000))
    hold = stage.backend.hold_turn()
    first = stage.begin(one.ask("t1"))
    await hold.asked.wait()
    second = stage.begin(other.ask("t2"))
    await asyncio.sleep(20)
    hold.let_go()
    await first
    begun_at = seconds()

    assert (await other.ask("t1")).is_replayed
    await second

    assert seconds() - begun_at < 0.1


async def test_task_whose_turn_is_on_another_thread_stands_in_that_threads_line(
    stage: Stage,
) -> None:
    one = await stage.replica()
    stage.backend.fail_turn(BackendUnavailable())
    await settled(one.ask("t1"))
    # From now on the critic is the default; the turn stays with the analyst.
    critical = AssistantCatalogue(stage.assistants.assistants, default="critic")
    other = await stage.replica(assistants=critical)
    holds = [stage.backend.hold_turn(), stage.backend.hold_turn()]
    by_analyst = stage.begin(other.ask("t1"))
    await holds[0].asked.wait()
    by_critic = stage.begin(one.ask("t2", assistant="critic"))
    await holds[1].asked.wait()
    behind = stage.begin(other.ask("t3"))
    await asyncio.sleep(10)
    holds[1].let_go()
    await by_critic
    begun_at = seconds()

    await behind

    assert seconds() - begun_at < 2
    assert not by_analyst.done()
    holds[0].let_go()
    await by_analyst


async def test_delivery_that_is_refused_meanwhile_leaves_the_line_as_it_was(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(replica.ask("t1", engine=DEFAULT_ENGINE))
    await hold.asked.wait()
    with pytest.raises(TaskContentChanged):
        await replica.ask("t1", engine=DEFAULT_ENGINE, documentation="Other?")
    second = stage.begin(replica.ask("t2", engine=DEFAULT_ENGINE))
    await asyncio.sleep(5)
    hold.let_go()
    begun_at = seconds()

    await asyncio.gather(first, second)

    assert seconds() - begun_at < 0.1


async def test_caller_that_leaves_while_waiting_does_not_take_its_turn_out_of_the_line(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    waiting = await tasks_in_line(stage, replica, 3)
    waiting[1].cancel()
    hold.let_go()
    await settled(*waiting)

    assert [turn.key.task_id for turn in await stage.turns()] == ["t1", "t2", "t3"]


async def test_recorded_answer_does_not_wait_for_the_thread(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1")
    hold = stage.backend.hold_turn()
    second = stage.begin(replica.ask("t2"))
    await hold.asked.wait()
    begun_at = seconds()

    assert (await replica.ask("t1")).is_replayed
    assert seconds() - begun_at < 0.1
    hold.let_go()
    await second


async def test_recorded_answer_does_not_wait_for_a_permit(stage: Stage) -> None:
    replica = await stage.replica(limits=replace(LIMITS, concurrent_turns=1))
    await replica.ask("t1")
    hold = stage.backend.hold_turn()
    second = stage.begin(replica.ask("t1", process_instance_id="p2"))
    await hold.asked.wait()
    begun_at = seconds()

    assert (await replica.ask("t1")).is_replayed
    assert seconds() - begun_at < 0.1
    hold.let_go()
    await second


async def test_nothing_is_left_of_a_line_once_its_tasks_are_answered(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    waiting = await tasks_in_line(stage, replica, 3)

    assert replica.manager.in_flight_count == 3
    hold.let_go()
    await asyncio.gather(*waiting)
    assert replica.manager.in_flight_count == 0
    assert not replica.manager._turns._queue._lines
    assert replica.manager._turns._queue._count == 0

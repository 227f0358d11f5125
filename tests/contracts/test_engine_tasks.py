"""What every engine promises about service tasks: leases, reports, retries, and ends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dadm.domain.errors import EngineUnavailable, InvalidModel, LeaseLost, TaskGone
from dadm.domain.json import JsonObject
from dadm.ports.engine import LeasedTask
from dadm.ports.engine_features import Feature
from tests.contracts.engines import (
    AT_ONCE,
    CAUGHT,
    LONG,
    REAL,
    Engine,
    EngineUnderTest,
)


@pytest.fixture(
    params=[
        "memory_engine",
        "embedded_engine",
        "embedded_on_sqlite",
        pytest.param("operaton", marks=REAL),
        pytest.param("camunda7", marks=REAL),
        pytest.param("camunda8", marks=REAL),
    ]
)
def given(request: pytest.FixtureRequest) -> EngineUnderTest:
    found: EngineUnderTest = request.getfixturevalue(request.param)
    return found


Report = Callable[[Engine, LeasedTask], Awaitable[None]]


async def complete(engine: Engine, task: LeasedTask) -> None:
    await engine.complete(task, variables={"x": 1})


async def fail(engine: Engine, task: LeasedTask) -> None:
    await engine.fail(task, message="No.", details="", retries=3, retry_after=AT_ONCE)


async def give_up(engine: Engine, task: LeasedTask) -> None:
    await engine.fail(task, message="No.", details="Why.", retries=0, retry_after=AT_ONCE)


async def throw(engine: Engine, task: LeasedTask) -> None:
    await engine.bpmn_error(task, error_code=CAUGHT, message="No.", variables={})


async def extend(engine: Engine, task: LeasedTask) -> None:
    await engine.extend(task, lease_duration=LONG)


OUTCOMES = [complete, fail, give_up, throw]
REPORTS = [*OUTCOMES, extend]


async def test_a_task_carries_what_it_was_offered_with(given: EngineUnderTest) -> None:
    variables: JsonObject = {
        "ä": "ü\n€ 𝄞",
        "deep": {"l": [1, 2.5, None, True, ""]},
        "long": "x" * 100_000,
    }
    features = given.engine.features
    tenant = "acme" if given.has_tenants else ""
    instance_id = await given.offer(tenant=tenant, priority=7, variables=variables)

    task = await given.take()

    assert task.variables == (variables if Feature.ALL_VARIABLES in features else {})
    assert (task.topic, task.element_id, task.tenant) == ("alpha", "Task_1", tenant)
    assert task.priority == (7 if Feature.PRIORITY in features else 0)
    assert task.process_instance_id == instance_id
    assert task.process_definition_key == "p"
    assert task.properties["a"] == "b"
    assert task.documentation == "What now?"
    assert task.caught_errors == {CAUGHT}
    assert task.retries == (3 if Feature.RETRIES_IN_MODEL in features else None)
    assert task.mapped is None
    assert task.lease
    assert task.lease_expires_at.tzinfo is not None


async def test_a_task_is_leased_to_one_worker_at_a_time(given: EngineUnderTest) -> None:
    await given.offer()

    await given.take()

    assert not await given.fetch()
    assert not await given.fetch(engine=given.other)


async def test_many_workers_at_once_each_get_other_tasks(given: EngineUnderTest) -> None:
    for _ in range(20):
        await given.offer()

    fetched = await asyncio.gather(
        *(given.fetch(most=3, engine=engine) for engine in (given.engine, given.other) * 5)
    )

    # An engine may give some of them less than there is, where they reach for the same.
    rest = await given.gather(count=20 - sum(map(len, fetched)))
    ids = [task.task_id for batch in (*fetched, rest) for task in batch]
    assert len(ids) == len(set(ids)) == 20


async def test_no_more_tasks_are_given_than_wanted_oldest_first(given: EngineUnderTest) -> None:
    offered = [await given.offer() for _ in range(4)]

    first = await given.fetch(most=3)
    rest = await given.fetch(most=3)

    assert [task.process_instance_id for task in (*first, *rest)] == offered
    assert len(first) == 3


async def test_the_highest_priority_comes_first(given: EngineUnderTest) -> None:
    offered = [await given.offer(priority=priority) for priority in (1, 9, 5, 9)]

    fetched = await given.fetch(most=3)

    order = (1, 3, 2) if Feature.PRIORITY in given.engine.features else (0, 1, 2)
    assert [task.process_instance_id for task in fetched] == [offered[i] for i in order]


async def test_only_topics_that_are_subscribed_to_are_given(given: EngineUnderTest) -> None:
    await given.offer("alpha")
    await given.offer("beta", key="q")

    assert not await given.fetch("gamma")
    assert (await given.take_briefly("beta")).process_definition_key == "q"
    both = await given.gather("alpha", "beta", count=2)
    assert {(task.topic, task.process_definition_key) for task in both} == {
        ("alpha", "p"),
        ("beta", "q"),
    }


async def test_tasks_of_other_processes_are_left_to_others(given: EngineUnderTest) -> None:
    await given.offer("alpha")
    mine = await given.offer("beta", key="q")

    assert not await given.fetch("alpha", keys=("q",))
    (task,) = await given.fetch("alpha", "beta", keys=("q",))
    assert task.process_instance_id == mine
    # One that was taken to see whose it is rests a while.
    is_filtered = Feature.PROCESS_FILTER in given.engine.features
    assert len(await given.fetch("alpha")) == (1 if is_filtered else 0)


async def test_tasks_of_other_tenants_are_left_to_others(given: EngineUnderTest) -> None:
    first = await given.offer()
    if not given.has_tenants:
        with pytest.raises(InvalidModel):
            await given.offer(tenant="acme")
        assert (await given.take()).process_instance_id == first
        return
    second = await given.offer(tenant="acme")

    (theirs,) = await given.gather(count=1, tenants=("acme",))

    assert (theirs.process_instance_id, theirs.tenant) == (second, "acme")
    (none,) = await given.gather(count=1, tenants=("",))
    assert (none.process_instance_id, none.tenant) == (first, "")


async def test_nothing_wanted_is_nothing_given(given: EngineUnderTest) -> None:
    await given.offer()

    assert not await given.fetch(most=0)
    assert not await given.engine.fetch_and_lease([], max_tasks=1, request_timeout=LONG)
    assert len(await given.fetch()) == 1


async def test_a_lease_that_ran_out_is_offered_again_as_the_same_task(
    given: EngineUnderTest,
) -> None:
    await given.offer()

    first = await given.take_briefly()
    second = await given.take()

    assert first.task_id == second.task_id
    assert first.lease != second.lease
    assert second.retries == first.retries


@pytest.mark.parametrize("report", REPORTS)
async def test_who_lost_the_lease_to_another_cannot_report(
    given: EngineUnderTest, report: Report
) -> None:
    await given.offer()
    first = await given.take_briefly()
    second = await given.take()

    if report is complete and Feature.FENCED_LEASE not in given.engine.features:
        # The work is the same, whoever reports it.
        await report(given.engine, first)
        with pytest.raises(TaskGone):
            await given.engine.complete(second, variables={})
        return
    with pytest.raises(LeaseLost):
        await report(given.engine, first)
    await given.engine.complete(second, variables={})


@pytest.mark.parametrize("report", OUTCOMES)
async def test_a_late_report_counts_while_nobody_else_has_the_task(
    given: EngineUnderTest, report: Report
) -> None:
    await given.offer()
    task = await given.take_briefly()

    if report is not complete and Feature.FENCED_LEASE not in given.engine.features:
        # It might free or stop what another has taken meanwhile.
        with pytest.raises(LeaseLost):
            await report(given.other, task)
        await complete(given.engine, await given.take())
        return
    await report(given.other, task)

    if report in (fail, give_up) and Feature.LEASE_ENDS_WITH_FAILURE not in given.engine.features:
        await complete(given.engine, task)
        assert not await given.engine.is_active(task)
    else:
        with pytest.raises((TaskGone, LeaseLost)):
            await complete(given.engine, task)


async def test_a_lease_that_ran_out_is_not_extended(given: EngineUnderTest) -> None:
    await given.offer()
    task = await given.take_briefly()

    with pytest.raises(LeaseLost):
        await extend(given.engine, task)


async def test_extending_counts_from_now_and_may_shorten(given: EngineUnderTest) -> None:
    await given.offer()
    task = await given.take()

    await given.engine.extend(task, lease_duration=LONG)
    assert not await given.fetch()
    await given.engine.extend(task, lease_duration=AT_ONCE)

    assert (await given.take()).task_id == task.task_id


@pytest.mark.parametrize("report", REPORTS)
async def test_a_completed_task_is_gone(given: EngineUnderTest, report: Report) -> None:
    await given.offer()
    task = await given.take()
    assert await given.engine.is_active(task)
    await complete(given.engine, task)

    with pytest.raises(TaskGone):
        await report(given.engine, task)

    assert not await given.engine.is_active(task)
    assert not await given.fetch()


@pytest.mark.parametrize("report", REPORTS)
async def test_a_task_of_a_cancelled_instance_is_gone(
    given: EngineUnderTest, report: Report
) -> None:
    instance_id = await given.offer()
    task = await given.take()
    await given.cancel(instance_id)

    with pytest.raises(TaskGone):
        await report(given.engine, task)

    assert not await given.engine.is_active(task)


async def test_of_two_completions_at_once_one_counts(given: EngineUnderTest) -> None:
    await given.offer()
    task = await given.take()

    results = await asyncio.gather(
        *(complete(engine, task) for engine in (given.engine, given.other, given.engine)),
        return_exceptions=True,
    )

    assert [type(result) for result in results if result is not None] == [TaskGone, TaskGone]


async def test_a_task_given_back_is_offered_at_once_to_anyone_else(given: EngineUnderTest) -> None:
    assert Feature.UNLOCK in given.engine.features
    await given.offer()
    task = await given.take()

    await given.engine.unlease(task)

    again = await given.take()
    assert (again.task_id, again.retries) == (task.task_id, task.retries)
    await given.engine.unlease(task)
    assert not await given.fetch()
    for report in (extend, fail, throw, give_up):
        with pytest.raises(LeaseLost):
            await report(given.engine, task)
    if Feature.FENCED_LEASE in given.engine.features:
        with pytest.raises(LeaseLost):
            await complete(given.engine, task)
    await complete(given.engine, again)


async def test_giving_back_what_is_gone_does_no_harm(given: EngineUnderTest) -> None:
    await given.offer()
    task = await given.take()
    await complete(given.engine, task)

    await given.engine.unlease(task)

    assert not await given.fetch()


async def test_a_failed_task_comes_again_with_the_retries_reported(given: EngineUnderTest) -> None:
    await given.offer()
    task = await given.take()

    await given.engine.fail(task, message="No.", details="", retries=2, retry_after=AT_ONCE)

    again = await given.take()
    assert (again.task_id, again.retries) == (task.task_id, 2)
    await complete(given.engine, again)


async def test_a_failed_task_does_not_come_before_its_time(given: EngineUnderTest) -> None:
    await given.offer()
    task = await given.take()

    await given.engine.fail(task, message="No.", details="", retries=2, retry_after=LONG)

    assert not await given.fetch()
    assert await given.engine.is_active(task)


async def test_a_task_without_retries_waits_for_a_person(given: EngineUnderTest) -> None:
    await given.offer()
    task = await given.take()

    await give_up(given.engine, task)

    assert not await given.fetch()
    assert await given.engine.is_active(task)
    await given.retry(task, 4)
    again = await given.take()
    assert (again.task_id, again.retries) == (task.task_id, 4)
    await complete(given.engine, again)


async def test_a_caught_error_takes_the_task_away(given: EngineUnderTest) -> None:
    await given.offer()
    task = await given.take()

    await throw(given.engine, task)

    assert not await given.engine.is_active(task)
    assert not await given.fetch()


async def test_an_error_that_nothing_catches_waits_for_a_person(given: EngineUnderTest) -> None:
    await given.offer()
    task = await given.take()

    await given.engine.bpmn_error(task, error_code="OTHER", message="No.", variables={})

    assert not await given.fetch()
    assert await given.engine.is_active(task)
    await given.retry(task, 1)
    await complete(given.engine, await given.take())


async def test_a_suspended_instance_takes_no_reports_until_it_goes_on(
    given: EngineUnderTest,
) -> None:
    held, waiting = await given.offer(), await given.offer("beta", key="q")
    task = await given.take()

    is_suspended = [await given.suspend(each) for each in (held, waiting)]

    assert all(is_suspended) == any(is_suspended) == (Feature.SUSPENSION in given.engine.features)
    if all(is_suspended):
        for report in REPORTS:
            with pytest.raises(EngineUnavailable):
                await report(given.engine, task)
        assert await given.engine.is_active(task)
        assert not await given.fetch("beta")
        for each in (held, waiting):
            await given.resume(each)
    await complete(given.engine, task)
    await complete(given.engine, await given.take("beta"))

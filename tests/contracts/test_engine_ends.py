"""What every engine promises to tell about the ends of process instances."""

import pytest

from dadm.ports.engine import InstanceState
from dadm.ports.engine_features import Feature
from tests.contracts.engines import AT_ONCE, REAL, EngineUnderTest


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


async def test_ends_are_told_in_order_until_forgotten(given: EngineUnderTest) -> None:
    features = given.engine.features
    offered = [await given.offer() for _ in range(3)]
    tasks = {task.process_instance_id: task for task in await given.gather(count=3)}
    for instance_id in reversed(offered):
        if Feature.CANCELLED_ENDS in features:
            await given.cancel(instance_id)
        else:
            await given.engine.complete(tasks[instance_id], variables={})
    reader = given.other if Feature.SHARED_ENDS in features else given.engine

    told = await given.told(reader, count=3)

    assert [ended.instance_id for ended in told] == offered[::-1]
    is_cancelled = Feature.CANCELLED_ENDS in features
    assert {ended.state for ended in told} == {
        InstanceState.CANCELLED if is_cancelled else InstanceState.COMPLETED
    }
    positions = [ended.position for ended in told]
    assert positions == sorted(set(positions))
    assert list(await given.engine.ended_instances(after=positions[0], limit=1)) == [told[1]]
    await given.engine.forget_ended(up_to=positions[1])
    assert list(await given.engine.ended_instances(after=0, limit=10)) == [told[2]]
    left = list(await given.other.ended_instances(after=0, limit=10))
    if Feature.SHARED_ENDS not in features:
        assert not left
        return
    # Forgotten for whoever is there now; where the engine's own history is read, not for others.
    assert left == ([told[2]] if Feature.OUTBOX in features else list(told))


async def test_a_cancelled_instance_is_told_where_that_can_be(given: EngineUnderTest) -> None:
    cancelled = await given.offer()
    await given.take()
    await given.cancel(cancelled)

    told = await given.engine.ended_instances(after=0, limit=10)

    is_told = Feature.CANCELLED_ENDS in given.engine.features
    assert [ended.instance_id for ended in told] == ([cancelled] if is_told else [])


async def test_it_says_what_became_of_instances(given: EngineUnderTest) -> None:
    waiting, stuck, cancelled = [await given.offer() for _ in range(3)]
    asked = [waiting, stuck, cancelled, "unknown"]
    if Feature.INSTANCE_STATES not in given.engine.features:
        await given.cancel(cancelled)
        # Nobody knows, so that nothing is closed.
        assert not await given.engine.instance_states(asked)
        return
    states = await given.other.instance_states(asked)
    assert states == dict.fromkeys(asked[:3], InstanceState.ACTIVE)

    await given.cancel(cancelled)
    for task in await given.fetch():
        if task.process_instance_id == stuck:
            await given.engine.fail(task, message="No.", details="", retries=0, retry_after=AT_ONCE)

    states = await given.other.instance_states(asked)
    assert states == {
        waiting: InstanceState.ACTIVE,
        stuck: InstanceState.ACTIVE,
        cancelled: InstanceState.CANCELLED,
    }
    assert not await given.engine.instance_states([])


async def test_more_instances_than_fit_one_request_are_asked_about(
    given: EngineUnderTest,
) -> None:
    running = await given.offer()
    asked = [*(f"unknown {number}" for number in range(1001)), running]

    states = await given.engine.instance_states(asked)

    is_told = Feature.INSTANCE_STATES in given.engine.features
    assert states == ({running: InstanceState.ACTIVE} if is_told else {})

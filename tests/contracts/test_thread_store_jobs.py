"""A job is one replica's at a time, and whoever takes it next goes on where it was left."""

import asyncio

from dadm.ports.jobs import JobKey
from tests.contracts.stores import AT_ONCE, LONG, StoreUnderTest

JOB = JobKey(name="ends", subject="camunda7")


async def test_a_job_is_one_owner_s_at_a_time(given: StoreUnderTest) -> None:
    owners = [f"replica {number}" for number in range(5)]

    taken = await asyncio.gather(
        *(given.store.take_job(JOB, owner=owner, lease_seconds=LONG) for owner in owners)
    )

    assert sorted(taken, key=str) == [0, None, None, None, None]
    holder = owners[taken.index(0)]
    assert await given.store.take_job(JOB, owner=holder, lease_seconds=LONG) == 0
    other = JobKey(name="ends", subject="operaton")
    assert await given.store.take_job(other, owner="replica 9", lease_seconds=LONG) == 0


async def test_a_job_goes_on_where_it_was_left(given: StoreUnderTest) -> None:
    far = 1_700_000_000_000_123
    await given.store.take_job(JOB, owner="a", lease_seconds=LONG)
    assert await given.store.note_job(JOB, owner="a", position=far)
    assert await given.store.take_job(JOB, owner="a", lease_seconds=LONG) == far

    await given.store.leave_job(JOB, owner="a")

    assert await given.store.take_job(JOB, owner="b", lease_seconds=LONG) == far
    assert not await given.store.note_job(JOB, owner="a", position=1)
    await given.store.leave_job(JOB, owner="a")
    assert await given.store.take_job(JOB, owner="c", lease_seconds=LONG) is None


async def test_a_job_whose_owner_died_is_another_s_once_its_time_has_run_out(
    given: StoreUnderTest,
) -> None:
    await given.store.take_job(JOB, owner="a", lease_seconds=AT_ONCE)
    assert await given.store.note_job(JOB, owner="a", position=7)

    assert await given.store.take_job(JOB, owner="b", lease_seconds=LONG) == 7

    assert not await given.store.note_job(JOB, owner="a", position=8)
    assert await given.store.take_job(JOB, owner="a", lease_seconds=LONG) is None


async def test_a_job_that_rests_is_nobody_s(given: StoreUnderTest) -> None:
    await given.store.take_job(JOB, owner="a", lease_seconds=LONG)
    for _ in range(2):
        await given.store.leave_job(JOB, owner="a", rest_seconds=LONG)

    assert await given.store.take_job(JOB, owner="a", lease_seconds=LONG) is None
    assert await given.store.take_job(JOB, owner="b", lease_seconds=LONG) is None


async def test_a_job_that_nobody_has_can_neither_be_noted_nor_left(given: StoreUnderTest) -> None:
    assert not await given.store.note_job(JOB, owner="a", position=1)
    await given.store.leave_job(JOB, owner="a", rest_seconds=LONG)

    assert await given.store.take_job(JOB, owner="b", lease_seconds=LONG) == 0

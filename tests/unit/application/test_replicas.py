"""Several replicas over one store: one writer per thread, whatever becomes of the others."""

import asyncio
from dataclasses import replace

import pytest

from dadm.application.lease_keeping import LeaseKeeper
from dadm.domain.errors import (
    BackendError,
    BackendRefused,
    BackendUnavailable,
    StoreUnavailable,
    ThreadConflict,
)
from dadm.domain.transcript import Role
from dadm.domain.turn import TurnState
from dadm.ports.store_values import Lease, ThreadGranted
from tests.builders import make_key
from tests.clocks import LoopClock
from tests.unit.application.stage import LIMITS, Replica, Stage, settled

BEAT_SECONDS = LIMITS.lease_seconds / 3


def seconds() -> float:
    return asyncio.get_running_loop().time()


async def test_two_replicas_on_one_thread_keep_the_order_and_double_nothing(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()
    asking = []
    for number in range(20):
        replica = one if number % 2 else other
        asking.append(stage.begin(replica.ask(f"t{number}")))
        await asyncio.sleep(0.005)

    await asyncio.gather(*asking)

    assert stage.asked == [f"What about t{number}?" for number in range(20)]
    if stage.backend.keeps_conversations:
        thread = await stage.thread()
        kept = await stage.kept(thread.thread_id or "")
        asked = [each.text for each in kept if each.role is Role.USER]
        assert asked == stage.asked


async def test_one_task_at_two_replicas_is_asked_once(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()

    answers = await asyncio.gather(one.ask("t1"), other.ask("t1"))

    assert len(stage.asked) == 1
    assert answers[0].turn_id == answers[1].turn_id
    assert sorted(answer.is_replayed for answer in answers) == [False, True]


async def test_threads_of_two_replicas_do_not_wait_for_each_other(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(one.ask("t1"))
    await hold.asked.wait()
    begun_at = seconds()

    await other.ask("t1", process_instance_id="p2")

    assert seconds() - begun_at < 0.1
    hold.let_go()
    await first


async def test_second_replica_takes_over_when_the_lease_of_the_first_has_run_out(
    stage: Stage,
) -> None:
    # However rarely it asks, it knows how long the lease may last.
    rarely = replace(LIMITS, poll_seconds=1000)
    one, other = await stage.replica(), await stage.replica(limits=rarely)
    hold = stage.backend.hold_turn()
    stage.let_run(one.ask("t1"))
    await hold.asked.wait()
    await asyncio.sleep(BEAT_SECONDS + 1)
    await one.crash()
    hold.let_go()
    begun_at = seconds()

    answer = await other.ask("t1")

    assert answer.recommendation == "ok"
    assert LIMITS.lease_seconds - BEAT_SECONDS <= seconds() - begun_at <= LIMITS.lease_seconds
    assert len(await stage.turns()) == 1


async def test_holder_that_cannot_extend_stops_before_its_lease_could_have_run_out(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    replica.store.fail_next("extend", StoreUnavailable(), times=99)

    with pytest.raises(ThreadConflict, match="in time"):
        await asking

    assert seconds() <= LIMITS.lease_seconds - LIMITS.lease_margin_seconds + 0.01
    assert seconds() > LIMITS.lease_seconds / 2
    assert (await stage.turn()).state is TurnState.SUBMITTED


async def test_lease_that_was_extended_lasts_from_when_the_beat_was_sent(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    replica.store.latency_seconds = 3
    await asyncio.sleep(BEAT_SECONDS + 4)
    replica.store.fail_next("extend", StoreUnavailable(), times=99)

    with pytest.raises(ThreadConflict, match="in time"):
        await asking

    sure_seconds = LIMITS.lease_seconds - LIMITS.lease_margin_seconds
    assert seconds() == pytest.approx(BEAT_SECONDS + sure_seconds, abs=0.1)


async def test_beat_that_fails_once_is_made_up_for_by_the_next(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    replica.store.fail_next("extend", StoreUnavailable())
    await asyncio.sleep(LIMITS.lease_seconds * 2)
    hold.let_go()

    assert (await asking).recommendation == "ok"


async def test_beat_that_hangs_stops_the_holder_in_time(stage: Stage) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    replica.store.hold_next("extend")

    with pytest.raises(ThreadConflict):
        await asking

    assert seconds() <= LIMITS.lease_seconds - LIMITS.lease_margin_seconds + 0.01


async def test_holder_whose_thread_was_granted_to_another_stops_at_its_next_beat(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    await grant_to_another(stage)

    with pytest.raises(ThreadConflict, match="nother replica"):
        await asking

    assert seconds() <= BEAT_SECONDS + 1


async def grant_to_another(stage: Stage) -> Lease:
    """Take the thread away from whoever holds it."""
    stage.store._records.threads[(await stage.thread()).ref].free()
    granted = await stage.store.lease_thread(make_key(), owner="another", lease_seconds=1)
    assert isinstance(granted, ThreadGranted)
    return granted.lease


@pytest.mark.parametrize(
    ("error", "decision"),
    [(None, "settle"), (BackendRefused(), "settle"), (BackendUnavailable(), "replan")],
    ids=["answer", "refusal", "failure"],
)
async def test_holder_whose_fence_is_stale_decides_nothing(
    stage: Stage, error: BackendError | None, decision: str
) -> None:
    replica = await stage.replica()
    if error is not None:
        stage.backend.fail_turn(error)
    arrived, let_go = replica.store.hold_next(decision)
    asking = stage.begin(replica.ask("t1"))
    await arrived.wait()
    await grant_to_another(stage)
    let_go.set()

    with pytest.raises(ThreadConflict):
        await asking

    turn = await stage.turn()
    assert (turn.state, turn.answer) == (TurnState.SUBMITTED, None)


async def test_answer_of_a_stale_holder_does_not_replace_the_recorded_one(keeping: Stage) -> None:
    one, other = await keeping.replica(), await keeping.replica()
    arrived, let_go = one.store.hold_next("settle")
    asking = keeping.begin(one.ask("t1"))
    await arrived.wait()
    one.store.fail_next("extend", StoreUnavailable(), times=99)
    recovered = await other.ask("t1")
    let_go.set()

    with pytest.raises(ThreadConflict):
        await asking

    assert recovered.is_recovered
    assert (await one.ask("t1")).turn_id == recovered.turn_id
    assert len(keeping.asked) == 1


@pytest.mark.parametrize("is_done", [False, True])
async def test_store_that_falters_for_a_moment_does_not_cost_the_answer(
    stage: Stage, *, is_done: bool
) -> None:
    replica = await stage.replica()
    replica.store.fail_next("settle", StoreUnavailable(), is_done=is_done, times=3)

    answer = await replica.ask("t1")

    assert (answer.recommendation, answer.is_replayed) == ("ok", False)
    assert seconds() < 3
    assert len(stage.asked) == 1


async def test_run_whose_name_could_not_be_recorded_goes_on(keeping: Stage) -> None:
    replica = await keeping.replica()
    replica.store.fail_next("note_response", StoreUnavailable())

    answer = await replica.ask("t1")

    assert answer.recommendation == "ok"
    assert len(keeping.asked) == 1


async def test_answer_whose_settling_was_never_confirmed_is_replayed(stage: Stage) -> None:
    replica = await stage.replica()
    replica.store.fail_next("settle", StoreUnavailable(), is_done=True, times=4)
    with pytest.raises(StoreUnavailable):
        await replica.ask("t1")

    again = await replica.ask("t1")

    assert again.is_replayed
    assert len(stage.asked) == 1


async def test_answer_that_could_not_be_settled_is_found_again_where_it_is_kept(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    replica.store.fail_next("settle", StoreUnavailable(), times=4)
    with pytest.raises(StoreUnavailable):
        await replica.ask("t1")

    again = await replica.ask("t1")

    keeps = stage.backend.keeps_conversations
    assert (again.recommendation, again.is_recovered) == ("ok", keeps)
    assert len(stage.asked) == (1 if keeps else 2)
    assert seconds() <= LIMITS.lease_seconds + 1


async def test_claim_that_was_not_confirmed_is_read_back_at_once(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1")
    replica.store.fail_next("claim", StoreUnavailable(), is_done=True)
    begun_at = asyncio.get_running_loop().time()

    answer = await replica.ask("t2")

    assert (answer.recommendation, answer.is_recovered) == ("ok", False)
    assert len(stage.asked) == 2
    assert asyncio.get_running_loop().time() - begun_at < 1


async def test_claim_that_was_never_confirmed_is_claimed_again_once_its_lease_has_run_out(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    await replica.ask("t1")
    replica.store.fail_next("claim", StoreUnavailable(), is_done=True, times=4)
    with pytest.raises(StoreUnavailable):
        await replica.ask("t2")

    again = await replica.ask("t2")

    assert again.recommendation == "ok"
    assert len(stage.asked) == 2


async def test_thread_that_a_task_holds_is_not_handed_out(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(one.ask("t1"))
    await hold.asked.wait()

    with pytest.raises(ThreadConflict, match="holds the thread"):
        await other.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")

    hold.let_go()
    await asking


async def test_first_conversation_begun_by_a_replica_that_died_is_replaced(keeping: Stage) -> None:
    one, other = await keeping.replica(), await keeping.replica()
    arrived, _ = one.store.hold_next("make_live")
    keeping.let_run(one.ask("t1"))
    await arrived.wait()
    await one.crash()

    answer = await other.ask("t1")

    assert (answer.generation, answer.previous_thread_id) == (2, "")
    assert len(keeping.asked) == 1


# LeaseKeeper alone


async def keep(stage: Stage, replica: Replica) -> tuple[LeaseKeeper, Lease]:
    granted = await stage.store.lease_thread(make_key(), owner="me", lease_seconds=30)
    assert isinstance(granted, ThreadGranted)
    keeper = LeaseKeeper(replica.world.store, LoopClock(), LIMITS)
    return keeper, granted.lease


async def test_result_of_work_that_released_its_lease_at_a_beat_is_given(stage: Stage) -> None:
    replica = await stage.replica()
    keeper, lease = await keep(stage, replica)

    async def work() -> str:
        await asyncio.sleep(BEAT_SECONDS)
        await stage.store.release(lease)
        await asyncio.sleep(replica.store.latency_seconds)
        return "done"

    assert await keeper.run(lease, work, asked_at=seconds()) == "done"


async def test_error_of_the_work_comes_as_it_is(stage: Stage) -> None:
    replica = await stage.replica()
    keeper, lease = await keep(stage, replica)
    error = BackendRefused("No.")

    async def work() -> None:
        raise error

    with pytest.raises(BackendRefused) as raised:
        await keeper.run(lease, work, asked_at=seconds())

    assert raised.value is error
    assert replica.store.calls["extend"] == 0


async def test_caller_that_is_cancelled_stops_the_work_and_the_beat(stage: Stage) -> None:
    replica = await stage.replica()
    keeper, lease = await keep(stage, replica)
    running = stage.begin(keeper.run(lease, asyncio.Event().wait, asked_at=seconds()))
    await asyncio.sleep(1)
    running.cancel()
    await settled(running)
    await asyncio.sleep(LIMITS.lease_seconds)

    assert running.cancelled()
    assert replica.store.calls["extend"] == 0


async def test_lease_is_counted_from_when_it_was_asked_for(stage: Stage) -> None:
    replica = await stage.replica()
    keeper, lease = await keep(stage, replica)
    await asyncio.sleep(LIMITS.lease_seconds - LIMITS.lease_margin_seconds)

    with pytest.raises(ThreadConflict, match="in time"):
        await keeper.run(lease, asyncio.Event().wait, asked_at=0)

"""Threads whose process instance has ended: cleared or erased after a while, as the policy says."""

import asyncio
from collections.abc import Sequence

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.application.care.thread_care import ThreadCare
from dadm.application.endings.closed_cleanup import (
    LOOK_SECONDS,
    PAUSE_SECONDS,
    ClosedCleanup,
    EndedPolicy,
)
from dadm.application.endings.closed_threads import ClosedThreads
from dadm.application.endings.job_holding import LEASE_SECONDS, JobHolding
from dadm.domain.errors import (
    BackendUnavailable,
    ConversationBusy,
    OutcomeUnknown,
    StoreUnavailable,
    ThreadClosed,
    ThreadErased,
)
from dadm.domain.thread import (
    BackendIdentity,
    GenerationReason,
    GenerationState,
    ThreadRef,
    ThreadState,
)
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ErasureReport
from dadm.ports.jobs import JobKey
from dadm.ports.observer import ConversationDeleted, DeletionTrouble, ThreadCleared
from tests.clocks import LoopClock, Numbers
from tests.unit.application.stage import LIMITS, Replica, Stage, settled

REF = ThreadRef(1)
GRACE = 1000.0
DELETE, ERASE, KEEP = EndedPolicy.DELETE_REMOTE, EndedPolicy.ERASE, EndedPolicy.KEEP


async def janitor(
    stage: Stage, policy: EndedPolicy = DELETE, *, after_seconds: float = GRACE
) -> tuple[ClosedCleanup, Replica]:
    replica = await stage.replica()
    return cleanup_of(replica, policy, after_seconds=after_seconds), replica


def cleanup_of(
    replica: Replica, policy: EndedPolicy = DELETE, *, after_seconds: float = GRACE
) -> ClosedCleanup:
    identifiers = Numbers(f"{id(replica)}_")
    job = JobHolding(replica.world.store, JobKey(name="clear"), LoopClock(), identifiers)
    return ClosedCleanup(replica.world, job, policy=policy, after_seconds=after_seconds)


async def ended(stage: Stage, *instance_ids: str, rebuilds: int = 0) -> Replica:
    """Have instances end that had a turn, and one after each rebuild."""
    replica = await stage.replica()
    for instance_id in instance_ids or ("p1",):
        await replica.ask("t0", process_instance_id=instance_id)
        for number in range(rebuilds):
            await ThreadCare(replica.world).rebuilding.rebuild(REF)
            await replica.ask(f"t{number + 1}", process_instance_id=instance_id)
        await close(stage, instance_id)
    return replica


async def close(stage: Stage, instance_id: str = "p1") -> None:
    await stage.store.close_scope(
        engine="embedded", tenant="", scope=instance_id, reason="completed"
    )


async def trail(stage: Stage) -> Sequence[tuple[AuditAction, str]]:
    return [(row.action, row.detail) for row in await stage.store.audit(REF)]


async def test_a_thread_is_cleared_after_the_grace_with_a_receipt_and_its_transcript_stays(
    keeping: Stage,
) -> None:
    asking = await ended(keeping, rebuilds=1)
    cleanup, replica = await janitor(keeping)
    await asyncio.sleep(GRACE - 10)
    assert await cleanup.clean_due() == 0
    assert keeping.called("erase") == 0
    await asyncio.sleep(10)

    assert await cleanup.clean_due() == 1

    assert keeping.backend.conversation_ids == ()
    assert await keeping.states() == [GenerationState.ERASED] * 2
    assert (await keeping.thread()).state is ThreadState.CLOSED
    exchanges = await keeping.store.exchanges(REF)
    assert [each.answer for each in exchanges] == ["ok", "ok"]
    receipt = (AuditAction.CLEARED, "2 conversations, 6 items, 2 responses, 0 ids refused")
    assert (await trail(keeping))[-1] == receipt
    assert replica.told(ThreadCleared) == [
        ThreadCleared(process_instance_id="p1", policy="delete-remote", conversations=2)
    ]
    assert len(replica.told(ConversationDeleted)) == 2
    assert (await asking.ask("t0")).is_replayed
    with pytest.raises(ThreadClosed):
        await asking.ask("late")
    assert await cleanup.clean_due() == 0


async def test_threads_of_instances_that_run_are_left_alone(keeping: Stage) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    await asyncio.sleep(10 * GRACE)

    assert await cleanup_of(replica).clean_due() == 0
    assert await cleanup_of(replica, ERASE).clean_due() == 0

    assert keeping.called("erase") == 0


async def test_erasing_leaves_nothing_but_the_receipt(keeping: Stage) -> None:
    asking = await ended(keeping)
    cleanup, replica = await janitor(keeping, ERASE)
    await asyncio.sleep(GRACE)

    assert await cleanup.clean_due() == 1

    assert keeping.backend.conversation_ids == ()
    receipt = await keeping.store.receipt(REF)
    assert receipt is not None
    assert (receipt.turns, receipt.conversations, receipt.deleted_items) == (1, 1, 2)
    assert replica.told(ThreadCleared) == [
        ThreadCleared(process_instance_id="", policy="erase", conversations=1)
    ]
    with pytest.raises((ThreadClosed, ThreadErased)):
        await asking.ask("late")


async def test_what_was_cleared_under_another_policy_is_erased_too(keeping: Stage) -> None:
    await ended(keeping)
    await asyncio.sleep(GRACE)
    cleanup, replica = await janitor(keeping)
    assert await cleanup.clean_due() == 1

    job_is_free = LEASE_SECONDS
    await asyncio.sleep(job_is_free)
    assert await cleanup_of(replica, ERASE).clean_due() == 1

    receipt = await keeping.store.receipt(REF)
    assert receipt is not None
    assert receipt.deleted_items == 2


async def test_keeping_leaves_everything_and_costs_nothing(keeping: Stage) -> None:
    await ended(keeping)
    cleanup, replica = await janitor(keeping, KEEP)
    stop = asyncio.Event()
    running = keeping.begin(cleanup.run(stop))

    await asyncio.sleep(10 * GRACE)
    stop.set()
    await running

    assert len(keeping.backend.conversation_ids) == 1
    assert not replica.store.calls


async def test_where_the_backend_keeps_nothing_it_is_written_down_all_the_same(
    forgetful: Stage,
) -> None:
    await ended(forgetful)
    cleanup, _ = await janitor(forgetful, after_seconds=0)

    assert await cleanup.clean_due() == 1

    assert (await trail(forgetful))[-1][0] is AuditAction.CLEARED
    assert await forgetful.store.exchanges(REF)


async def test_a_turn_that_is_open_is_brought_to_its_end_first(keeping: Stage) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.fail_turn(OutcomeUnknown("Cut."), is_applied=True)
    for method in ("retrieve", "look"):
        keeping.backend.fail(method, BackendUnavailable("Not now."))
    await settled(replica.ask("t2"))
    await close(keeping)
    await asyncio.sleep(GRACE)
    cleanup, other = await janitor(keeping)

    assert await cleanup.clean_due() == 0

    assert keeping.called("erase") == 0
    await ClosedThreads(other.world).end_open_turns()
    await asyncio.sleep(GRACE)
    assert await cleanup.clean_due() == 1
    assert len(await keeping.store.exchanges(REF)) == 2


async def test_nothing_is_deleted_while_a_request_that_was_left_behind_may_run(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.fail_turn(OutcomeUnknown("Cut."), is_applied=False)
    await replica.ask("t2")
    assert (await keeping.generations())[-1].reason is GenerationReason.FENCED
    await close(keeping)
    cleanup, _ = await janitor(keeping, after_seconds=0)

    assert await cleanup.clean_due() == 0
    assert keeping.called("erase") == 0
    await asyncio.sleep(LIMITS.turn_seconds + 1000)

    assert await cleanup.clean_due() == 1
    assert keeping.backend.conversation_ids == ()


async def test_a_thread_that_is_held_waits_and_others_come_first(keeping: Stage) -> None:
    await ended(keeping, "p1", "p2")
    await asyncio.sleep(GRACE)
    await keeping.store.lease_known_thread(REF, owner="somebody", lease_seconds=1200)
    cleanup, _ = await janitor(keeping)

    assert await cleanup.clean_due() == 1
    assert await cleanup.clean_due() == 0
    await asyncio.sleep(1200)
    assert await cleanup.clean_due() == 1


@pytest.mark.parametrize("policy", [DELETE, ERASE])
@pytest.mark.parametrize(
    "point", ["response_ids", "note_erased", "retire", "note_cleared", "finish_erasure"]
)
async def test_interrupted_anywhere_it_goes_on_the_next_time(
    keeping: Stage, policy: EndedPolicy, point: str
) -> None:
    await ended(keeping, rebuilds=1)
    await asyncio.sleep(GRACE)
    cleanup, replica = await janitor(keeping, policy)
    arrived, _ = replica.store.hold_next(point)
    dying = keeping.begin(cleanup.run(asyncio.Event()))
    await asyncio.wait(
        [keeping.begin(arrived.wait()), keeping.begin(asyncio.sleep(5))],
        return_when=asyncio.FIRST_COMPLETED,
    )
    await replica.crash()
    dying.cancel()
    await asyncio.sleep(LEASE_SECONDS + LIMITS.lease_seconds)
    other, _ = await janitor(keeping, policy)
    await other.clean_due()

    assert keeping.backend.conversation_ids == ()
    assert await keeping.states() == [GenerationState.ERASED] * 2
    rows = [action for action, _ in await trail(keeping)]
    last = AuditAction.CLEARED if policy is DELETE else AuditAction.ERASED
    assert rows.count(last) == 1


async def test_a_backend_that_fails_is_left_alone_for_a_while_and_told_of_once(
    keeping: Stage,
) -> None:
    await ended(keeping, "p1", "p2", "p3")
    await asyncio.sleep(GRACE)
    for _ in range(3):
        keeping.backend.fail("erase", BackendUnavailable("HTTP 429"))
    cleanup, replica = await janitor(keeping)
    stop = asyncio.Event()
    running = keeping.begin(cleanup.run(stop))

    await asyncio.sleep(3 * 3600)
    stop.set()
    await running

    assert keeping.backend.conversation_ids == ()
    assert keeping.called("erase") <= 3 + 3
    assert [each.is_over for each in replica.told(DeletionTrouble)] == [False, True]


@pytest.mark.parametrize("policy", [DELETE, ERASE])
async def test_a_backend_that_fails_is_not_tried_with_every_thread_that_is_due(
    keeping: Stage, policy: EndedPolicy
) -> None:
    instance_ids = [f"p{number}" for number in range(6)]
    await ended(keeping, *instance_ids)
    await asyncio.sleep(GRACE)
    keeping.backend.fail("erase", BackendUnavailable("HTTP 503"))
    cleanup, replica = await janitor(keeping, policy)

    assert await cleanup.clean_due() == 0

    assert keeping.called("erase") == 1
    await asyncio.sleep(480)
    assert await cleanup.clean_due() == len(instance_ids)
    assert [each.is_over for each in replica.told(DeletionTrouble)] == [False, True]


async def test_erasing_goes_on_where_a_backend_failed_and_waits_for_who_holds_a_thread(
    keeping: Stage,
) -> None:
    await ended(keeping, "p1", "p2", "p3")
    await asyncio.sleep(GRACE)
    keeping.backend.fail("erase", ConversationBusy("A run holds it."))
    held = ThreadRef(2)
    await keeping.store.lease_known_thread(held, owner="somebody", lease_seconds=1200)
    cleanup, replica = await janitor(keeping, ERASE)

    assert await cleanup.clean_due() == 1

    states = [thread.state for thread in await keeping.threads()]
    assert states == [ThreadState.ERASING, ThreadState.CLOSED, ThreadState.ERASED]
    assert not replica.told(DeletionTrouble)
    await asyncio.sleep(3600)
    assert await cleanup.clean_due() == 2
    assert keeping.backend.conversation_ids == ()


async def test_a_thread_that_a_person_erases_meanwhile_is_left_to_that(keeping: Stage) -> None:
    asking = await ended(keeping)
    await asyncio.sleep(GRACE)
    cleanup, replica = await janitor(keeping)
    arrived, let_go = replica.store.hold_next("lease_known_thread")
    cleaning = keeping.begin(cleanup.clean_due())
    await arrived.wait()

    await ThreadCare(asking.world).erasing.erase(REF)
    let_go.set()

    assert await cleaning == 0
    assert (await keeping.thread()).state is ThreadState.ERASED


async def test_who_has_lost_the_job_stops_after_the_thread_in_hand(keeping: Stage) -> None:
    await ended(keeping, "p1", "p2", "p3")
    await asyncio.sleep(GRACE)
    cleanup, replica = await janitor(keeping)
    arrived, let_go = replica.store.hold_next("note_cleared")
    cleaning = keeping.begin(cleanup.clean_due())
    await arrived.wait()
    await asyncio.sleep(LEASE_SECONDS)
    other = JobHolding(keeping.store, JobKey(name="clear"), LoopClock(), Numbers("other_"))
    assert await other.is_held()

    let_go.set()

    assert await cleaning <= 1
    assert len(keeping.backend.conversation_ids) == 2


async def test_a_conversation_that_is_busy_keeps_no_other_thread_waiting(keeping: Stage) -> None:
    await ended(keeping, "p1", "p2")
    await asyncio.sleep(GRACE)
    keeping.backend.fail("erase", ConversationBusy("A run holds it."))
    cleanup, replica = await janitor(keeping)

    assert await cleanup.clean_due() == 1

    assert not replica.told(DeletionTrouble)
    await asyncio.sleep(3600)
    assert await cleanup.clean_due() == 1


async def test_what_a_backend_refuses_to_delete_is_counted_in_the_receipt(keeping: Stage) -> None:
    class Refusing(ScriptedBackend):
        async def erase(self, *args: object, **options: object) -> ErasureReport:
            del args, options
            return ErasureReport(deleted_items=1, deleted_responses=0, unreachable=("item_2",))

    keeping.use(Refusing(keeps_conversations=True))
    await ended(keeping)
    cleanup, replica = await janitor(keeping, after_seconds=0)

    assert await cleanup.clean_due() == 1

    assert (await trail(keeping))[-1][1] == "1 conversations, 1 items, 0 responses, 1 ids refused"
    assert replica.told(ConversationDeleted)[0].unreachable == ("item_2",)


async def test_threads_whose_backend_is_not_reached_wait(keeping: Stage) -> None:
    await ended(keeping)
    elsewhere = ScriptedBackend(
        keeps_conversations=True, identity=BackendIdentity(adapter="scripted", account="other")
    )
    keeping.backends.default = elsewhere
    keeping.backends.add(elsewhere)
    keeping.backends.known.pop(keeping.backend.identity)
    cleanup, _ = await janitor(keeping, after_seconds=0)

    assert await cleanup.clean_due() == 0

    assert not elsewhere.calls
    keeping.backends.add(keeping.backend)
    assert await cleanup.clean_due() == 1


async def test_a_conversation_that_becomes_known_late_is_deleted_too(keeping: Stage) -> None:
    await ended(keeping)
    cleanup, _ = await janitor(keeping, after_seconds=0)
    assert await cleanup.clean_due() == 1
    await keeping.store.note_conversation(
        REF,
        identity=keeping.backend.identity,
        conversation_id=await keeping.backend.open(labels={}),
        reason=GenerationReason.LOST,
        opened_from=0,
        opened_to=0,
    )

    assert await cleanup.clean_due() == 1

    assert keeping.backend.conversation_ids == ()


async def test_one_replica_does_it_and_another_when_that_has_died(keeping: Stage) -> None:
    await ended(keeping, *(f"p{number}" for number in range(5)))
    await asyncio.sleep(GRACE)
    janitors = [await janitor(keeping) for _ in range(3)]
    stop = asyncio.Event()
    running = [keeping.begin(cleanup.run(stop)) for cleanup, _ in janitors]

    await asyncio.sleep(2 * LOOK_SECONDS)

    (busy,) = [replica for _, replica in janitors if replica.told(ThreadCleared)]
    assert len(busy.told(ThreadCleared)) == 5
    await busy.crash()
    await ended(keeping, "later")
    await asyncio.sleep(GRACE + LEASE_SECONDS + 2 * LOOK_SECONDS)
    others = [replica for _, replica in janitors if replica is not busy]
    assert sum(len(replica.told(ThreadCleared)) for replica in others) == 1
    stop.set()
    await settled(
        *(work for work, (_, each) in zip(running, janitors, strict=True) if each is not busy)
    )


async def test_many_are_cleared_with_pauses_between_them(keeping: Stage) -> None:
    await ended(keeping, *(f"p{number}" for number in range(10)))
    await asyncio.sleep(GRACE)
    cleanup, _ = await janitor(keeping)
    begun_at = asyncio.get_running_loop().time()

    assert await cleanup.clean_due() == 10

    assert asyncio.get_running_loop().time() - begun_at >= 10 * PAUSE_SECONDS


async def test_a_store_that_is_away_is_asked_again_later(keeping: Stage) -> None:
    await ended(keeping)
    await asyncio.sleep(GRACE)
    cleanup, replica = await janitor(keeping)
    replica.store.fail_next("threads_to_clear", StoreUnavailable("Away."), times=4)
    stop = asyncio.Event()
    running = keeping.begin(cleanup.run(stop))

    await asyncio.sleep(3 * LOOK_SECONDS)
    stop.set()
    await running

    assert keeping.backend.conversation_ids == ()

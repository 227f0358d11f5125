"""After erasure nothing of a thread is left, here or at its backends, but a receipt."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from dadm.adapters.backends.scripted import Hold, ScriptedBackend
from dadm.application.care.thread_care import ThreadCare
from dadm.application.care.thread_erasing import Erased, Erasing, Postponed, Unfinished
from dadm.application.care.turn_resolving import AsResubmit
from dadm.application.thread_holding import ThreadBusy
from dadm.domain.errors import (
    BackendError,
    BackendUnavailable,
    OutcomeUnknown,
    StoreUnavailable,
    ThreadConflict,
    ThreadErased,
    UnknownThread,
)
from dadm.domain.thread import (
    BackendIdentity,
    GenerationReason,
    GenerationState,
    ThreadRef,
    ThreadState,
)
from dadm.domain.turn import TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import ThreadGranted
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, Replica, Stage, Wire, settled

REF = ThreadRef(1)


async def care_of(stage: Stage) -> ThreadCare:
    """Give what another program does about threads, which outwaits a dead holder's lease."""
    return ThreadCare((await stage.replica()).world, patience_seconds=60)


async def erase(stage: Stage) -> Erasing | ThreadBusy:
    return await (await care_of(stage)).erasing.erase(REF)


async def actions(stage: Stage) -> list[AuditAction]:
    return [each.action for each in await stage.store.audit(REF)]


def runs_of(stage: Stage) -> dict[str, Any]:
    """Give the runs that the backend still knows."""
    return stage.backend._conversations._runs if stage.backend.keeps_conversations else {}


async def assert_nothing_left(stage: Stage) -> None:
    (thread,) = await stage.threads()
    assert thread.state is ThreadState.ERASED
    assert await stage.store.turns(REF) == ()
    assert await stage.store.response_ids(REF) == {}
    assert set(await stage.states()) == {GenerationState.ERASED}
    if stage.backend.keeps_conversations:
        assert stage.backend.conversation_ids == ()
    assert not runs_of(stage)


async def two_generations(stage: Stage) -> Replica:
    """Take two turns on one conversation and one on the next, which was rebuilt."""
    replica = await stage.replica()
    await replica.ask("t1")
    await replica.ask("t2")
    await (await care_of(stage)).rebuilding.rebuild(REF)
    await replica.ask("t3")
    return replica


async def left_open(stage: Stage) -> Hold:
    """Leave the turn of t4 without an end; its run is under way until it is let go."""
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    asking = stage.begin(replica.ask("t4"))
    await hold.asked.wait()
    await replica.crash()
    await settled(asking)
    return hold


async def test_all_that_every_conversation_had_is_deleted_and_counted(stage: Stage) -> None:
    replica = await two_generations(stage)

    done = await erase(stage)

    assert isinstance(done, Erased)
    await assert_nothing_left(stage)
    keeps = stage.backend.keeps_conversations
    assert (done.receipt.turns, done.receipt.conversations) == (3, 2 if keeps else 1)
    # Two exchanges; then the same copied, and one more.
    assert done.receipt.deleted_items == (4 + 6 if keeps else 0)
    assert done.receipt.deleted_responses == (3 if keeps else 0)
    assert (await actions(stage))[-2:] == [AuditAction.ERASURE_BEGUN, AuditAction.ERASED]
    # The key is free: the same task begins a new thread, which remembers nothing.
    again = await replica.ask("t1")
    assert (again.sequence, again.is_replayed) == (1, False)
    assert len(await stage.threads()) == 2


async def test_the_receipt_of_an_erased_thread_is_given_again(stage: Stage) -> None:
    await two_generations(stage)
    first = await erase(stage)
    calls = len(stage.backend.calls)

    assert await erase(stage) == first
    assert len(stage.backend.calls) == calls


async def test_an_open_turn_is_stopped_and_abandoned_and_what_it_left_is_outwaited(
    keeping: Stage,
) -> None:
    await two_generations(keeping)
    await left_open(keeping)

    early = await erase(keeping)
    now = await keeping.store.now()
    turn = await keeping.turn(make_task("t4"))

    assert early == Postponed(until=(turn.settled_at or now) + timedelta(seconds=100))
    assert turn.state is TurnState.ABANDONED
    assert (await keeping.thread()).state is ThreadState.ERASING
    assert keeping.called("cancel") == 1
    assert keeping.called("erase") == 0
    assert (await actions(keeping))[-3:] == [
        AuditAction.CANCELLED,
        AuditAction.ABANDONED,
        AuditAction.ERASURE_BEGUN,
    ]
    with pytest.raises(ThreadErased):
        await (await keeping.replica()).ask("t5")

    await asyncio.sleep(99)
    assert isinstance(await erase(keeping), Postponed)
    await asyncio.sleep(1)
    assert isinstance(await erase(keeping), Erased)
    await assert_nothing_left(keeping)


async def test_where_the_backend_keeps_nothing_there_is_nothing_to_outwait(
    forgetful: Stage,
) -> None:
    await (await forgetful.replica()).ask("t1")
    await left_open(forgetful)

    assert isinstance(await erase(forgetful), Erased)


async def test_a_run_that_cannot_be_stopped_is_outwaited_like_any_other(keeping: Stage) -> None:
    await left_open(keeping)
    keeping.backend.fail("cancel", BackendUnavailable("Not now."))

    assert isinstance(await erase(keeping), Postponed)
    assert AuditAction.CANCELLED not in await actions(keeping)


@pytest.mark.parametrize("way", ["fenced", "resubmitted"])
async def test_no_deletion_begins_before_a_late_arrival_must_have_ended(
    keeping: Stage, way: str
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    if way == "fenced":
        keeping.backend.fail_turn(OutcomeUnknown("Cut off."))
        await replica.ask("t2")
        assert AuditAction.FENCED in await actions(keeping)
    else:
        await left_open(keeping)
        care = await care_of(keeping)
        await care.resolving.resolve((await keeping.turn(make_task("t4"))).ref, AsResubmit())

    early = await erase(keeping)

    assert isinstance(early, Postponed)
    assert early.until - await keeping.store.now() > timedelta(
        seconds=LIMITS.turn_seconds - LIMITS.lease_seconds
    )
    await asyncio.sleep(LIMITS.turn_seconds)
    assert isinstance(await erase(keeping), Erased)


@pytest.mark.parametrize(
    "error", [BackendUnavailable("Not reachable."), OutcomeUnknown("Cut off.")], ids=repr
)
async def test_what_cannot_be_deleted_leaves_the_thread_erasing_and_the_rest_is_deleted(
    keeping: Stage, error: BackendError
) -> None:
    await two_generations(keeping)
    keeping.backend.fail("erase", error)

    first = await erase(keeping)

    assert isinstance(first, Unfinished)
    assert [reason.partition(": ")[2] for reason in first.reasons] == [error.message]
    assert (await keeping.thread()).state is ThreadState.ERASING
    assert await keeping.states() == [GenerationState.RETIRED, GenerationState.ERASED]
    assert isinstance(await erase(keeping), Erased)
    await assert_nothing_left(keeping)


async def test_each_conversation_is_deleted_at_the_backend_that_keeps_it(keeping: Stage) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    elsewhere = ScriptedBackend(
        keeps_conversations=True, identity=BackendIdentity(adapter="scripted", account="other")
    )
    keeping.backends.default = elsewhere
    keeping.backends.add(elsewhere)
    keeping.backends.known.pop(keeping.backend.identity)

    first = await erase(keeping)

    # The default one has no say about it.
    assert isinstance(first, Unfinished)
    assert "is configured here" in first.reasons[0]
    assert not elsewhere.calls
    keeping.backends.add(keeping.backend)
    assert isinstance(await erase(keeping), Erased)


async def test_a_conversation_that_becomes_known_meanwhile_is_deleted_too(keeping: Stage) -> None:
    await two_generations(keeping)
    replica = await keeping.replica()
    arrived, let_go = replica.store.hold_next("note_erased")
    erasing = keeping.begin(ThreadCare(replica.world).erasing.erase(REF))
    await arrived.wait()
    await keeping.store.note_conversation(
        REF,
        identity=keeping.backend.identity,
        conversation_id=await keeping.backend.open(labels={}),
        reason=GenerationReason.LOST,
        opened_from=0,
        opened_to=0,
    )
    let_go.set()

    done = await erasing

    assert isinstance(done, Erased)
    assert done.receipt.conversations == 3
    await assert_nothing_left(keeping)


async def known_late(stage: Stage) -> None:
    """Have a conversation recorded by a holder that did not know that the thread is erased."""
    await stage.store.note_conversation(
        REF,
        identity=stage.backend.identity,
        conversation_id=await stage.backend.open(labels={}),
        reason=GenerationReason.LOST,
        opened_from=0,
        opened_to=0,
    )


async def test_what_becomes_known_after_the_erasure_is_deleted_when_it_is_erased_again(
    keeping: Stage,
) -> None:
    await two_generations(keeping)
    first = await erase(keeping)
    assert isinstance(first, Erased)
    await known_late(keeping)
    await known_late(keeping)
    late = keeping.backend.conversation_ids

    early = await erase(keeping)
    assert isinstance(early, Postponed), "something may be under way to them"
    assert len(keeping.backend.conversation_ids) == 2
    await asyncio.sleep(LIMITS.turn_seconds)
    keeping.backend.fail("erase", BackendUnavailable("Not now."))
    unfinished = await erase(keeping)
    assert isinstance(unfinished, Unfinished)
    again = await erase(keeping)

    assert again == Erased(receipt=first.receipt, late=late[:1])
    await assert_nothing_left(keeping)
    assert await erase(keeping) == first


async def test_the_name_of_a_run_that_becomes_known_meanwhile_is_deleted_too(
    keeping: Stage,
) -> None:
    replica = await two_generations(keeping)
    kept = keeping.backend._conversations
    run = kept.start(await keeping.backend.open(labels={}), "left behind")
    kept.lose(run.conversation_id)
    nameless = await keeping.turn(make_task("t3"))
    (attempt,) = await keeping.store.attempts(nameless.ref)
    keeping.store._records.turns[nameless.ref].attempts[0] = replace(attempt, response_id="")
    kept._runs.pop(attempt.response_id)
    arrived, let_go = replica.store.hold_next("note_erased")
    erasing = keeping.begin(ThreadCare(replica.world).erasing.erase(REF))
    await arrived.wait()
    arrived, let_go_second = replica.store.hold_next("note_erased")
    let_go.set()
    await arrived.wait()
    await keeping.store.note_response(attempt.ref, run.response_id)
    let_go_second.set()

    assert isinstance(await erasing, Erased)

    await assert_nothing_left(keeping)


async def test_a_thread_that_was_not_erased_after_all_goes_on_without_what_was_abandoned(
    keeping: Stage,
) -> None:
    await two_generations(keeping)
    hold = await left_open(keeping)
    keeping.backend.fail("cancel", BackendUnavailable("Not now."))
    replica = await keeping.replica()
    replica.store.fail_next("begin_erasure", StoreUnavailable("Gone."), times=10)
    with pytest.raises(StoreUnavailable):
        await ThreadCare(replica.world, patience_seconds=60).erasing.erase(REF)
    hold.let_go()

    fifth = await (await keeping.replica()).ask("t5")

    assert (await keeping.thread()).state is ThreadState.OPEN
    assert "What about t4?" not in [each.text for each in await keeping.kept(fifth.thread_id)]


async def test_each_deleted_conversation_is_told_of(keeping: Stage) -> None:
    await two_generations(keeping)
    told: list[int] = []

    await (await care_of(keeping)).erasing.erase(
        REF, on_deleted=lambda generation, _: told.append(generation.number)
    )

    assert told == [1, 2]


async def test_a_held_thread_is_not_erased(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t1"))
    await hold.asked.wait()

    done = await ThreadCare((await keeping.replica()).world).erasing.erase(REF)
    hold.let_go()

    assert isinstance(done, ThreadBusy)
    assert (await asking).recommendation == "ok"
    assert (await keeping.thread()).state is ThreadState.OPEN


async def test_a_closed_thread_is_erased_too(keeping: Stage) -> None:
    await two_generations(keeping)
    await keeping.store.close_scope(engine="embedded", tenant="", scope="p1")

    assert isinstance(await erase(keeping), Erased)


async def test_a_thread_that_is_not_there_is_told(keeping: Stage) -> None:
    with pytest.raises(UnknownThread):
        await erase(keeping)


@dataclass
class Ending(Wire):
    """A wire that is cut at one of its calls, before or after that took effect."""

    calls_left: int = 10_000
    cut: asyncio.Event | None = None

    async def _reach(self, name: str) -> None:
        self.calls_left -= 1
        if self.calls_left < 0 and self.cut is not None:
            self.is_cut = True
            self.cut.set()
        await super()._reach(name)


async def _prepared() -> Stage:
    stage = Stage(keeps_conversations=True)
    await two_generations(stage)
    await left_open(stage)
    return stage


def _dying(stage: Stage, replica: Replica, wire: Wire) -> Callable[[], Any]:
    world = replace(replica.world, store=cast("ThreadStore", wire))
    return lambda: ThreadCare(world, patience_seconds=60).erasing.erase(REF)


async def _calls_of_an_erasure() -> int:
    async with await _prepared() as stage:
        assert isinstance(await erase(stage), Postponed)
        await asyncio.sleep(LIMITS.turn_seconds)
        wire = Wire(stage.store)
        assert isinstance(await _dying(stage, await stage.replica(), wire)(), Erased)
        return wire.calls.total()


async def test_an_eraser_that_dies_at_any_call_is_followed_by_one_that_goes_on() -> None:
    count = await _calls_of_an_erasure()
    assert count > 8
    for calls_left in range(count):
        for is_early in (True, False):
            async with await _prepared() as stage:
                if not is_early:
                    await erase(stage)
                    await asyncio.sleep(LIMITS.turn_seconds)
                cut = asyncio.Event()
                wire = Ending(stage.store, calls_left=calls_left, cut=cut)
                dying = stage.begin(_dying(stage, await stage.replica(), wire)())
                waiting = stage.begin(cut.wait())
                await asyncio.wait({dying, waiting}, return_when=asyncio.FIRST_COMPLETED)

                await erase(stage)
                await asyncio.sleep(LIMITS.turn_seconds)
                done = await erase(stage)

                assert isinstance(done, Erased)
                assert (done.receipt.turns, done.receipt.conversations) == (4, 2)
                assert done.receipt.deleted_responses <= 4
                await assert_nothing_left(stage)


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "method", ["begin_erasure", "note_erased", "finish_erasure", "generations"]
)
async def test_a_store_that_falters_costs_nothing(
    keeping: Stage, method: str, is_done: bool
) -> None:
    await two_generations(keeping)
    replica = await keeping.replica()
    replica.store.fail_next(method, StoreUnavailable("Gone."), is_done=is_done)

    await settled(ThreadCare(replica.world, patience_seconds=60).erasing.erase(REF))
    done = await erase(keeping)

    assert isinstance(done, Erased)
    await assert_nothing_left(keeping)


async def test_a_conversation_opened_over_an_erasure_is_given_nothing_of_the_thread(
    keeping: Stage,
) -> None:
    paused = await keeping.replica()
    await paused.ask()
    held = await keeping.store.lease_known_thread(REF, owner="paused", lease_seconds=1)
    assert isinstance(held, ThreadGranted)
    care = ThreadCare(paused.world)
    noting, goes_on = paused.store.hold_next("note_conversation")
    # Nobody keeps this lease: the replica stands still, and whatever would keep it with it.
    rebuilding = keeping.begin(care.rebuilding.rebuild_held(held, GenerationReason.REQUESTED))
    await noting.wait()
    assert isinstance(await erase(keeping), Erased)

    goes_on.set()

    with pytest.raises(ThreadConflict):
        await rebuilding
    left = keeping.backend.conversation_ids
    assert [await keeping.kept(each) for each in left] == [[]]
    assert (await keeping.states())[-1] is GenerationState.RETIRED

"""Erasing a thread: in steps that may be interrupted, until only a receipt and numbers are left."""

import pytest

from dadm.domain.errors import ThreadConflict, ThreadErased
from dadm.domain.thread import GenerationReason, GenerationState, ThreadRef, ThreadState, Usage
from dadm.domain.turn import TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ErasureReport
from dadm.ports.store_values import Lease, Queued, ThreadFilter, ThreadGranted, ThreadHeld
from tests.contracts.stores import (
    LONG,
    NOTHING_DELETED,
    StoreUnderTest,
    answer,
    granted,
    request,
    submission,
    thread_key,
    turn_key,
)


async def known(given: StoreUnderTest, thread: ThreadRef, owner: str = "eraser") -> Lease:
    taken = await given.store.lease_known_thread(thread, owner=owner, lease_seconds=LONG)
    assert isinstance(taken, ThreadGranted)
    return taken.lease


async def with_a_past(given: StoreUnderTest) -> Lease:
    """Give a leased thread of two conversations, an answered turn, and one that waits."""
    await given.ready(conversation="conv_1")
    taken = await given.submit("t1", prompt="Who?", shown={"budget": "d1"})
    await given.store.note_response(taken.attempt.ref, "resp_1")
    await given.store.settle(
        taken.lease, taken.turn.ref, answer("Ada.", usage=Usage(input_tokens=1))
    )
    holder = await given.lease(owner="t2's")
    await given.converse(holder.lease, "conv_2", reason=GenerationReason.FENCED)
    await given.store.release(holder.lease)
    for task in ("t2", "t3"):
        claim = granted(await given.store.claim(request(task)))
        asked = await given.store.submit(
            claim.lease, claim.turn.ref, submission(after=1, generation=2)
        )
        await given.store.replan(
            asked.lease, asked.attempt.ref, error_code="x", error_message="y", keep_lease=False
        )
    return await known(given, holder.thread.ref)


# --- leasing


@pytest.mark.parametrize("state", [s for s in ThreadState if s is not ThreadState.ERASED])
async def test_a_known_thread_is_leased_whatever_state_it_is_in(
    given: StoreUnderTest, state: ThreadState
) -> None:
    ready = await given.ready()
    await given.put(ready.ref, state)

    taken = await given.store.lease_known_thread(ready.ref, owner="one", lease_seconds=LONG)
    again = await given.store.lease_known_thread(ready.ref, owner="one", lease_seconds=LONG)
    held = await given.store.lease_known_thread(ready.ref, owner="two", lease_seconds=LONG)

    assert isinstance(taken, ThreadGranted)
    assert again == taken
    assert (taken.thread.state, taken.thread.live, taken.open_turn) == (state, ready.live, None)
    assert isinstance(held, ThreadHeld)
    assert LONG - 60 < held.lease_remaining_seconds <= LONG


# --- beginning


@pytest.mark.parametrize("state", [ThreadState.OPEN, ThreadState.PARKED, ThreadState.CLOSED])
async def test_a_thread_that_is_being_erased_takes_no_more_turns(
    given: StoreUnderTest, state: ThreadState
) -> None:
    await given.ready()
    settled = await given.complete()
    await given.put(settled.thread, state)
    lease = await known(given, settled.thread)

    await given.store.begin_erasure(lease)

    assert (await given.thread()).state is ThreadState.ERASING
    assert await given.trail(lease.thread) == [(AuditAction.ERASURE_BEGUN, state)]
    assert await given.store.extend(lease, lease_seconds=LONG)
    for task in ("t1", "t2"):
        with pytest.raises(ThreadErased):
            await given.store.claim(request(task))
    with pytest.raises(ThreadErased):
        await given.lease()
    assert await given.store.receipt(lease.thread) is None


async def test_a_turn_that_waited_is_not_submitted_once_erasure_has_begun(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    claim = granted(await given.store.claim(request()))
    await given.store.begin_erasure(claim.lease)

    with pytest.raises(ThreadErased):
        await given.store.submit(claim.lease, claim.turn.ref, submission())


@pytest.mark.parametrize("state", [TurnState.SUBMITTED, TurnState.UNKNOWN])
async def test_no_erasure_begins_over_an_open_turn(given: StoreUnderTest, state: TurnState) -> None:
    await given.ready()
    taken = await given.submit()
    lease = taken.lease
    if state is TurnState.UNKNOWN:
        await given.store.set_aside(lease, taken.turn.ref, error_code="x", error_message="y")
        lease = await known(given, lease.thread)

    with pytest.raises(ThreadConflict):
        await given.store.begin_erasure(lease)

    assert (await given.thread()).state is ThreadState.OPEN


async def test_only_who_holds_the_thread_begins_and_finishes(given: StoreUnderTest) -> None:
    ready = await given.ready()
    first = await known(given, ready.ref)
    second = await given.usurp(first)
    with pytest.raises(ThreadConflict):
        await given.store.begin_erasure(first)
    await given.store.begin_erasure(second)
    await given.store.note_erased(ready.ref, 1, NOTHING_DELETED)
    assert await given.store.extend(second, lease_seconds=0)
    third = await known(given, ready.ref, "third")

    for lease in (first, second):
        with pytest.raises(ThreadConflict):
            await given.store.begin_erasure(lease)
        with pytest.raises(ThreadConflict):
            await given.store.finish_erasure(lease)

    assert (await given.thread()).state is ThreadState.ERASING
    assert (await given.store.finish_erasure(third)).thread == ready.ref


# --- what was asked of the backends


async def test_the_names_of_all_runs_are_given_by_generation(given: StoreUnderTest) -> None:
    ready = await given.ready()
    for number in (1, 2):
        first = await given.submit(f"t{number}")
        await given.store.note_response(first.attempt.ref, f"resp_{number}a")
        await given.store.replan(
            first.lease, first.attempt.ref, error_code="x", error_message="y", keep_lease=True
        )
        taken = await given.store.submit(
            first.lease, first.turn.ref, submission(after=number - 1, generation=1)
        )
        await given.store.note_response(taken.attempt.ref, f"resp_{number}b")
        await given.store.settle(taken.lease, taken.turn.ref, answer())
    holder = await given.lease()
    await given.converse(holder.lease, reason=GenerationReason.FENCED)
    await given.converse(holder.lease, reason=GenerationReason.FENCED)
    await given.store.release(holder.lease)
    unnamed = await given.submit("t3")
    await given.store.settle(unnamed.lease, unnamed.turn.ref, answer(), keep_lease=True)
    await given.store.release(unnamed.lease)
    named = await given.submit("t4")
    await given.store.note_response(named.attempt.ref, "resp_4")

    assert await given.store.response_ids(ready.ref) == {
        1: ("resp_1a", "resp_1b", "resp_2a", "resp_2b"),
        3: ("resp_4",),
    }
    assert await given.store.response_ids(ThreadRef(999)) == {}


async def test_a_live_conversation_is_not_erased_unless_its_thread_is(
    given: StoreUnderTest,
) -> None:
    holder = await given.lease()
    lease = holder.lease
    for _ in range(2):
        await given.converse(lease, reason=GenerationReason.FENCED)
    await given.note_conversation(lease, reason=GenerationReason.LOST)
    for number in (1, 2, 3, 9):
        await given.store.note_erased(lease.thread, number, NOTHING_DELETED)
    await given.store.note_erased(ThreadRef(999), 1, NOTHING_DELETED)

    states = [found.state for found in await given.store.generations(lease.thread)]
    assert states == [GenerationState.ERASED, GenerationState.LIVE, GenerationState.ERASED]
    with pytest.raises(ThreadConflict):
        await given.store.make_live(lease, 3)

    await given.store.begin_erasure(lease)
    await given.store.note_erased(lease.thread, 2, NOTHING_DELETED)
    assert (await given.thread()).live is None


# --- finishing


async def test_nothing_is_finished_while_a_conversation_is_left(given: StoreUnderTest) -> None:
    lease = await with_a_past(given)
    with pytest.raises(ThreadConflict):
        await given.store.finish_erasure(lease)
    await given.store.note_erased(lease.thread, 1, NOTHING_DELETED)
    await given.store.begin_erasure(lease)
    with pytest.raises(ThreadConflict):
        await given.store.finish_erasure(lease)
    late = await given.note_conversation(lease, "conv_late", reason=GenerationReason.LOST)
    await given.store.note_erased(lease.thread, 2, NOTHING_DELETED)
    with pytest.raises(ThreadConflict):
        await given.store.finish_erasure(lease)

    assert len(await given.store.turns(lease.thread)) == 1
    await given.store.note_erased(lease.thread, late.number, NOTHING_DELETED)
    assert (await given.store.finish_erasure(lease)).conversations == 3


async def test_the_receipt_counts_what_was_erased_and_names_what_was_not(
    given: StoreUnderTest,
) -> None:
    lease = await with_a_past(given)
    await given.store.note_erased(
        lease.thread,
        1,
        ErasureReport(deleted_items=4, deleted_responses=1, unreachable=("item_9", "resp_9")),
    )
    before = await given.store.now()
    await given.store.begin_erasure(lease)
    report = ErasureReport(deleted_items=2, deleted_responses=0, unreachable=("item_8",))
    for number in (2, 1, 2):
        await given.store.note_erased(lease.thread, number, report)

    receipt = await given.store.finish_erasure(lease)

    assert before <= receipt.begun_at <= receipt.erased_at <= await given.store.now()
    assert (receipt.thread, receipt.turns, receipt.conversations) == (lease.thread, 3, 2)
    assert (receipt.deleted_items, receipt.deleted_responses) == (6, 1)
    assert receipt.unreachable == ("item_9", "resp_9", "item_8")
    assert receipt.unnamed_responses == 2
    assert await given.store.receipt(lease.thread) == receipt
    assert (await given.trail(lease.thread))[-2:] == [
        (AuditAction.ERASURE_BEGUN, "open"),
        (AuditAction.ERASED, "3 turns, 2 conversations, 3 ids refused"),
    ]


async def test_a_thread_without_conversations_is_erased_too(given: StoreUnderTest) -> None:
    holder = await given.lease()

    receipt = await given.erase(holder.lease)

    assert (receipt.turns, receipt.conversations, receipt.unreachable) == (0, 0, ())


async def test_only_numbers_and_ids_are_left_of_an_erased_thread(given: StoreUnderTest) -> None:
    lease = await with_a_past(given)
    (answered,) = await given.store.turns(lease.thread)
    before = await given.thread()
    assert (before.shown, before.chain) == ({"budget": "d1"}, answered.link)
    await given.erase(lease)

    assert await given.store.turns(lease.thread) == ()
    assert await given.store.find_turn(answered.ref) is None
    assert await given.store.attempts(answered.ref) == ()
    assert await given.store.exchanges(lease.thread) == ()
    window = await given.store.window(lease.thread, characters=1000)
    assert (window.exchanges, window.left_out) == ((), 0)
    assert await given.store.response_ids(lease.thread) == {}
    standing = await given.store.look_up(thread_key(), turn_key())
    assert (standing.thread, standing.turn) == (None, None)
    for conversation in ("conv_1", "conv_2"):
        tombstone = await given.store.find_thread(conversation)
        assert tombstone is not None
        assert (tombstone.ref, tombstone.key) == (lease.thread, thread_key())
        assert tombstone.state is ThreadState.ERASED
        assert (tombstone.live, tombstone.shown, tombstone.chain) == (None, {}, "")
    assert [found.state for found in await given.store.generations(lease.thread)] == [
        GenerationState.ERASED
    ] * 2
    assert (await given.store.statistics()).turns_by_state.get(TurnState.COMPLETED, 0) == 0


async def test_an_erased_thread_is_leased_by_nobody(given: StoreUnderTest) -> None:
    lease = await with_a_past(given)
    await given.erase(lease)

    with pytest.raises(ThreadErased):
        await known(given, lease.thread)
    assert not await given.store.extend(lease, lease_seconds=LONG)
    with pytest.raises(ThreadConflict):
        await given.store.begin_erasure(lease)


async def test_finishing_again_gives_the_same_receipt(given: StoreUnderTest) -> None:
    lease = await with_a_past(given)
    other = (await given.lease(thread_key(scope="p2"))).lease
    receipt = await given.erase(lease)

    assert await given.store.finish_erasure(lease) == receipt

    await given.ready(conversation="conv_new")
    assert await given.store.finish_erasure(lease) == receipt
    actions = [action for action, _ in await given.trail(lease.thread)]
    assert actions.count(AuditAction.ERASED) == 1
    stale = Lease(thread=lease.thread, owner="somebody", fence=lease.fence - 1)
    for wrong in (stale, other):
        with pytest.raises(ThreadConflict):
            await given.store.finish_erasure(wrong)
    assert await given.store.receipt(other.thread) is None
    assert await given.store.receipt(ThreadRef(999)) is None


async def test_another_eraser_goes_on_where_one_died(given: StoreUnderTest) -> None:
    first = await with_a_past(given)
    await given.store.begin_erasure(first)
    await given.store.note_erased(
        first.thread, 1, ErasureReport(deleted_items=4, deleted_responses=1)
    )
    assert await given.store.extend(first, lease_seconds=0)

    second = await known(given, first.thread, "second")
    await given.store.begin_erasure(second)
    states = [found.state for found in await given.store.generations(first.thread)]
    assert states == [GenerationState.ERASED, GenerationState.LIVE]
    await given.store.note_erased(second.thread, 2, NOTHING_DELETED)

    assert (await given.store.finish_erasure(second)).deleted_items == 4
    actions = [action for action, _ in await given.trail(first.thread)]
    assert actions.count(AuditAction.ERASURE_BEGUN) == 1


# --- afterwards


async def test_the_keys_of_an_erased_thread_begin_anew(given: StoreUnderTest) -> None:
    lease = await with_a_past(given)
    await given.erase(lease)

    fresh = await given.ready(conversation="conv_new")
    settled = await given.complete("t1", prompt="Again?", text="Anew.")

    assert fresh.ref != lease.thread
    assert (fresh.turn_count, fresh.shown, fresh.chain, fresh.usage.input_tokens) == (0, {}, "", 0)
    assert (settled.thread, settled.sequence, settled.answer) == (fresh.ref, 1, "Anew.")
    assert await given.store.turns(lease.thread) == ()
    listed = await given.store.threads(ThreadFilter())
    assert [(found.ref, found.state) for found in listed] == [
        (fresh.ref, ThreadState.OPEN),
        (lease.thread, ThreadState.ERASED),
    ]


async def test_the_thread_that_began_anew_is_erased_with_a_receipt_of_its_own(
    given: StoreUnderTest,
) -> None:
    first = await given.erase(await with_a_past(given))
    fresh = await given.ready(conversation="conv_new")
    await given.complete("t1")

    second = await given.erase(await known(given, fresh.ref))

    assert (second.thread, second.turns, second.conversations) == (fresh.ref, 1, 1)
    assert await given.store.receipt(first.thread) == first
    assert await given.store.receipt(fresh.ref) == second


async def test_numbers_of_what_was_erased_are_not_given_again(given: StoreUnderTest) -> None:
    ready = await given.ready()
    old = await given.submit("t1")
    await given.store.settle(old.lease, old.turn.ref, answer())
    await given.erase(await known(given, ready.ref))
    await given.ready()

    new = await given.submit("t1")
    await given.store.note_response(old.attempt.ref, "resp_late")

    assert (new.turn.ref, new.attempt.ref) != (old.turn.ref, old.attempt.ref)
    assert [found.response_id for found in await given.store.attempts(new.turn.ref)] == [""]


async def test_a_conversation_that_comes_to_light_late_waits_for_erasure(
    given: StoreUnderTest,
) -> None:
    lease = await with_a_past(given)
    receipt = await given.erase(lease)

    late = await given.note_conversation(lease, "conv_late", reason=GenerationReason.LOST)

    assert late.state is GenerationState.RETIRED
    assert await given.store.retired([late.identity], retired_seconds=0) == (late,)
    await given.store.note_erased(
        lease.thread, late.number, ErasureReport(deleted_items=5, deleted_responses=5)
    )
    assert await given.store.retired([late.identity], retired_seconds=0) == ()
    assert await given.store.receipt(lease.thread) == receipt


async def test_other_threads_are_not_touched(given: StoreUnderTest) -> None:
    other = thread_key(scope="p2")
    await given.ready(other, "conv_other")
    kept = await given.complete("t1", key=other)
    standing = await given.thread(other)

    await given.erase(await with_a_past(given))

    assert await given.turn(kept.ref) == kept
    assert await given.thread(other) == standing
    waiting = await given.store.claim(
        request("t9", thread=other, turn=turn_key("t9", scope="p2"), owner="one")
    )
    queued = await given.store.claim(
        request("t8", thread=other, turn=turn_key("t8", scope="p2"), owner="two")
    )
    assert granted(waiting).thread.ref == kept.thread
    assert isinstance(queued, Queued)

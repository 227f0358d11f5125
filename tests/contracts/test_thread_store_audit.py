"""What happens to a thread beside its plain turns leaves a row that stays."""

import pytest

from dadm.domain.errors import ThreadConflict, UnknownThread
from dadm.domain.thread import GenerationReason, ThreadRef
from dadm.domain.turn import TurnRef
from dadm.ports.audit import AuditAction
from dadm.ports.store_values import AbandonSettlement, Recorded, Submitted
from tests.contracts.stores import (
    StoreUnderTest,
    answer,
    refusal,
    request,
    submission,
    thread_key,
    turn_key,
)


async def test_plain_turns_leave_no_row(given: StoreUnderTest) -> None:
    ready = await given.ready()
    for task in ("t1", "t2"):
        await given.complete(task)
        await given.store.mark_reported(turn_key(task))

    assert await given.trail(ready.ref) == []


async def test_each_replay_of_a_recorded_turn_leaves_a_row(given: StoreUnderTest) -> None:
    await given.ready()
    settled = await given.complete()

    for number in (1, 2):
        claim = await given.store.claim(request(owner=f"delivery {number}"))
        assert claim == Recorded(thread=await given.thread(), turn=settled)

    rows = await given.store.audit(settled.thread)
    assert [(row.action, row.turn, row.detail) for row in rows] == [
        (AuditAction.REPLAYED, settled.ref, "completed")
    ] * 2


async def test_a_replayed_refusal_says_so_and_a_released_one_is_no_replay(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.settle(taken.lease, taken.turn.ref, refusal("policy"))
    await given.store.claim(request())
    await given.store.mark_reported(turn_key())

    assert isinstance(await given.store.claim(request(asks=submission(after=1))), Submitted)

    assert await given.trail(taken.turn.thread) == [
        (AuditAction.REFUSED, "policy"),
        (AuditAction.REPLAYED, "refused"),
    ]


async def test_an_answer_found_by_looking_leaves_a_row(given: StoreUnderTest) -> None:
    await given.ready()
    first = await given.submit()
    await given.store.replan(
        first.lease, first.attempt.ref, error_code="busy", error_message="429", keep_lease=True
    )
    taken = await given.store.submit(first.lease, first.turn.ref, submission())

    await given.store.settle(taken.lease, taken.turn.ref, answer(recovered=True))

    rows = await given.store.audit(taken.turn.thread)
    assert [(row.action, row.turn, row.detail) for row in rows] == [
        (AuditAction.ASKED_AGAIN, taken.turn.ref, "busy"),
        (AuditAction.RECOVERED, taken.turn.ref, "attempt 2"),
    ]


async def test_decisions_repeated_under_one_fence_leave_one_row(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit("t1")
    lease, turn = taken.lease, taken.turn.ref
    for _ in range(2):
        await given.store.replan(
            lease, taken.attempt.ref, error_code="busy", error_message="429", keep_lease=True
        )
    await given.store.submit(lease, turn, submission())
    for _ in range(2):
        await given.store.settle(lease, turn, answer(recovered=True), keep_lease=True)
    fenced = await given.converse(lease, "conv_next", reason=GenerationReason.FENCED)
    await given.store.make_live(lease, fenced.number)
    for _ in range(2):
        await given.store.begin_erasure(lease)

    assert [action for action, _ in await given.trail(lease.thread)] == [
        AuditAction.ASKED_AGAIN,
        AuditAction.RECOVERED,
        AuditAction.FENCED,
        AuditAction.ERASURE_BEGUN,
    ]


async def test_decisions_that_are_refused_leave_no_row(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    await given.usurp(taken.lease)

    with pytest.raises(ThreadConflict):
        await given.store.settle(taken.lease, taken.turn.ref, refusal())
    with pytest.raises(ThreadConflict):
        await given.store.settle(taken.lease, taken.turn.ref, AbandonSettlement(reason="Enough."))
    with pytest.raises(ThreadConflict):
        await given.converse(taken.lease, reason=GenerationReason.LOST)
    with pytest.raises(ThreadConflict):
        await given.store.begin_erasure(taken.lease)

    assert await given.trail(taken.turn.thread) == []


async def test_a_new_conversation_leaves_a_row_that_names_both_and_says_why(
    given: StoreUnderTest,
) -> None:
    holder = await given.lease()
    await given.converse(holder.lease, "conv_1")
    for number, reason in enumerate((GenerationReason.LOST, GenerationReason.FENCED), start=2):
        opened = await given.note_conversation(holder.lease, f"conv_{number}", reason=reason)
        await given.store.note_copied(
            holder.thread.ref, opened.number, copied_messages=number, last_item_id="msg"
        )
        await given.store.make_live(holder.lease, opened.number)

    rows = await given.store.audit(holder.thread.ref)
    assert [(row.action, row.turn, row.detail) for row in rows] == [
        (AuditAction.REBUILT, None, "lost: conv_1 -> conv_2, 2 messages copied"),
        (AuditAction.FENCED, None, "fenced: conv_2 -> conv_3, 3 messages copied"),
    ]


@pytest.mark.parametrize(
    "reason", [reason for reason in GenerationReason if reason is not GenerationReason.FIRST]
)
async def test_the_conversation_that_was_left_before_is_named(
    given: StoreUnderTest, reason: GenerationReason
) -> None:
    holder = await given.lease()
    await given.converse(holder.lease, "conv_1")
    await given.store.retire(holder.lease, 1)

    await given.converse(holder.lease, "conv_2", reason=reason)

    ((action, detail),) = await given.trail(holder.thread.ref)
    assert (action is AuditAction.FENCED) == (reason is GenerationReason.FENCED)
    assert detail == f"{reason}: conv_1 -> conv_2, 0 messages copied"


async def test_a_conversation_without_one_before_names_none(given: StoreUnderTest) -> None:
    holder = await given.lease()
    await given.converse(holder.lease, "conv_1", reason=GenerationReason.REQUESTED)

    assert await given.trail(holder.thread.ref) == [
        (AuditAction.REBUILT, "requested: none -> conv_1, 0 messages copied")
    ]


async def test_what_others_note_stands_in_order_with_decisions(given: StoreUnderTest) -> None:
    ready = await given.ready()
    before = await given.store.now()
    taken = await given.submit()
    turn = taken.turn.ref
    await given.store.note(ready.ref, turn, AuditAction.CANCELLED, detail="resp_1 \x00")
    await given.store.settle(taken.lease, turn, refusal("gone"))
    for _ in range(2):
        await given.store.note(ready.ref, None, AuditAction.FOREIGN_ITEMS, detail="2 items")

    rows = await given.store.audit(ready.ref)

    assert [(row.thread, row.turn, row.action, row.detail) for row in rows] == [
        (ready.ref, turn, AuditAction.CANCELLED, "resp_1 \N{REPLACEMENT CHARACTER}"),
        (ready.ref, turn, AuditAction.REFUSED, "gone"),
        (ready.ref, None, AuditAction.FOREIGN_ITEMS, "2 items"),
        (ready.ref, None, AuditAction.FOREIGN_ITEMS, "2 items"),
    ]
    after = await given.store.now()
    assert all(before <= row.at <= after for row in rows)
    assert sorted(row.position for row in rows) == [row.position for row in rows]


async def test_rows_are_read_page_by_page_and_by_thread(given: StoreUnderTest) -> None:
    ready = await given.ready()
    other = await given.ready(thread_key(scope="p2"))
    for number in range(5):
        await given.store.note(ready.ref, None, AuditAction.CANCELLED, detail=f"{number}")
        await given.store.note(other.ref, None, AuditAction.CANCELLED, detail="other")

    first = await given.store.audit(ready.ref, limit=2)
    rest = await given.store.audit(ready.ref, after=first[-1].position)

    assert [row.detail for row in (*first, *rest)] == ["0", "1", "2", "3", "4"]
    assert await given.store.audit(ThreadRef(999)) == ()


async def test_nothing_is_noted_about_a_thread_that_is_not_there(given: StoreUnderTest) -> None:
    with pytest.raises(UnknownThread):
        await given.store.note(ThreadRef(999), TurnRef(1), AuditAction.CANCELLED, detail="")

    assert await given.store.audit(ThreadRef(999)) == ()

"""How a turn goes from its submission to its end, and what repeating a decision does."""

import pytest

from dadm.application.turns.submission import submit
from dadm.domain.errors import ThreadClosed, ThreadConflict
from dadm.domain.thread import GenerationReason, Usage
from dadm.domain.turn import AttemptRef, Refusal, TurnRef, TurnState
from dadm.ports.store_values import Lease, Queued, RefusalSettlement, Submission
from tests.contracts.stores import (
    AT_ONCE,
    LONG,
    StoreUnderTest,
    answer,
    granted,
    refusal,
    request,
    submission,
    thread_key,
    turn_key,
)


async def test_a_granted_turn_is_submitted_when_its_conversation_is_open(
    given: StoreUnderTest,
) -> None:
    claim = granted(await given.store.claim(request()))
    await given.converse(claim.lease, "conv_1")

    taken = await given.store.submit(claim.lease, claim.turn.ref, submission("Why?"))

    assert taken.lease == claim.lease
    assert (taken.turn.state, taken.turn.sequence) == (TurnState.SUBMITTED, 1)
    assert (taken.thread.turn_count, taken.thread.thread_id) == (1, "conv_1")
    assert (taken.turn.prompt, taken.attempt.number) == ("Why?", 1)
    assert await given.turn(taken.turn.ref) == taken.turn
    assert await given.store.extend(claim.lease, lease_seconds=LONG)


async def test_the_same_submission_again_gives_the_same(given: StoreUnderTest) -> None:
    claim = granted(await given.store.claim(request()))
    await given.converse(claim.lease)
    taken = await given.store.submit(claim.lease, claim.turn.ref, submission())

    assert await given.store.submit(claim.lease, claim.turn.ref, submission()) == taken
    assert len(await given.store.attempts(taken.turn.ref)) == 1


@pytest.mark.parametrize("stale", [submission(after=7), submission(generation=2)])
async def test_a_stale_submission_is_a_conflict(given: StoreUnderTest, stale: Submission) -> None:
    await given.ready()
    claim = granted(await given.store.claim(request()))

    with pytest.raises(ThreadConflict):
        await given.store.submit(claim.lease, claim.turn.ref, stale)

    assert await given.turn(claim.turn.ref) == claim.turn


async def test_only_one_turn_of_a_thread_is_open(given: StoreUnderTest) -> None:
    await given.ready()
    open_one = await given.submit("t1")
    await given.store.set_aside(
        open_one.lease, open_one.turn.ref, error_code="x", error_message="y"
    )
    claim = granted(await given.store.claim(request("t2", asks=submission(after=1))))

    with pytest.raises(ThreadConflict):
        await given.store.submit(claim.lease, claim.turn.ref, submission(after=1))

    assert (await given.turn(claim.turn.ref)).state is TurnState.PLANNED


async def test_only_a_planned_turn_of_the_leased_thread_is_submitted(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    completed = await given.complete()
    holder = await given.lease()
    other = granted(
        await given.store.claim(
            request(thread=thread_key(scope="p2"), turn=turn_key(scope="p2"), owner="x")
        )
    )

    for turn in (completed.ref, other.turn.ref, TurnRef(999)):
        with pytest.raises(ThreadConflict):
            await given.store.submit(holder.lease, turn, submission(after=1))
        with pytest.raises(ThreadConflict):
            await given.store.settle(holder.lease, turn, answer())


async def test_a_thread_that_was_closed_meanwhile_takes_no_submission(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    claim = granted(await given.store.claim(request()))
    await given.store.close_scope(engine="embedded", tenant="", scope="p1")

    with pytest.raises(ThreadClosed):
        await given.store.submit(claim.lease, claim.turn.ref, submission())


async def test_a_turn_in_flight_is_settled_although_its_thread_was_closed(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.close_scope(engine="embedded", tenant="", scope="p1")

    settled = await given.store.settle(taken.lease, taken.turn.ref, answer())

    assert settled.state is TurnState.COMPLETED


async def test_an_answer_settles_everything_at_once(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit(prompt="Who?", shown={"budget": "d1", "owner": "d2"})
    usage = Usage(input_tokens=10, output_tokens=5, cached_tokens=3)

    settled = await given.store.settle(
        taken.lease,
        taken.turn.ref,
        answer("Ada.", last_item="msg_2", usage=usage, recovered=True),
    )

    assert (settled.state, settled.answer, settled.usage) == (TurnState.COMPLETED, "Ada.", usage)
    assert (settled.recovered, settled.is_reported, settled.refusal) == (True, False, None)
    assert (settled.prompt, settled.sequence, settled.settled_at is None) == ("Who?", 1, False)
    assert await given.turn(taken.turn.ref) == settled
    thread = await given.thread()
    assert (thread.turn_count, thread.usage) == (1, usage)
    assert thread.shown == {"budget": "d1", "owner": "d2"}
    assert thread.last_turn_at == settled.settled_at
    assert thread.live is not None
    assert thread.live.last_item_id == "msg_2"
    assert not await given.store.extend(taken.lease, lease_seconds=LONG)


async def test_turns_add_up_on_their_thread(given: StoreUnderTest) -> None:
    await given.ready()
    for number, shown in enumerate([{"a": "1", "b": "1"}, {"b": "2"}], start=1):
        taken = await given.submit(f"t{number}", shown=shown)
        assert taken.turn.sequence == number
        assert taken.attempt.item_before == ("" if number == 1 else "msg_1")
        await given.store.settle(
            taken.lease,
            taken.turn.ref,
            answer(last_item=f"msg_{number}", usage=Usage(input_tokens=number, output_tokens=1)),
        )

    thread = await given.thread()
    assert (thread.turn_count, thread.shown) == (2, {"a": "1", "b": "2"})
    assert thread.usage == Usage(input_tokens=3, output_tokens=2)


async def test_an_answer_without_an_item_leaves_the_last_one_known(given: StoreUnderTest) -> None:
    await given.ready()
    for last_item in ("msg_1", ""):
        taken = await given.submit(f"task {last_item}")
        await given.store.settle(taken.lease, taken.turn.ref, answer(last_item=last_item))

    thread = await given.thread()
    assert thread.live is not None
    assert thread.live.last_item_id == "msg_1"


async def test_an_answer_to_a_conversation_that_was_left_does_not_move_the_next_one(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit()
    fenced = await given.converse(taken.lease, "conv_next", reason=GenerationReason.FENCED)

    await given.store.settle(taken.lease, taken.turn.ref, answer(last_item="msg_old"))

    thread = await given.thread()
    assert thread.live == fenced
    assert fenced.last_item_id == ""


async def test_the_same_settlement_again_gives_the_same_turn(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    usage = Usage(input_tokens=1)
    settled = await given.store.settle(taken.lease, taken.turn.ref, answer("A", usage=usage))

    again = await given.store.settle(taken.lease, taken.turn.ref, answer("A", usage=usage))
    await given.lease(owner="next")
    later = await given.store.settle(taken.lease, taken.turn.ref, answer("A", usage=usage))

    assert again == later == settled
    assert (await given.thread()).usage == usage


async def test_replanning_that_arrives_late_is_not_taken_for_one_of_the_next_attempt(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    first = await given.submit("t1")
    note = {"error_code": "busy", "error_message": "429"}
    await given.store.replan(first.lease, first.attempt.ref, **note, keep_lease=True)
    second = await given.store.submit(first.lease, first.turn.ref, submission())

    with pytest.raises(ThreadConflict):
        await given.store.replan(first.lease, first.attempt.ref, **note, keep_lease=True)

    assert await given.turn(first.turn.ref) == second.turn
    settled = await given.store.settle(first.lease, first.turn.ref, answer("Ada."))
    assert settled.attempts == 2


async def test_a_late_claim_does_not_let_a_turn_be_asked_beside_its_conversation(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    first = await given.submit("t1")
    note = {"error_code": "broken", "error_message": "No tool output found."}
    await given.store.replan(first.lease, first.attempt.ref, **note, keep_lease=True)
    # The first claim was sent twice, and comes once more only now.
    await given.ask("t1", submission("t1?"))
    live = await given.converse(first.lease, reason=GenerationReason.ENDED)

    with pytest.raises(ThreadConflict):
        await submit(
            given.store, first.lease, first.turn.ref, submission("t1?", generation=live.number)
        )


async def test_a_settled_turn_never_changes(given: StoreUnderTest) -> None:
    await given.ready()
    settled = await given.complete(text="First.")
    (attempt,) = await given.store.attempts(settled.ref)
    holder = await given.lease()

    with pytest.raises(ThreadConflict):
        await given.store.settle(holder.lease, settled.ref, answer("Second."))
    with pytest.raises(ThreadConflict):
        await given.store.settle(holder.lease, settled.ref, refusal())
    with pytest.raises(ThreadConflict):
        await given.store.replan(
            holder.lease, attempt.ref, error_code="x", error_message="y", keep_lease=True
        )
    with pytest.raises(ThreadConflict):
        await given.store.set_aside(holder.lease, settled.ref, error_code="x", error_message="y")

    assert await given.turn(settled.ref) == settled
    assert await given.store.extend(holder.lease, lease_seconds=LONG)


async def test_the_lease_may_be_kept_over_a_settlement(given: StoreUnderTest) -> None:
    await given.ready()
    open_one = await given.submit("t1")
    await given.store.set_aside(
        open_one.lease, open_one.turn.ref, error_code="x", error_message="y"
    )
    claim = granted(await given.store.claim(request("t2")))
    await given.store.settle(
        claim.lease, open_one.turn.ref, answer("Found.", recovered=True), keep_lease=True
    )

    taken = await given.store.submit(claim.lease, claim.turn.ref, submission(after=1))

    assert taken.turn.sequence == 2
    assert (await given.turn(open_one.turn.ref)).recovered


async def test_a_refusal_ends_the_turn_and_counts_what_it_cost(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit(shown={"a": "1"})
    usage = Usage(input_tokens=9)

    refused = await given.store.settle(
        taken.lease, taken.turn.ref, refusal("content_filter", usage=usage)
    )

    assert (refused.state, refused.answer, refused.usage) == (TurnState.REFUSED, None, usage)
    assert refused.refusal is not None
    assert (refused.refusal.code, refused.refusal.reason) == ("content_filter", "Not this.")
    thread = await given.thread()
    assert (thread.usage, thread.shown, thread.turn_count) == (usage, {}, 1)
    assert not await given.store.extend(taken.lease, lease_seconds=LONG)
    assert (await given.submit("t2")).turn.sequence == 2


async def test_a_planned_turn_may_be_refused_but_not_answered(given: StoreUnderTest) -> None:
    claim = granted(await given.store.claim(request()))

    with pytest.raises(ThreadConflict):
        await given.store.settle(claim.lease, claim.turn.ref, answer())
    refused = await given.store.settle(claim.lease, claim.turn.ref, refusal("invalid_task"))

    assert (refused.state, refused.sequence) == (TurnState.REFUSED, 0)
    assert await given.store.turns(claim.thread.ref) == ()


async def test_a_turn_set_aside_is_unknown_and_its_thread_free(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.set_aside(
        taken.lease, taken.turn.ref, error_code="outcome_unknown", error_message="No answer."
    )

    turn = await given.turn(taken.turn.ref)
    assert (turn.state, turn.sequence, turn.prompt) == (TurnState.UNKNOWN, 1, "t1?")
    (attempt,) = await given.store.attempts(turn.ref)
    assert (attempt.error_code, attempt.error_message) == ("outcome_unknown", "No answer.")
    assert not await given.store.extend(taken.lease, lease_seconds=LONG)

    await given.store.set_aside(
        taken.lease, taken.turn.ref, error_code="outcome_unknown", error_message="No answer."
    )
    looking = await given.lease(owner="second")
    assert looking.open_turn is not None
    assert looking.open_turn.turn == turn
    await given.store.set_aside(
        looking.lease, turn.ref, error_code="conversation_busy", error_message="Still locked."
    )
    (attempt,) = await given.store.attempts(turn.ref)
    assert attempt.error_code == "conversation_busy"
    assert (await given.turn(turn.ref)).state is TurnState.UNKNOWN


async def test_a_planned_turn_set_aside_only_frees_its_thread(given: StoreUnderTest) -> None:
    claim = granted(await given.store.claim(request()))
    for _ in range(2):
        await given.store.set_aside(claim.lease, claim.turn.ref, error_code="x", error_message="y")

    assert await given.turn(claim.turn.ref) == claim.turn
    await given.lease(owner="next")


async def test_a_turn_proven_not_applied_is_planned_again_and_its_sequence_is_free(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit(prompt="Old?", shown={"a": "1"})
    for _ in range(2):
        await given.store.replan(
            taken.lease,
            taken.attempt.ref,
            error_code="backend_unavailable",
            error_message="429",
            keep_lease=True,
        )

    turn = await given.turn(taken.turn.ref)
    assert (turn.state, turn.sequence, turn.attempts) == (TurnState.PLANNED, 0, 1)
    assert (await given.thread()).turn_count == 0
    assert await given.store.turns(turn.thread) == ()
    again = await given.store.submit(taken.lease, turn.ref, submission("New?", shown={"b": "1"}))
    assert (again.turn.sequence, again.turn.prompt, again.attempt.number) == (1, "New?", 2)
    await given.store.settle(again.lease, turn.ref, answer())
    assert (await given.thread()).shown == {"b": "1"}
    first, second = await given.store.attempts(turn.ref)
    assert (first.error_code, first.error_message) == ("backend_unavailable", "429")
    assert (second.error_code, second.number) == ("", 2)
    assert first.ref != second.ref


async def test_a_turn_planned_again_without_its_lease_gives_up_its_place(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit("t1")
    waiting = await given.store.claim(request("t2"))
    assert isinstance(waiting, Queued)
    for _ in range(2):
        await given.store.replan(
            taken.lease, taken.attempt.ref, error_code="x", error_message="y", keep_lease=False
        )

    other = granted(await given.store.claim(request("t2")))

    await given.store.replan(
        taken.lease, taken.attempt.ref, error_code="x", error_message="y", keep_lease=False
    )
    assert await given.store.extend(other.lease, lease_seconds=LONG)
    again = await given.store.claim(request("t1", owner="second"))
    assert isinstance(again, Queued)
    assert (again.ticket, again.ahead) == (3, 1)


async def test_a_turn_planned_again_under_its_lease_keeps_its_place(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit("t1")
    await given.store.claim(request("t2"))
    await given.store.replan(
        taken.lease, taken.attempt.ref, error_code="x", error_message="y", keep_lease=True
    )
    await given.store.release(taken.lease)

    other = await given.store.claim(request("t2"))

    assert isinstance(other, Queued)
    assert other.ahead == 1


async def test_the_first_response_id_recorded_stays(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    for response_id in ("resp_1", "resp_1", "resp_2"):
        await given.store.note_response(taken.attempt.ref, response_id)
    await given.store.note_response(AttemptRef(999), "resp_3")

    (attempt,) = await given.store.attempts(taken.turn.ref)
    assert attempt.response_id == "resp_1"


async def test_only_a_settled_turn_is_marked_reported(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.mark_reported(taken.turn.key)
    assert not (await given.turn(taken.turn.ref)).is_reported

    await given.store.settle(taken.lease, taken.turn.ref, answer())
    for _ in range(2):
        await given.store.mark_reported(taken.turn.key)
        await given.store.mark_reported(turn_key("nobody's"))

    assert (await given.turn(taken.turn.ref)).is_reported


async def test_a_lease_of_another_thread_decides_nothing_here(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    foreign = await given.lease(thread_key(scope="p2"), owner=taken.lease.owner)
    forged = Lease(thread=taken.lease.thread, owner="x", fence=taken.lease.fence)

    for lease in (foreign.lease, forged):
        with pytest.raises(ThreadConflict):
            await given.store.settle(lease, taken.turn.ref, answer())

    assert await given.turn(taken.turn.ref) == taken.turn


async def test_texts_come_back_as_they_were(given: StoreUnderTest) -> None:
    await given.ready()
    prompt = "Grüße 💡 'quoted' \"twice\" \\ %s $1 ? :name\r\n\ttab " + "long " * 20_000
    settled = await given.complete(prompt=prompt, text=prompt[::-1])

    turn = await given.turn(settled.ref)

    assert (turn.prompt, turn.answer) == (prompt, prompt[::-1])


async def test_the_planned_turn_of_an_expired_holder_is_granted_to_its_next_delivery(
    given: StoreUnderTest,
) -> None:
    first = granted(await given.store.claim(request(lease=AT_ONCE)))
    second = granted(await given.store.claim(request(owner="second")))

    assert second.turn == first.turn
    assert second.lease.fence == first.lease.fence + 1


async def test_what_no_database_takes_in_a_text_is_replaced(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit(prompt="nul \x00 and half \ud83d", shown={"a\x00\udc00": "1"})
    settled = await given.store.settle(taken.lease, taken.turn.ref, answer("cut \ud83d"))

    assert (taken.turn.prompt, settled.answer) == ("nul \ufffd and half \ufffd", "cut \ufffd")
    assert await given.turn(settled.ref) == settled

    for end in ("x\x00", "\udfffx"):
        taken = await given.submit(f"task {len(end)} {end[1] == 'x'}")
        refused = await given.store.settle(
            taken.lease,
            taken.turn.ref,
            RefusalSettlement(refusal=Refusal(code="policy", reason=end)),
        )
        assert refused.refusal is not None
        assert refused.refusal.reason == end.replace(end.strip("x"), "\ufffd")


async def test_a_repeated_replan_takes_nothing_from_the_next_holder(given: StoreUnderTest) -> None:
    await given.ready()
    first = await given.submit("t1")
    note = {"error_code": "x", "error_message": "y"}
    await given.store.replan(first.lease, first.attempt.ref, **note, keep_lease=True)
    await given.store.extend(first.lease, lease_seconds=AT_ONCE)
    second = granted(await given.store.claim(request("t1", owner="second")))

    await given.store.replan(first.lease, first.attempt.ref, **note, keep_lease=False)

    waiting = await given.store.claim(request("t2"))
    assert isinstance(waiting, Queued)
    assert waiting.ahead == 1
    assert await given.store.extend(second.lease, lease_seconds=LONG)


async def test_a_turn_that_another_has_set_aside_is_not_set_aside_again_by_the_first(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    first = await given.submit()
    second = await given.usurp(first.lease)
    await given.store.set_aside(second, first.turn.ref, error_code="x", error_message="second")

    with pytest.raises(ThreadConflict):
        await given.store.set_aside(
            first.lease, first.turn.ref, error_code="x", error_message="first"
        )

    (attempt,) = await given.store.attempts(first.turn.ref)
    assert attempt.error_message == "second"

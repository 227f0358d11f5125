"""What a claim comes to: whose turn it is, whose answer is given again, and who is refused."""

import pytest

from dadm.domain.errors import (
    TaskContentChanged,
    TaskIdentityConflict,
    ThreadClosed,
    ThreadErased,
)
from dadm.domain.thread import ThreadKey, ThreadState
from dadm.domain.turn import TurnKey, TurnState
from dadm.ports.store_values import (
    Granted,
    Queued,
    Recorded,
    Standing,
    Submission,
    Submitted,
)
from tests.contracts.stores import (
    AT_ONCE,
    StoreUnderTest,
    answer,
    granted,
    refusal,
    request,
    submission,
    submitted,
    thread_key,
    turn_key,
)


async def test_nothing_stands_before_the_first_claim(given: StoreUnderTest) -> None:
    assert await given.store.look_up(thread_key(), turn_key()) == Standing(thread=None, turn=None)


async def test_the_first_claim_opens_the_thread_and_plans_the_turn(given: StoreUnderTest) -> None:
    claim = granted(await given.store.claim(request(content="c", element="E", definition="D:1")))

    standing = await given.store.look_up(thread_key(), turn_key())
    assert standing == Standing(thread=claim.thread, turn=claim.turn)
    assert (claim.thread.key, claim.thread.state) == (thread_key(), ThreadState.OPEN)
    assert (claim.thread.turn_count, claim.thread.live, claim.open_turn) == (0, None, None)
    assert (claim.turn.key, claim.turn.state) == (turn_key(), TurnState.PLANNED)
    assert (claim.turn.sequence, claim.turn.attempts, claim.turn.answer) == (0, 0, None)
    assert (claim.turn.content_digest, claim.turn.element_id) == ("c", "E")
    assert claim.turn.process_definition == "D:1"
    assert claim.lease.thread == claim.thread.ref == claim.turn.thread
    assert claim.thread.created_at.tzinfo is not None
    assert abs((claim.turn.created_at - await given.store.now()).total_seconds()) < 60


@pytest.mark.parametrize(
    "other",
    [
        thread_key(scope="p2"),
        thread_key(assistant="critic"),
        thread_key(engine="http"),
        thread_key(tenant="acme"),
    ],
)
async def test_each_part_of_the_key_makes_another_thread(
    given: StoreUnderTest, other: ThreadKey
) -> None:
    first = await given.lease()
    second = await given.lease(other)

    assert first.thread.ref != second.thread.ref
    assert second.thread.key == other


@pytest.mark.parametrize(
    "other",
    [turn_key("t2"), turn_key(scope="p2"), turn_key(engine="http"), turn_key(tenant="acme")],
)
async def test_each_part_of_the_key_makes_another_turn(
    given: StoreUnderTest, other: TurnKey
) -> None:
    first = granted(await given.store.claim(request(lease=AT_ONCE, ticket=AT_ONCE)))
    second = granted(await given.store.claim(request(turn=other, owner="second")))

    assert first.turn.ref != second.turn.ref
    assert second.turn.key == other
    assert first.turn.thread == second.turn.thread


async def test_a_turn_follows_the_thread_of_its_first_claim(given: StoreUnderTest) -> None:
    first = granted(await given.store.claim(request(lease=AT_ONCE)))
    elsewhere = thread_key(assistant="critic")

    again = granted(await given.store.claim(request(thread=elsewhere, owner="second")))
    standing = await given.store.look_up(elsewhere, turn_key())

    assert again.thread.ref == first.thread.ref
    assert again.thread.key == thread_key()
    assert standing.thread is not None
    assert standing.thread.ref == first.thread.ref
    assert (await given.store.look_up(elsewhere, turn_key("none"))).thread is None


async def test_a_matching_submission_is_made_by_the_claim_itself(given: StoreUnderTest) -> None:
    ready = await given.ready()
    schema = {"type": "object"}

    claim = submitted(await given.store.claim(request(asks=submission("Why?", schema=schema))))

    assert claim.thread.ref == ready.ref
    assert claim.thread.turn_count == 1
    assert (claim.turn.state, claim.turn.sequence) == (TurnState.SUBMITTED, 1)
    assert (claim.turn.prompt, claim.turn.assistant_version) == ("Why?", "v1")
    assert claim.turn.answer_schema == schema
    assert (claim.turn.generation, claim.turn.attempts) == (1, 1)
    assert (claim.attempt.turn, claim.attempt.number) == (claim.turn.ref, 1)
    assert (claim.attempt.generation, claim.attempt.item_before) == (1, "")
    assert (claim.attempt.response_id, claim.attempt.error_code) == ("", "")
    assert await given.store.attempts(claim.turn.ref) == (claim.attempt,)
    assert await given.turn(claim.turn.ref) == claim.turn


@pytest.mark.parametrize(
    "stale", [submission(after=1), submission(generation=2), submission(generation=0)]
)
async def test_a_stale_submission_is_not_made_but_the_thread_is_granted(
    given: StoreUnderTest, stale: Submission
) -> None:
    await given.ready()

    claim = granted(await given.store.claim(request(asks=stale)))

    assert claim.open_turn is None
    assert (claim.turn.state, claim.turn.prompt) == (TurnState.PLANNED, "")
    assert claim.thread.turn_count == 0


async def test_without_a_live_conversation_nothing_is_submitted(given: StoreUnderTest) -> None:
    assert isinstance(await given.store.claim(request(asks=submission(generation=1))), Granted)


async def test_the_same_claim_again_gives_the_same(given: StoreUnderTest) -> None:
    planned = request("t1")
    first = granted(await given.store.claim(planned))
    assert await given.store.claim(planned) == first

    await given.converse(first.lease)
    await given.store.release(first.lease)
    await given.store.drop_ticket(first.turn.ref)
    asking = request("t2", asks=submission("Why?"))
    taken = submitted(await given.store.claim(asking))
    assert await given.store.claim(asking) == taken
    assert taken.lease.fence > first.lease.fence
    assert len(await given.store.attempts(taken.turn.ref)) == 1


async def test_a_completed_turn_gives_its_answer_to_every_delivery(given: StoreUnderTest) -> None:
    await given.ready()
    completed = await given.complete(text="Forty-two.")

    for reported in (False, True):
        again = await given.store.claim(
            request(owner="late", thread=thread_key(assistant="critic"), content="other")
        )
        assert isinstance(again, Recorded)
        assert again.turn == await given.turn(completed.ref)
        assert (again.turn.answer, again.turn.is_reported) == ("Forty-two.", reported)
        assert again.thread.key == thread_key()
        await given.store.mark_reported(completed.key)


async def test_a_recorded_answer_leaves_the_lease_alone(given: StoreUnderTest) -> None:
    await given.ready()
    await given.complete("t1")
    other = await given.submit("t2")

    assert isinstance(await given.store.claim(request("t1", owner="late")), Recorded)
    assert await given.store.extend(other.lease, lease_seconds=5)


async def test_a_refused_turn_keeps_its_end_until_it_is_reported(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    refused = await given.store.settle(taken.lease, taken.turn.ref, refusal("policy"))

    again = await given.store.claim(request(owner="late"))

    assert isinstance(again, Recorded)
    assert again.turn == refused
    assert again.turn.refusal is not None
    assert again.turn.refusal.code == "policy"


async def test_a_refused_and_reported_turn_that_comes_again_was_released(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.settle(taken.lease, taken.turn.ref, refusal())
    await given.store.mark_reported(taken.turn.key)

    again = granted(await given.store.claim(request(owner="late", content="today's")))
    assert (again.turn.state, again.turn.refusal) == (TurnState.PLANNED, None)
    assert (again.turn.sequence, again.turn.is_reported) == (0, False)
    assert (again.turn.content_digest, again.turn.settled_at) == ("today's", None)
    assert again.thread.turn_count == 1

    asked = await given.store.submit(again.lease, again.turn.ref, submission(after=1))
    assert (asked.turn.sequence, asked.attempt.number) == (2, 2)
    settled = await given.store.settle(asked.lease, asked.turn.ref, answer("Now."))
    assert (settled.state, settled.answer) == (TurnState.COMPLETED, "Now.")


async def test_a_released_turn_is_submitted_by_its_claim_where_it_can_be(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.settle(taken.lease, taken.turn.ref, refusal())
    await given.store.mark_reported(taken.turn.key)

    claim = await given.store.claim(request(owner="late", asks=submission("Again?", after=1)))

    assert isinstance(claim, Submitted)
    assert (claim.turn.prompt, claim.turn.sequence, claim.attempt.number) == ("Again?", 2, 2)
    assert [turn.sequence for turn in await given.store.turns(claim.thread.ref)] == [2]


@pytest.mark.parametrize(
    ("element", "definition"), [("Task_2", "decision:1"), ("Task_1", "decision:2")]
)
@pytest.mark.parametrize("is_settled", [False, True])
async def test_another_element_or_definition_under_the_key_is_a_conflict(
    given: StoreUnderTest, element: str, definition: str, is_settled: bool
) -> None:
    await given.ready()
    taken = await given.submit()
    if is_settled:
        await given.store.settle(taken.lease, taken.turn.ref, answer())
    before = await given.store.look_up(thread_key(), turn_key())

    with pytest.raises(TaskIdentityConflict):
        await given.store.claim(
            request(owner="late", element=element, definition=definition, content="other")
        )

    assert await given.store.look_up(thread_key(), turn_key()) == before


async def test_an_element_that_one_side_does_not_know_is_no_conflict(
    given: StoreUnderTest,
) -> None:
    await given.store.claim(request(element="", definition="", lease=AT_ONCE))
    named = granted(await given.store.claim(request(owner="second", lease=AT_ONCE)))
    assert (named.turn.element_id, named.turn.process_definition) == ("Task_1", "decision:1")

    nameless = granted(await given.store.claim(request(owner="third", element="", definition="")))
    assert (nameless.turn.element_id, nameless.turn.process_definition) == ("Task_1", "decision:1")


async def test_today_s_content_replaces_that_of_a_planned_turn(given: StoreUnderTest) -> None:
    await given.store.claim(request(content="old", lease=AT_ONCE))

    claim = granted(await given.store.claim(request(content="new", owner="second")))

    assert claim.turn.content_digest == "new"


async def test_an_open_turn_keeps_the_content_it_was_asked_with(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.set_aside(taken.lease, taken.turn.ref, error_code="x", error_message="y")

    claim = granted(await given.store.claim(request(content="new", owner="second")))

    assert claim.turn.content_digest == "content"
    assert claim.turn.state is TurnState.UNKNOWN


async def test_a_strict_caller_is_told_that_the_content_changed(given: StoreUnderTest) -> None:
    await given.ready()
    other = request(content="other", owner="second", strict=True)
    same = request(owner="second", strict=True)

    taken = await given.submit()
    with pytest.raises(TaskContentChanged):
        await given.store.claim(other)
    assert isinstance(await given.store.claim(same), Queued)

    await given.store.set_aside(taken.lease, taken.turn.ref, error_code="x", error_message="y")
    with pytest.raises(TaskContentChanged):
        await given.store.claim(other)

    holder = granted(await given.store.claim(same))
    await given.store.settle(holder.lease, taken.turn.ref, refusal())
    with pytest.raises(TaskContentChanged):
        await given.store.claim(other)
    await given.store.mark_reported(taken.turn.key)
    with pytest.raises(TaskContentChanged):
        await given.store.claim(other)
    assert isinstance(await given.store.claim(same), Granted)


async def test_a_strict_caller_may_change_what_nobody_waits_for(given: StoreUnderTest) -> None:
    first = granted(await given.store.claim(request(lease=AT_ONCE)))
    other = request(content="other", owner="second", strict=True)

    with pytest.raises(TaskContentChanged):
        await given.store.claim(other)
    assert (await given.turn(first.turn.ref)).content_digest == "content"

    await given.store.drop_ticket(first.turn.ref)
    assert granted(await given.store.claim(other)).turn.content_digest == "other"


async def test_a_closed_thread_takes_no_turn_but_gives_recorded_answers(
    given: StoreUnderTest,
) -> None:
    ready = await given.ready()
    await given.complete("t1")
    planned = granted(await given.store.claim(request("t2", lease=AT_ONCE)))
    closed = await given.store.close_scope(engine="embedded", tenant="", scope="p1")
    assert closed == 1

    assert isinstance(await given.store.claim(request("t1", owner="late")), Recorded)
    for task in ("t2", "t3"):
        with pytest.raises(ThreadClosed):
            await given.store.claim(request(task, owner="late"))
    assert await given.turn(planned.turn.ref) == planned.turn
    assert (await given.store.look_up(thread_key(), turn_key("t3"))).turn is None
    assert (await given.thread()).state is ThreadState.CLOSED
    assert (await given.thread()).ref == ready.ref


async def test_a_closed_thread_gives_a_refusal_again_though_it_was_reported(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.settle(taken.lease, taken.turn.ref, refusal())
    await given.store.mark_reported(taken.turn.key)
    await given.store.close_scope(engine="embedded", tenant="", scope="p1")

    again = await given.store.claim(request(owner="late"))

    assert isinstance(again, Recorded)
    assert again.turn.state is TurnState.REFUSED


async def test_a_thread_being_erased_gives_nothing(given: StoreUnderTest) -> None:
    ready = await given.ready()
    await given.complete("t1")
    await given.put(ready.ref, ThreadState.ERASING)

    for task in ("t1", "t2"):
        with pytest.raises(ThreadErased):
            await given.store.claim(request(task, owner="late"))


async def test_an_erased_thread_s_key_is_free(given: StoreUnderTest) -> None:
    ready = await given.ready()
    await given.put(ready.ref, ThreadState.ERASED)

    assert (await given.store.look_up(thread_key(), turn_key())).thread is None
    claim = granted(await given.store.claim(request()))

    assert claim.thread.ref != ready.ref
    assert claim.thread.live is None
    assert (await given.thread()).ref == claim.thread.ref


async def test_a_parked_thread_takes_turns_and_opens_with_its_next_conversation(
    given: StoreUnderTest,
) -> None:
    ready = await given.ready()
    holder = await given.lease()
    await given.store.retire(holder.lease, 1)
    await given.store.release(holder.lease)
    await given.put(ready.ref, ThreadState.PARKED)

    claim = granted(await given.store.claim(request(asks=submission())))
    assert (claim.thread.state, claim.thread.live) == (ThreadState.PARKED, None)

    await given.converse(claim.lease)
    assert (await given.thread()).state is ThreadState.OPEN

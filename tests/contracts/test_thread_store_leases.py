"""Who holds a thread, for how long, and in which order those who wait get it."""

import pytest

from dadm.domain.errors import ThreadClosed, ThreadConflict, ThreadErased
from dadm.domain.thread import ThreadState
from dadm.domain.turn import TurnRef
from dadm.ports.store_values import Lease, Queued, ThreadHeld
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
)


def queued(claim: object) -> Queued:
    assert isinstance(claim, Queued)
    return claim


async def test_a_held_thread_queues_others_and_says_how_long_it_may_last(
    given: StoreUnderTest,
) -> None:
    await given.lease(seconds=1000)

    waiting = queued(await given.store.claim(request("t1")))

    assert 900 < waiting.lease_remaining_seconds <= 1000
    assert (waiting.ticket, waiting.ahead) == (1, 0)


async def test_a_lease_that_ran_out_is_granted_to_the_next_with_a_higher_fence(
    given: StoreUnderTest,
) -> None:
    first = await given.lease(owner="first", seconds=AT_ONCE)
    second = await given.lease(owner="second")

    assert second.lease.fence > first.lease.fence
    assert second.thread.ref == first.thread.ref
    assert not await given.store.extend(first.lease, lease_seconds=LONG)
    assert await given.store.extend(second.lease, lease_seconds=LONG)


async def test_the_same_owner_gets_the_same_lease_again(given: StoreUnderTest) -> None:
    for seconds in (LONG, AT_ONCE, LONG):
        assert (await given.lease(owner="same", seconds=seconds)).lease.fence == 1


async def test_a_released_lease_does_not_stand_and_comes_back_with_a_higher_fence(
    given: StoreUnderTest,
) -> None:
    first = await given.lease(owner="same")
    await given.store.release(first.lease)

    assert not await given.store.extend(first.lease, lease_seconds=LONG)
    assert (await given.lease(owner="same")).lease.fence > first.lease.fence


async def test_releasing_what_does_not_stand_changes_nothing(given: StoreUnderTest) -> None:
    first = await given.lease(owner="first", seconds=AT_ONCE)
    second = await given.lease(owner="second")

    await given.store.release(first.lease)
    await given.store.release(Lease(thread=second.thread.ref, owner="second", fence=99))

    assert await given.store.extend(second.lease, lease_seconds=LONG)


async def test_a_lease_that_ran_out_still_stands_until_somebody_takes_it(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.extend(taken.lease, lease_seconds=AT_ONCE)

    settled = await given.store.settle(taken.lease, taken.turn.ref, answer("Late."))

    assert settled.answer == "Late."


async def test_an_extended_lease_lasts_from_now(given: StoreUnderTest) -> None:
    first = await given.lease(owner="first", seconds=AT_ONCE)
    assert await given.store.extend(first.lease, lease_seconds=500)

    held = await given.store.lease_thread(thread_key(), owner="second", lease_seconds=LONG)

    assert isinstance(held, ThreadHeld)
    assert 400 < held.lease_remaining_seconds <= 500


async def test_leasing_a_thread_ignores_tickets_and_shows_its_open_turn(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit("t1")
    queued(await given.store.claim(request("t2")))
    await given.store.extend(taken.lease, lease_seconds=AT_ONCE)

    holder = await given.lease(owner="janitor")

    assert holder.open_turn is not None
    assert (holder.open_turn.turn, holder.open_turn.attempt) == (taken.turn, taken.attempt)
    assert holder.thread == taken.thread


@pytest.mark.parametrize(
    ("state", "error"),
    [(ThreadState.CLOSED, ThreadClosed), (ThreadState.ERASING, ThreadErased)],
)
async def test_a_thread_that_takes_no_turns_is_not_leased(
    given: StoreUnderTest, state: ThreadState, error: type[Exception]
) -> None:
    ready = await given.ready()
    await given.put(ready.ref, state)

    with pytest.raises(error):
        await given.lease()


async def test_those_who_wait_get_the_thread_in_the_order_of_their_tickets(
    given: StoreUnderTest,
) -> None:
    holder = await given.lease()
    waiting = [queued(await given.store.claim(request(task))) for task in ("a", "b", "c")]
    assert [(place.ticket, place.ahead) for place in waiting] == [(1, 0), (2, 1), (3, 2)]
    await given.store.release(holder.lease)

    last = queued(await given.store.claim(request("c")))
    assert (last.ticket, last.ahead, last.lease_remaining_seconds) == (3, 2, 0)
    first = granted(await given.store.claim(request("a")))
    assert queued(await given.store.claim(request("b"))).ahead == 1
    await given.store.settle(first.lease, first.turn.ref, refusal())

    assert queued(await given.store.claim(request("c"))).ahead == 1
    assert granted(await given.store.claim(request("b"))).turn.ref == waiting[1].turn


async def test_a_newcomer_waits_behind_those_before_it(given: StoreUnderTest) -> None:
    await given.ready()
    holder = await given.lease()
    queued(await given.store.claim(request("a")))
    await given.store.release(holder.lease)

    newcomer = queued(await given.store.claim(request("b", asks=submission())))

    assert (newcomer.ticket, newcomer.ahead) == (2, 1)


async def test_a_ticket_that_nobody_keeps_alive_is_passed_over(given: StoreUnderTest) -> None:
    holder = await given.lease()
    queued(await given.store.claim(request("dead", ticket=AT_ONCE)))
    second = queued(await given.store.claim(request("alive")))
    assert (second.ticket, second.ahead) == (2, 0)
    await given.store.release(holder.lease)

    granted(await given.store.claim(request("alive")))


async def test_a_ticket_that_died_is_drawn_anew(given: StoreUnderTest) -> None:
    holder = await given.lease()
    queued(await given.store.claim(request("dead", ticket=AT_ONCE)))
    queued(await given.store.claim(request("alive")))

    again = queued(await given.store.claim(request("dead")))

    assert (again.ticket, again.ahead) == (3, 1)
    await given.store.release(holder.lease)


async def test_kept_tickets_stay_alive(given: StoreUnderTest) -> None:
    holder = await given.lease()
    first = queued(await given.store.claim(request("a")))
    second = queued(await given.store.claim(request("b")))

    await given.store.keep_tickets([first.turn, second.turn], ticket_seconds=AT_ONCE)
    assert queued(await given.store.claim(request("c"))).ahead == 0
    await given.store.keep_tickets([first.turn, second.turn, TurnRef(999)], ticket_seconds=LONG)
    assert queued(await given.store.claim(request("c"))).ahead == 2
    await given.store.keep_tickets([], ticket_seconds=LONG)
    await given.store.release(holder.lease)

    assert granted(await given.store.claim(request("a"))).turn.ref == first.turn


async def test_a_dropped_ticket_is_passed_over_and_not_kept_by_a_late_heartbeat(
    given: StoreUnderTest,
) -> None:
    holder = await given.lease()
    first = queued(await given.store.claim(request("a")))
    queued(await given.store.claim(request("b")))
    await given.store.drop_ticket(first.turn)
    await given.store.keep_tickets([first.turn], ticket_seconds=LONG)
    await given.store.release(holder.lease)

    second = granted(await given.store.claim(request("b")))

    await given.store.release(second.lease)
    assert queued(await given.store.claim(request("a"))).ticket == 3


async def test_an_open_turn_gives_its_own_delivery_the_thread_before_all_others(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit("t1")
    queued(await given.store.claim(request("t2")))
    await given.store.set_aside(taken.lease, taken.turn.ref, error_code="x", error_message="y")

    claim = granted(await given.store.claim(request("t1", owner="second")))

    assert claim.open_turn is not None
    assert claim.open_turn.turn == claim.turn
    assert claim.turn.ref == taken.turn.ref


async def test_whoever_takes_the_thread_is_given_the_open_turn_of_another(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit("t1")
    await given.store.note_response(taken.attempt.ref, "resp_1")
    await given.store.extend(taken.lease, lease_seconds=AT_ONCE)

    claim = granted(await given.store.claim(request("t2", asks=submission(after=1))))

    assert claim.open_turn is not None
    assert claim.open_turn.turn == taken.turn
    assert claim.open_turn.attempt.response_id == "resp_1"
    assert claim.turn.key.task_id == "t2"
    assert claim.lease.fence > taken.lease.fence


async def test_threads_do_not_wait_for_each_other(given: StoreUnderTest) -> None:
    await given.lease(thread_key(assistant="analyst"))

    granted(await given.store.claim(request("t2", thread=thread_key(assistant="critic"))))


async def test_a_decision_under_a_lost_lease_changes_nothing(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    usurper = await given.usurp(taken.lease)
    before = await given.store.find_turn(taken.turn.ref)
    note = {"error_code": "x", "error_message": "y"}

    with pytest.raises(ThreadConflict):
        await given.store.settle(taken.lease, taken.turn.ref, answer("Late."))
    with pytest.raises(ThreadConflict):
        await given.store.settle(taken.lease, taken.turn.ref, refusal())
    with pytest.raises(ThreadConflict):
        await given.store.set_aside(taken.lease, taken.turn.ref, **note)
    with pytest.raises(ThreadConflict):
        await given.store.replan(taken.lease, taken.attempt.ref, **note, keep_lease=True)
    with pytest.raises(ThreadConflict):
        await given.store.make_live(taken.lease, 1)
    with pytest.raises(ThreadConflict):
        await given.store.retire(taken.lease, 1)

    assert await given.store.find_turn(taken.turn.ref) == before
    assert (await given.thread()).live is not None
    assert await given.store.extend(usurper, lease_seconds=LONG)


async def test_a_planned_turn_is_not_submitted_under_a_lost_lease(given: StoreUnderTest) -> None:
    await given.ready()
    claim = granted(await given.store.claim(request()))
    await given.usurp(claim.lease)

    with pytest.raises(ThreadConflict):
        await given.store.submit(claim.lease, claim.turn.ref, submission())

    assert await given.turn(claim.turn.ref) == claim.turn
    assert (await given.thread()).turn_count == 0


async def test_facts_are_recorded_whoever_holds_the_lease(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    await given.usurp(taken.lease)

    await given.store.note_response(taken.attempt.ref, "resp_1")

    assert (await given.store.attempts(taken.turn.ref))[0].response_id == "resp_1"

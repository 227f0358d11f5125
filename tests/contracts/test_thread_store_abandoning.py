"""A person may end a turn without an answer, whatever became of its request."""

import pytest

from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import NO_USAGE
from dadm.domain.turn import Refusal, TurnRef, TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.store_values import AbandonSettlement, Lease, Recorded
from tests.contracts.stores import (
    LONG,
    StoreUnderTest,
    answer,
    granted,
    request,
    submission,
    turn_key,
)

ENOUGH = AbandonSettlement(reason="Nobody waits for it any more.")


async def held_turn(given: StoreUnderTest, state: TurnState) -> tuple[Lease, TurnRef]:
    """Give a turn in a state that is not settled, and a lease of its thread."""
    await given.ready()
    if state is TurnState.PLANNED:
        claim = granted(await given.store.claim(request()))
        return claim.lease, claim.turn.ref
    taken = await given.submit()
    if state is TurnState.SUBMITTED:
        return taken.lease, taken.turn.ref
    await given.store.set_aside(taken.lease, taken.turn.ref, error_code="x", error_message="y")
    return (await given.lease()).lease, taken.turn.ref


UNSETTLED = pytest.mark.parametrize("state", [s for s in TurnState if not s.is_settled])


@UNSETTLED
async def test_a_turn_that_has_no_end_is_abandoned(given: StoreUnderTest, state: TurnState) -> None:
    lease, turn = await held_turn(given, state)
    before = await given.turn(turn)
    assert before.state is state

    ended = await given.store.settle(lease, turn, ENOUGH)

    assert ended.state is TurnState.ABANDONED
    assert ended.refusal == Refusal(code="abandoned", reason=ENOUGH.reason)
    assert (ended.answer, ended.usage, ended.link) == (None, NO_USAGE, "")
    assert (ended.sequence, ended.prompt) == (before.sequence, before.prompt)
    assert ended.settled_at is not None
    assert await given.turn(turn) == ended
    assert not await given.store.extend(lease, lease_seconds=LONG)
    assert await given.trail(lease.thread) == [(AuditAction.ABANDONED, ENOUGH.reason)]


@UNSETTLED
async def test_the_thread_goes_on_after_an_abandoned_turn(
    given: StoreUnderTest, state: TurnState
) -> None:
    lease, turn = await held_turn(given, state)
    await given.store.settle(lease, turn, ENOUGH, keep_lease=True)
    assert await given.store.extend(lease, lease_seconds=LONG)
    await given.store.release(lease)

    settled = await given.complete("t2")

    assert settled.state is TurnState.COMPLETED
    assert [found.sequence for found in await given.store.exchanges(lease.thread)] == [
        settled.sequence
    ]


async def test_an_abandoned_turn_is_recorded_even_once_reported(given: StoreUnderTest) -> None:
    lease, turn = await held_turn(given, TurnState.UNKNOWN)
    await given.store.settle(lease, turn, ENOUGH)
    await given.store.mark_reported(turn_key())

    claim = await given.store.claim(request(asks=submission(after=1)))

    assert isinstance(claim, Recorded)
    assert (claim.turn.state, claim.turn.is_reported) == (TurnState.ABANDONED, True)


async def test_the_same_abandonment_again_gives_the_same(given: StoreUnderTest) -> None:
    lease, turn = await held_turn(given, TurnState.UNKNOWN)
    ended = await given.store.settle(lease, turn, ENOUGH)

    again = await given.store.settle(lease, turn, ENOUGH)
    await given.lease(owner="next")
    later = await given.store.settle(lease, turn, ENOUGH)

    assert again == later == ended
    assert len(await given.trail(lease.thread)) == 1


async def test_what_has_its_end_is_not_abandoned_nor_the_other_way(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    settled = await given.complete()
    abandoned = await given.submit("t2")
    given_up = await given.store.settle(abandoned.lease, abandoned.turn.ref, ENOUGH)
    holder = await given.lease()

    for turn in (settled, given_up):
        with pytest.raises(ThreadConflict):
            await given.store.settle(holder.lease, turn.ref, ENOUGH)
        with pytest.raises(ThreadConflict):
            await given.store.settle(holder.lease, turn.ref, answer())
        assert await given.turn(turn.ref) == turn


async def test_only_who_holds_the_thread_abandons_its_turn(given: StoreUnderTest) -> None:
    lease, turn = await held_turn(given, TurnState.SUBMITTED)
    await given.usurp(lease)

    with pytest.raises(ThreadConflict):
        await given.store.settle(lease, turn, ENOUGH)

    assert (await given.turn(turn)).state is TurnState.SUBMITTED

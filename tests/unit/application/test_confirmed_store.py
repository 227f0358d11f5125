"""A store that falters for a moment costs neither an answer nor a thread's time."""

import asyncio

import pytest

from dadm.domain.errors import StoreUnavailable, ThreadConflict
from dadm.domain.turn import TurnState
from tests.unit.application.stage import Stage

DECISIONS = ("claim", "submit", "settle", "note_conversation", "make_live", "look_up")


@pytest.mark.parametrize("is_done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("method", DECISIONS)
async def test_call_that_was_not_confirmed_is_made_again(
    stage: Stage, method: str, is_done: bool
) -> None:
    replica = await stage.replica()
    replica.store.fail_next(method, StoreUnavailable(), is_done=is_done, times=3)
    begun_at = asyncio.get_running_loop().time()

    answer = await replica.ask("t1")

    assert (answer.recommendation, answer.sequence, answer.is_recovered) == ("ok", 1, False)
    assert len(stage.asked) == 1
    assert asyncio.get_running_loop().time() - begun_at < 5
    assert (await replica.ask("t2")).sequence == 2


async def test_store_that_stays_away_is_an_error_and_the_turn_is_found_later(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    replica.store.fail_next("settle", StoreUnavailable(), times=4)

    with pytest.raises(StoreUnavailable):
        await replica.ask("t1")

    assert (await stage.turn()).state is TurnState.SUBMITTED
    assert (await replica.ask("t1")).recommendation == "ok"


async def test_any_other_error_of_the_store_is_told_at_once(stage: Stage) -> None:
    replica = await stage.replica()
    replica.store.fail_next("settle", ThreadConflict())

    with pytest.raises(ThreadConflict):
        await replica.ask("t1")

    assert replica.store.calls["settle"] == 1

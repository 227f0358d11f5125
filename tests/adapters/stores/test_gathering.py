"""Statements that are executed for many at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from dadm.adapters.stores.postgres.gathering import Gathering
from dadm.domain.errors import StoreUnavailable


class Executing:
    """Executes when told to, and remembers what it was asked together."""

    def __init__(self) -> None:
        self.together: list[list[Any]] = []
        self.may_go_on = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.refused = ""

    async def each(self, values: Sequence[tuple[Any, ...]]) -> Sequence[str]:
        self.together.append([value for (value,) in values])
        self.has_begun.set()
        await self.may_go_on.wait()
        if (self.refused,) in values:
            raise StoreUnavailable
        return [f"result of {value}" for (value,) in values]


async def test_who_asks_while_others_are_executed_is_executed_together_and_gets_their_own() -> None:
    executing = Executing()
    gathering = Gathering(executing.each)

    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(gathering.execute(("first",)))
        await executing.has_begun.wait()
        later = [tasks.create_task(gathering.execute((name,))) for name in ("c", "a", "b")]
        await asyncio.sleep(0)
        executing.may_go_on.set()

    assert executing.together == [["first"], ["a", "b", "c"]]
    assert first.result() == "result of first"
    assert [task.result() for task in later] == ["result of c", "result of a", "result of b"]


async def test_who_asks_alone_waits_for_nobody() -> None:
    executing = Executing()
    executing.may_go_on.set()
    gathering = Gathering(executing.each)

    assert await gathering.execute(("one",)) == "result of one"
    assert await gathering.execute(("two",)) == "result of two"
    assert executing.together == [["one"], ["two"]]


async def test_values_that_are_refused_make_nobody_else_fail() -> None:
    executing = Executing()
    executing.refused = "bad"
    gathering = Gathering(executing.each)

    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(gathering.execute(("first",)))
        await executing.has_begun.wait()
        asking = asyncio.gather(
            *(gathering.execute((name,)) for name in ("a", "bad", "b")), return_exceptions=True
        )
        await asyncio.sleep(0)
        executing.may_go_on.set()
        good, refused, also_good = await asking

    assert first.result() == "result of first"
    assert (good, also_good) == ("result of a", "result of b")
    assert isinstance(refused, StoreUnavailable)
    assert await gathering.execute(("afterwards",)) == "result of afterwards"


async def test_who_is_refused_alone_is_not_tried_again() -> None:
    executing = Executing()
    executing.refused = "bad"
    executing.may_go_on.set()
    gathering = Gathering(executing.each)

    with pytest.raises(StoreUnavailable):
        await gathering.execute(("bad",))

    assert executing.together == [["bad"]]
    assert await gathering.execute(("good",)) == "result of good"


@pytest.mark.parametrize("cancelled", ["first", "a", "b", "c"])
@pytest.mark.parametrize("is_late", [False, True])
async def test_who_is_cancelled_takes_nobody_along(cancelled: str, *, is_late: bool) -> None:
    executing = Executing()
    gathering = Gathering(executing.each)
    names = ("first", "a", "b", "c")

    async with asyncio.TaskGroup() as tasks:
        asking = {name: tasks.create_task(gathering.execute((name,))) for name in names}
        await executing.has_begun.wait()
        await asyncio.sleep(0)
        if is_late:
            # The first is through, and the others are executed together by one of them.
            executing.has_begun.clear()
            executing.may_go_on.set()
            executing.may_go_on = asyncio.Event()
            await executing.has_begun.wait()
        asking[cancelled].cancel()
        await asyncio.sleep(0)
        executing.may_go_on.set()

    gone = asking.pop(cancelled)
    assert gone.cancelled() or (is_late and cancelled == "first")
    assert {name: task.result() for name, task in asking.items()} == {
        name: f"result of {name}" for name in asking
    }
    assert await gathering.execute(("afterwards",)) == "result of afterwards"

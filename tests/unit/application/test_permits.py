"""Permits are given to those who wait, the ones other replicas wait for not last."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.application.turns.permits import Permits
from dadm.ports.backend import Question
from tests.unit.application.stage import LIMITS, Stage, settled


class Crowd:
    """Those who hold or want permits; each holds its own until it is told to leave."""

    def __init__(self, count: int) -> None:
        self.permits = Permits(count)
        self.let_in: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._leave: dict[str, asyncio.Event] = {}

    def come(self, name: str, *, is_due: bool = False) -> None:
        self._leave[name] = asyncio.Event()

        async def stay() -> None:
            async with self.permits.held(is_due=is_due):
                self.let_in.append(name)
                await self._leave[name].wait()

        self.tasks[name] = asyncio.get_running_loop().create_task(stay())

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await self.tasks[name]
        await asyncio.sleep(1)


Start = Callable[[int], Awaitable[Crowd]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    crowds: list[Crowd] = []

    async def begin(count: int) -> Crowd:
        crowds.append(Crowd(count))
        return crowds[-1]

    yield begin
    for crowd in crowds:
        for task in crowd.tasks.values():
            task.cancel()
        await settled(*crowd.tasks.values())


async def test_permits_are_given_in_order_as_long_as_there_are_some(start: Start) -> None:
    crowd = await start(2)
    for name in ("a", "b", "c", "d"):
        crowd.come(name)
    await asyncio.sleep(1)
    assert crowd.let_in == ["a", "b"]

    await crowd.leave("b")
    assert crowd.let_in == ["a", "b", "c"]
    await crowd.leave("a")
    await crowd.leave("c")
    crowd.come("e")
    await asyncio.sleep(1)

    assert crowd.let_in == ["a", "b", "c", "d", "e"]


async def test_those_whose_turn_it_is_and_those_who_just_came_are_let_in_by_turns(
    start: Start,
) -> None:
    crowd = await start(1)
    crowd.come("first")
    for number in range(3):
        crowd.come(f"new {number}")
    for number in range(2):
        crowd.come(f"due {number}", is_due=True)
    await asyncio.sleep(1)

    for _ in range(6):
        await crowd.leave(crowd.let_in[-1])

    assert crowd.let_in == ["first", "due 0", "new 0", "due 1", "new 1", "new 2"]


async def test_who_gives_up_takes_no_permit_along(start: Start) -> None:
    crowd = await start(1)
    for name in ("a", "b", "c"):
        crowd.come(name)
    await asyncio.sleep(1)

    crowd.tasks["b"].cancel()
    await asyncio.sleep(1)
    await crowd.leave("a")

    assert crowd.let_in == ["a", "c"]


async def test_permit_that_was_handed_to_somebody_who_gave_up_is_handed_on(start: Start) -> None:
    crowd = await start(1)
    for name in ("a", "b", "c"):
        crowd.come(name)
    await asyncio.sleep(1)

    def give_up(_: object) -> None:
        # The permit is b's by now, and b has not noticed yet.
        crowd.tasks["b"].cancel()

    crowd.tasks["a"].add_done_callback(give_up)
    await crowd.leave("a")
    await asyncio.sleep(1)

    assert crowd.let_in[-1] == "c"


async def test_who_gave_up_in_the_same_moment_is_passed_over(start: Start) -> None:
    crowd = await start(1)
    for name in ("a", "b", "c"):
        crowd.come(name)
    await asyncio.sleep(1)

    # As in a shutdown: the one who holds a permit ends before those who waited notice.
    crowd.tasks["a"].cancel()
    crowd.tasks["b"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await crowd.tasks["a"]
    await asyncio.sleep(1)

    assert crowd.let_in == ["a", "c"]
    await crowd.leave("c")
    assert crowd.permits.free == 1


async def test_crowd_of_one_replica_keeps_a_thread_from_no_other_replica(stage: Stage) -> None:
    async def slowly(question: Question) -> str:
        await asyncio.sleep(30)
        return "ok"

    keeps = stage.backend.keeps_conversations
    stage.use(ScriptedBackend(slowly, keeps_conversations=keeps))
    limits = replace(LIMITS, concurrent_turns=1)
    crowded, idle = await stage.replica(limits=limits), await stage.replica(limits=limits)
    first = stage.begin(idle.ask("y0", process_instance_id="y"))
    await asyncio.sleep(1)
    # It draws its ticket and waits; then others of its replica come, for threads of their own.
    due = stage.begin(crowded.ask("y1", process_instance_id="y"))
    await asyncio.sleep(1)
    for number in range(20):
        stage.let_run(crowded.ask("x", process_instance_id=f"x{number}"))
    await asyncio.sleep(1)
    behind = stage.begin(idle.ask("y2", process_instance_id="y"))

    answers = await asyncio.gather(first, due, behind)

    assert [answer.sequence for answer in answers] == [1, 2, 3]
    seconds = asyncio.get_running_loop().time()
    assert seconds < 3 * 30 + 30 + 5, "one turn of the crowd had to end meanwhile, not all of them"

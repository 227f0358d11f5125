"""The loop itself: a dead process runs nothing more, a paused one goes on, sets of tasks have one order."""

import asyncio
import itertools

import pytest

from tests.simulation.scheduler import NeverEnding, new_loop


def test_a_dead_process_runs_neither_finally_nor_except_nor_timers() -> None:
    loop = new_loop(longest_seconds=100.0)
    process = loop.new_process("doomed")
    ran: list[str] = []
    is_over = False

    async def work() -> None:
        try:
            async with asyncio.timeout(5.0):
                await asyncio.sleep(10.0)
        except TimeoutError:
            ran.append("except")
        finally:
            if not is_over:
                ran.append("finally")

    async def main() -> None:
        nonlocal is_over
        working = loop.create_task(work(), context=process.context)
        await asyncio.sleep(1.0)
        loop.hold(process)
        await asyncio.sleep(50.0)
        assert not working.done()
        is_over = True

    loop.run(main())

    assert ran == []


def test_a_paused_process_goes_on_as_if_nothing_had_happened() -> None:
    loop = new_loop(longest_seconds=1000.0)
    process = loop.new_process("paused")
    woke_at: list[float] = []

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for seconds in (3.0, 1.0, 2.0):
                group.create_task(nap(seconds))

    async def nap(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woke_at.append(loop.time() + seconds / 10)

    async def main() -> None:
        working = loop.create_task(work(), context=process.context)
        await asyncio.sleep(0.5)
        loop.hold(process)
        await asyncio.sleep(99.5)
        loop.let_go(process)
        await working

    loop.run(main())

    assert woke_at == [100.1, 100.2, 100.3]


def test_a_task_made_in_a_process_belongs_to_it_at_any_depth() -> None:
    loop = new_loop(longest_seconds=1000.0)
    process = loop.new_process("deep")
    steps: list[float] = []

    async def deep(depth: int) -> None:
        if depth:
            async with asyncio.TaskGroup() as group:
                group.create_task(deep(depth - 1))
        while True:
            steps.append(loop.time())
            await asyncio.sleep(1.0)

    async def main() -> None:
        loop.create_task(deep(3), context=process.context).set_name("root")
        await asyncio.sleep(5.5)
        loop.hold(process)
        await asyncio.sleep(50.0)

    loop.run(main())

    assert max(steps) == 5.0


def test_waiting_for_nothing_is_noticed() -> None:
    loop = new_loop(longest_seconds=10.0)

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NeverEnding):
        loop.run(main())


def test_going_round_in_circles_is_noticed() -> None:
    loop = new_loop(longest_seconds=10.0)

    async def main() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(NeverEnding):
        loop.run(main())

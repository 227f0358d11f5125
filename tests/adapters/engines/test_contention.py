"""Several programs on one store change one instance at a time, and none loses a step."""

import asyncio
from collections.abc import Sequence

import pytest

from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.domain.errors import EngineUnavailable
from dadm.ports.engine import InstanceState
from dadm.ports.process_store import InstanceChange, ProcessStore, StoredInstance
from tests.adapters.engines.bpmn import (
    definitions,
    end,
    flows,
    instances,
    model,
    node,
    process,
    start,
    task,
)
from tests.adapters.engines.stage import Stage

MANY = model(
    start(),
    task("A", instances(count="40")),
    node("userTask", "U"),
    end(),
    flows("s > A > U > e"),
)


class Interleaved:
    """A store that lets others run between its calls, as one behind a network does."""

    def __init__(self, store: ProcessStore) -> None:
        self._store = store
        self.conflicts = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def instance(self, instance_id: str) -> StoredInstance | None:
        found = await self._store.instance(instance_id)
        await asyncio.sleep(0)
        return found

    async def save(self, changes: Sequence[InstanceChange]) -> bool:
        await asyncio.sleep(0)
        is_saved = await self._store.save(changes)
        self.conflicts += not is_saved
        return is_saved


async def test_branches_completed_at_once_by_several_programs_all_count(stage: Stage) -> None:
    await stage.run(MANY)
    held = await stage.fetch()
    store = Interleaved(stage.store)
    given: ProcessStore = store  # type: ignore[assignment]  # passes everything else on
    engines = [EmbeddedEngine(given, stage.clock, stage.numbers) for _ in range(4)]

    await asyncio.gather(
        *(
            engines[index % 4].complete(each, variables={f"x{index}": index})
            for index, each in enumerate(held)
        )
    )

    assert store.conflicts > 0
    assert await stage.stands_at() == ("U",)
    assert (await stage.see()).variables == {f"x{index}": index for index in range(40)}
    assert len(await stage.engine.user_tasks()) == 1


async def test_within_one_program_steps_of_an_instance_wait_for_each_other(stage: Stage) -> None:
    await stage.run(MANY)
    held = await stage.fetch()
    store = Interleaved(stage.store)
    given: ProcessStore = store  # type: ignore[assignment]  # passes everything else on
    engine = EmbeddedEngine(given, stage.clock, stage.numbers)

    await asyncio.gather(*(engine.complete(each, variables={}) for each in held))

    assert store.conflicts == 0
    assert await stage.stands_at() == ("U",)


async def test_called_processes_that_end_at_once_do_not_fight_for_their_caller(
    stage: Stage,
) -> None:
    call = node("callActivity", "call", instances(count="20"), "calledElement='called'")
    caller = process(start(), call, node("userTask", "U"), end(), flows("s > call > U > e"))
    called = process(start("cs"), task("A"), end("ce"), flows("cs > A > ce"), key="called")
    await stage.run(definitions(caller, called))
    held = await stage.fetch()
    store = Interleaved(stage.store)
    given: ProcessStore = store  # type: ignore[assignment]  # passes everything else on
    engine = EmbeddedEngine(given, stage.clock, stage.numbers)

    await asyncio.gather(*(engine.complete(each, variables={}) for each in held))

    assert store.conflicts == 0
    assert await stage.stands_at() == ("U",)


async def test_an_instance_that_others_never_leave_alone_is_given_up_for_now(stage: Stage) -> None:
    class Busy(Interleaved):
        async def save(self, changes: Sequence[InstanceChange]) -> bool:
            self.conflicts += 1
            return False

    await stage.run(MANY)
    (held, *_) = await stage.fetch()
    busy: ProcessStore = Busy(stage.store)  # type: ignore[assignment]  # passes everything else on
    engine = EmbeddedEngine(busy, stage.clock, stage.numbers)

    with pytest.raises(EngineUnavailable, match="being changed by others"):
        await engine.complete(held, variables={})
    with pytest.raises(EngineUnavailable, match="being changed by others"):
        await engine.cancel(stage.instance_id)

    assert (await stage.see()).state is InstanceState.ACTIVE
    await stage.engine.complete(held, variables={})


async def test_one_timer_that_two_programs_see_comes_once(stage: Stage) -> None:
    timed = (
        "<bpmn:timerEventDefinition><bpmn:timeDuration>PT1H</bpmn:timeDuration>"
        "</bpmn:timerEventDefinition>"
    )
    await stage.run(
        model(
            start(),
            node("intermediateCatchEvent", "w", timed),
            task("A"),
            end(),
            flows("s > w > A > e"),
        )
    )
    stage.clock.pass_time(hours=2)
    given: ProcessStore = Interleaved(stage.store)  # type: ignore[assignment]  # passes everything else on
    engines = [EmbeddedEngine(given, stage.clock, stage.numbers) for _ in range(3)]

    counts = await asyncio.gather(*(engine.run_due() for engine in engines))

    assert sorted(counts) == [0, 0, 1]
    assert await stage.offered() == ["A"]

"""Models get versions, and the AI tasks they declare are known."""

import pytest

from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.domain.errors import InvalidModel, UnknownProcess
from dadm.ports.engine import AssistantTask
from dadm.ports.process_store import ProcessStore, StoredDefinition
from tests.adapters.engines.bpmn import (
    definitions,
    end,
    extended,
    flows,
    job,
    model,
    node,
    process,
    properties,
    start,
    task,
)
from tests.adapters.engines.stage import Stage

ONE = model(start(), task("A"), end(), flows("s > A > e"))
OTHER = model(start(), task("B"), end(), flows("s > B > e"))


async def test_an_unchanged_file_keeps_its_version(stage: Stage) -> None:
    (first,) = await stage.engine.deploy({"p.bpmn": ONE})
    (again,) = await stage.engine.deploy({"p.bpmn": ONE})
    (changed,) = await stage.engine.deploy({"p.bpmn": OTHER})
    (back,) = await stage.engine.deploy({"p.bpmn": ONE})

    assert first == again
    assert [each.version for each in (first, changed, back)] == [1, 2, 3]
    assert len({each.definition_id for each in (first, changed, back)}) == 3
    assert await stage.engine.definitions() == (back,)


async def test_all_files_are_deployed_or_none(stage: Stage) -> None:
    broken = model(start(), node("scriptTask", "X"), end(), flows("s > X > e"), key="q")

    with pytest.raises(InvalidModel, match="scriptTask X"):
        await stage.engine.deploy({"p.bpmn": ONE, "q.bpmn": broken})

    assert await stage.engine.definitions() == ()


async def test_a_file_may_hold_several_processes_but_no_key_twice(stage: Stage) -> None:
    both = definitions(
        process(start(), end(), flows("s > e")),
        process(start("s2"), end("e2"), flows("s2 > e2"), key="q"),
    )

    deployed = await stage.engine.deploy({"both.bpmn": both})
    assert [each.key for each in deployed] == ["p", "q"]
    with pytest.raises(InvalidModel, match=r"p is in both\.bpmn and in p\.bpmn"):
        await stage.engine.deploy({"both.bpmn": both, "p.bpmn": ONE})


async def test_tenants_have_models_of_their_own(stage: Stage) -> None:
    await stage.engine.deploy({"p.bpmn": ONE}, tenant="acme")
    await stage.engine.deploy({"p.bpmn": OTHER})

    started = await stage.engine.start("p", variables={}, tenant="acme")

    assert (started.tenant, started.waiting_at) == ("acme", ("A",))
    with pytest.raises(UnknownProcess):
        await stage.engine.start("p", variables={}, tenant="other")


async def test_starting_what_is_not_deployed_says_what_is(stage: Stage) -> None:
    await stage.deploy(ONE)

    with pytest.raises(UnknownProcess, match=r"no process 'q'\. Deployed: p"):
        await stage.start("q")


async def test_ai_tasks_are_known_from_running_and_from_latest_versions(stage: Stage) -> None:
    def declaring(*tasks: str) -> bytes:
        return model(start(), *tasks, end(), flows("s > A > B > e"))

    marked = extended(properties(service__type="assistant", service__name="dadm-openai-assistant"))
    named = extended(properties(service__type="assistant", assistant="legal", service__name="x"))
    await stage.deploy(declaring(task("A", marked, topic="old"), task("B")))
    await stage.start()
    header = "<zeebe:taskHeaders><zeebe:header key='service.type' value='assistant'/></zeebe:taskHeaders>"
    await stage.deploy(declaring(task("A", named, topic="new"), job("B", extensions=header)))

    def declared(topic: str, element: str, assistant: str) -> AssistantTask:
        return AssistantTask(
            topic=topic, element_id=element, process_definition_key="p", assistant=assistant
        )

    assert set(await stage.engine.assistant_tasks()) == {
        declared("old", "A", "dadm-openai-assistant"),
        declared("new", "A", "legal"),
        declared("B", "B", ""),
    }
    await stage.work("A", "B")
    assert {each.topic for each in await stage.engine.assistant_tasks()} == {"new", "B"}


async def test_a_job_type_alone_marks_an_ai_task(stage: Stage) -> None:
    await stage.run(model(start(), job("A", job_type="dadm.assistant"), end(), flows("s > A > e")))

    (declared,) = await stage.engine.assistant_tasks()
    assert declared.topic == "dadm.assistant"
    held = await stage.take("A")
    assert held.properties == {"service.type": "assistant"}
    assert "A_result" in held.own_answers


@pytest.mark.parametrize(("rival", "version"), [(ONE, 1), (OTHER, 2)])
async def test_two_replicas_that_deploy_at_once_agree_on_the_version(
    stage: Stage, rival: bytes, version: int
) -> None:
    class Overtaken:
        """A store that lets somebody else deploy just before us, once."""

        def __init__(self, store: ProcessStore) -> None:
            self._store = store
            self._rival = EmbeddedEngine(store, stage.clock, stage.numbers)
            self._is_overtaken = False

        def __getattr__(self, name: str) -> object:
            return getattr(self._store, name)

        async def add_definitions(self, stored: list[StoredDefinition]) -> None:
            if not self._is_overtaken:
                self._is_overtaken = True
                await self._rival.deploy({"p.bpmn": rival})
            await self._store.add_definitions(stored)

    overtaken: ProcessStore = Overtaken(stage.store)  # type: ignore[assignment]  # passes all else on
    engine = EmbeddedEngine(overtaken, stage.clock, stage.numbers)

    (deployed,) = await engine.deploy({"p.bpmn": ONE})

    assert deployed.version == version
    assert (await stage.engine.definitions()) == (deployed,)


async def test_a_model_that_this_program_no_longer_runs_stops_nothing_else(stage: Stage) -> None:
    await stage.deploy(ONE)
    await stage.start()
    (definition,) = await stage.engine.definitions()
    stored = await stage.store.definition(definition.definition_id)
    assert stored is not None
    stage.store._kept.definitions["p:1"] = StoredDefinition(  # type: ignore[attr-defined]  # an older program's
        definition=stored.definition, resource_name="p", digest="", source=b"<old/>"
    )
    ai = extended(properties(service__type="assistant"))
    other = model(start(), task("B", ai), end(), flows("s > B > e"), key="q")
    await stage.engine.deploy({"q.bpmn": other})
    await stage.engine.start("q", variables={})

    assert [each.topic for each in await stage.engine.assistant_tasks()] == ["B"]
    stage._topics = {"A", "B"}
    assert await stage.offered() == ["B"]

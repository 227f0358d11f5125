"""A program that is stopped anywhere goes on from its database, and so does another program."""

from datetime import timedelta
from pathlib import Path

from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.adapters.stores.sqlite import SqliteProcessStore, open_sqlite
from dadm.adapters.system_clock import RandomIdentifiers, SystemClock
from dadm.ports.engine import InstanceState, TopicSubscription
from dadm.ports.process_store import ProcessStore
from tests.adapters.engines.bpmn import (
    boundary,
    caught,
    definitions,
    end,
    error,
    extended,
    flows,
    instances,
    message,
    node,
    process,
    start,
    task,
    timer,
)

CALLER = process(
    start(),
    node("parallelGateway", "fork"),
    node("intermediateCatchEvent", "pause", timer("PT0S")),
    task("Many", instances(collection="items", element="item", sequential=True)),
    node(
        "callActivity", "call", extended("<camunda:out variables='all'/>"), "calledElement='called'"
    ),
    boundary("failed", "call", caught("x")),
    task("Mend"),
    node("parallelGateway", "join"),
    node("intermediateCatchEvent", "paid_in", message("paid")),
    node("userTask", "Approve"),
    end(),
    flows("s > fork > pause > Many > join", "fork > call", "failed > Mend > join"),
    flows("join > paid_in > Approve > e"),
)
CALLED = process(start("cs"), task("Inner"), end("ce"), flows("cs > Inner > ce"), key="called")
DOCUMENT = definitions(error("X"), "<bpmn:message id='paid' name='paid'/>", CALLER, CALLED)


def program(store: ProcessStore) -> EmbeddedEngine:
    return EmbeddedEngine(store, SystemClock(), RandomIdentifiers())


async def do_one_thing(engine: EmbeddedEngine) -> str:
    """Let a timer come, or work a task, or send the message, or act as a person."""
    if await engine.run_due():
        return "timer"
    for held in await engine.fetch_and_lease(
        [
            TopicSubscription(topic=topic, lease_duration=timedelta(hours=1))
            for topic in ("Many", "Inner", "Mend")
        ],
        max_tasks=1,
        request_timeout=timedelta(0),
    ):
        if held.element_id == "Inner":
            await engine.bpmn_error(held, error_code="X", message="", variables={"why": 1})
        else:
            await engine.complete(held, variables={"last": held.variables.get("item")})
        return held.element_id
    if await engine.correlate_message("paid", variables={"sum": 7}):
        return "message"
    (waiting,) = await engine.user_tasks()
    await engine.complete_user_task(waiting.task_id, variables={"approved": True})
    return "person"


async def test_every_wait_survives_the_end_of_the_program(tmp_path: Path) -> None:
    path = tmp_path / "dadm.db"
    async with open_sqlite(path) as file:
        engine = program(SqliteProcessStore(file))
        await engine.deploy({"both.bpmn": DOCUMENT})
        instance_id = (await engine.start("p", variables={"items": ["a", "b"]})).instance_id

    done: list[str] = []
    state = InstanceState.ACTIVE
    while state is InstanceState.ACTIVE and len(done) < 20:
        async with open_sqlite(path) as file:
            engine = program(SqliteProcessStore(file))
            done.append(await do_one_thing(engine))
            state = (await engine.instance(instance_id)).state

    assert sorted(done[:5]) == ["Inner", "Many", "Many", "Mend", "timer"]
    assert done[5:] == ["message", "person"]
    async with open_sqlite(path) as file:
        engine = program(SqliteProcessStore(file))
        ended = await engine.instance(instance_id)
        told = await engine.ended_instances(after=0, limit=10)
    assert (ended.state, ended.incident_count) == (InstanceState.COMPLETED, 0)
    assert ended.variables == {
        "items": ["a", "b"],
        "last": ended.variables["last"],
        "why": 1,
        "sum": 7,
        "approved": True,
    }
    assert [each.state for each in told] == [InstanceState.CANCELLED, InstanceState.COMPLETED]

"""What every engine that runs processes tells of whose thread a task continues.

The table in docs/reference/thread_scope.md, row by row and on each engine that can tell.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dadm.application.orchestration.task_intake import TaskIntake
from dadm.domain.errors import InvalidTask, TaskGone
from dadm.domain.task import ServiceTask
from dadm.domain.thread_scope import SETTING
from dadm.ports.assistant_service import TaskAnswer
from dadm.ports.engine import LeasedTask
from dadm.ports.engine_features import Feature
from tests.adapters.engines.bpmn import (
    definitions,
    end,
    extended,
    flow,
    flows,
    instances,
    node,
    process,
    properties,
    start,
    task,
)
from tests.contracts.engines import AT_ONCE, REAL, EngineUnderTest

KEPT = "camunda:historyTimeToLive='1'"
SCOPES = ("process-instance", "root-instance", "element", "element-instance", "business-key")


@pytest.fixture(
    params=[
        "embedded_engine",
        "embedded_on_sqlite",
        pytest.param("operaton", marks=REAL),
        pytest.param("camunda7", marks=REAL),
        pytest.param("camunda8", marks=REAL),
    ]
)
def given(request: pytest.FixtureRequest) -> EngineUnderTest:
    found: EngineUnderTest = request.getfixturevalue(request.param)
    return found


class NobodyKnown:
    """A service that knows no assistant, and is asked nothing else."""

    async def process_task(self, task: ServiceTask) -> TaskAnswer:
        raise NotImplementedError

    async def knows_assistant(self, name: str) -> bool:
        return False

    async def outcome_reported(self, task: ServiceTask) -> None:
        raise NotImplementedError

    async def withdraw_task(self, task: ServiceTask) -> None:
        raise NotImplementedError

    async def refuse_if_away(self) -> None:
        raise NotImplementedError


async def scope(given: EngineUnderTest, leased: LeasedTask) -> str:
    """Give the scope of the thread that a task continues."""
    intake = TaskIntake(given.engine.engine_id, NobodyKnown())
    asked = replace(leased, documentation="What?")
    return (await intake.service_task(asked)).thread_scope


async def scopes(given: EngineUnderTest, found: Sequence[LeasedTask]) -> list[str]:
    return [await scope(given, each) for each in found]


async def is_told(given: EngineUnderTest, wanted: str) -> bool:
    """Whether the engine tells what a scope is made of; where it does not, there is none."""
    needed = {"root-instance": Feature.ROOT_INSTANCE, "business-key": Feature.BUSINESS_KEY}
    if wanted not in needed or needed[wanted] in given.engine.features:
        return True
    await given.start(definitions(chain("T", inner=wants(wanted))), business_key="order-7")
    with pytest.raises(InvalidTask, match=wanted):
        await scope(given, await given.take("T"))
    return False


def wants(wanted: str) -> str:
    """Write the setting on a task."""
    return extended(properties(thread__scope=wanted)) if wanted else ""


def of_process(wanted: str, *parts: str, key: str = "p") -> str:
    """Write a process that sets the scope for its tasks."""
    return process(extended(properties(thread__scope=wanted)), *parts, key=key, attributes=KEPT)


def chain(*names: str, inner: str = "", key: str = "p", wanted: str = "") -> str:
    parts = (
        start(f"{key}_s"),
        *(task(name, inner) for name in names),
        end(f"{key}_e"),
        flows(" > ".join((f"{key}_s", *names, f"{key}_e"))),
    )
    if wanted:
        return of_process(wanted, *parts, key=key)
    return process(*parts, key=key, attributes=KEPT)


async def worked(given: EngineUnderTest, *topics: str) -> dict[str, LeasedTask]:
    """Work one task after the other, and give each by its element."""
    found: dict[str, LeasedTask] = {}
    for topic in topics:
        found[topic] = await given.take(topic)
        await given.engine.complete(found[topic], variables={})
    return found


@pytest.mark.parametrize("wanted", ["", *SCOPES])
async def test_tasks_of_one_instance_share_what_their_scope_says(
    given: EngineUnderTest, wanted: str
) -> None:
    if not await is_told(given, wanted):
        return
    document = definitions(chain("A", "B", inner=wants(wanted)))
    first = await given.start(document, business_key="order-7")
    found = await worked(given, "A", "B")
    a, b = await scopes(given, list(found.values()))
    second = await given.start(document, business_key="order-7")
    again = await scope(given, await given.take("A"))

    match wanted:
        case "element":
            assert (a, b) == (f"element:{first}:A", f"element:{first}:B")
            assert again == f"element:{second}:A"
        case "element-instance":
            assert a == f"element:{first}:A:{found['A'].task_id}"
            assert len({a, b, again}) == 3
        case "business-key":
            assert a == b == again == "business-key:order-7"
        case _:
            assert (a, b, again) == (first, first, second)


@pytest.mark.parametrize("wanted", SCOPES)
async def test_a_called_process_shares_with_its_caller_what_its_scope_says(
    given: EngineUnderTest, wanted: str
) -> None:
    if not await is_told(given, wanted):
        return
    hand_on = extended("<camunda:in businessKey='#{execution.processBusinessKey}'/>")
    called = (
        start("q_s"),
        node("callActivity", "Deeper", hand_on, "calledElement='r'"),
        end("q_e"),
        flows("q_s > Deeper > q_e"),
    )
    document = definitions(
        process(
            start(),
            task("A"),
            node("callActivity", "Call", hand_on, "calledElement='q'"),
            end(),
            flows("s > A > Call > e"),
            attributes=KEPT,
        ),
        process(*called, key="q", attributes=KEPT),
        chain("T", "U", inner=wants(wanted), key="r"),
    )
    root = await given.start(document, business_key="order-7")

    found = await worked(given, "A", "T", "U")
    own, t, u = await scopes(given, list(found.values()))
    inside = found["T"].process_instance_id

    assert own == root != inside
    match wanted:
        case "process-instance":
            assert t == u == inside
        case "root-instance":
            # They join the thread that the caller's tasks share without any setting.
            assert t == u == root
        case "business-key":
            assert t == u == "business-key:order-7"
        case "element":
            assert (t, u) == (f"element:{inside}:T", f"element:{inside}:U")
        case "element-instance":
            assert t == f"element:{inside}:T:{found['T'].task_id}"
        case _:
            raise AssertionError(wanted)


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("wanted", SCOPES)
async def test_multiple_instances_of_a_task_share_what_its_scope_says(
    given: EngineUnderTest, wanted: str, sequential: bool
) -> None:
    if not await is_told(given, wanted):
        return
    inner = wants(wanted) + instances(count="3", sequential=sequential)
    instance = await given.start(definitions(chain("T", inner=inner)), business_key="order-7")
    found: list[LeasedTask] = []
    while fetched := await given.fetch("T", wait=given.patience):
        for each in fetched:
            found.append(each)
            await given.engine.complete(each, variables={})

    named = await scopes(given, found)

    assert len(found) == 3
    match wanted:
        case "element-instance":
            assert named == [f"element:{instance}:T:{each.task_id}" for each in found]
            assert len(set(named)) == 3
        case "element":
            assert set(named) == {f"element:{instance}:T"}
        case "business-key":
            assert set(named) == {"business-key:order-7"}
        case _:
            assert set(named) == {instance}


async def test_multiple_calls_are_instances_with_threads_of_their_own(
    given: EngineUnderTest,
) -> None:
    call = node("callActivity", "Call", instances(count="3"), "calledElement='q'")
    outer = process(start(), call, end(), flows("s > Call > e"), attributes=KEPT)
    root = await given.start(definitions(outer, chain("T", "U", key="q")))

    first = await given.gather("T", count=3)
    for each in first:
        await given.engine.complete(each, variables={})
    second = await given.gather("U", count=3)

    threads = set(await scopes(given, first))
    assert len(threads) == 3
    assert threads == set(await scopes(given, second))
    assert root not in threads


@pytest.mark.parametrize("wanted", SCOPES)
async def test_the_rounds_of_a_loop_share_what_the_scope_says(
    given: EngineUnderTest, wanted: str
) -> None:
    if not await is_told(given, wanted):
        return
    document = definitions(
        process(
            start(),
            node("exclusiveGateway", "again"),
            node("exclusiveGateway", "enough", attributes="default='enough_e'"),
            task("T", wants(wanted)),
            end(),
            flows("s > again > T > enough"),
            flow("enough", "again", "${more}"),
            flow("enough", "e"),
            attributes=KEPT,
        )
    )
    await given.start(document, business_key="order-7")
    first = await given.take("T")
    await given.engine.complete(first, variables={"more": True})
    second = await given.take("T")

    one, other = await scopes(given, [first, second])

    assert (one == other) is (wanted != "element-instance")


@pytest.mark.parametrize("wanted", SCOPES)
async def test_a_task_that_is_tried_again_stays_with_its_thread(
    given: EngineUnderTest, wanted: str
) -> None:
    if not await is_told(given, wanted):
        return
    document = definitions(chain("T", inner=wants(wanted)))
    await given.start(document, business_key="order-7")
    first = await given.take("T")
    named = await scope(given, first)

    await given.engine.fail(first, message="No.", details="", retries=1, retry_after=AT_ONCE)
    (again,) = await given.fetch("T", engine=given.other, wait=given.patience)

    assert await scope(given, again) == named


async def test_a_task_overrides_what_its_process_says(given: EngineUnderTest) -> None:
    document = definitions(
        of_process(
            "element",
            start(),
            task("A"),
            task("B", wants("process-instance")),
            task("C", extended(properties(thread__scope=""))),
            end(),
            flows("s > A > B > C > e"),
        )
    )
    instance = await given.start(document)

    found = await worked(given, "A", "B", "C")

    named = await scopes(given, list(found.values()))
    if Feature.MODELS_TOLD in given.engine.features:
        assert named == [f"element:{instance}:A", instance, f"element:{instance}:C"]
        assert found["A"].properties == {SETTING: "element"}
    else:
        assert named == [instance] * 3


async def test_a_process_speaks_for_itself_and_not_for_those_it_calls(
    given: EngineUnderTest,
) -> None:
    call = node("callActivity", "Call", attributes="calledElement='q'")
    outer = of_process("element", start(), call, task("A"), end(), flows("s > Call > A > e"))
    root = await given.start(definitions(outer, chain("T", key="q")))

    found = await worked(given, "T", "A")

    inside = found["T"].process_instance_id
    is_read = Feature.MODELS_TOLD in given.engine.features
    own = f"element:{root}:A" if is_read else root
    assert await scopes(given, list(found.values())) == [inside, own]


async def test_a_business_key_that_is_not_there_is_no_scope(given: EngineUnderTest) -> None:
    await given.start(definitions(chain("T", inner=wants("business-key"))))

    with pytest.raises(InvalidTask, match="no business key"):
        await scope(given, await given.take("T"))


async def test_the_end_of_a_root_ends_what_it_called(given: EngineUnderTest) -> None:
    """So that nothing in a called process needs the root's thread after it was closed."""
    call = node("callActivity", "Call", attributes="calledElement='q'")
    outer = process(start(), call, end(), flows("s > Call > e"), attributes=KEPT)
    root = await given.start(definitions(outer, chain("T", key="q", inner=wants("root-instance"))))
    held = await given.take("T")

    await given.cancel(root)

    with pytest.raises(TaskGone):
        await given.engine.complete(held, variables={})

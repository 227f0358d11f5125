"""What every engine that runs processes promises about the tasks in them, whatever surrounds these."""

import asyncio

import pytest

from dadm.domain.errors import EngineRejected
from dadm.domain.json import JsonObject, JsonValue
from dadm.ports.engine import InstanceState
from dadm.ports.engine_features import Feature
from tests.adapters.engines.bpmn import (
    boundary,
    caught,
    definitions,
    end,
    error,
    extended,
    flow,
    flows,
    instances,
    mapping,
    node,
    process,
    properties,
    start,
    task,
)
from tests.contracts.engines import AT_ONCE, CAUGHT, REAL, EngineUnderTest

KEPT = "camunda:historyTimeToLive='1'"
CATCHES = extended(properties(errors=CAUGHT))
"""What a task says of the errors that are caught around it, for engines that do not tell models."""


@pytest.fixture(
    params=[
        "embedded_engine",
        pytest.param("operaton", marks=REAL),
        pytest.param("camunda7", marks=REAL),
        pytest.param("camunda8", marks=REAL),
    ]
)
def given(request: pytest.FixtureRequest) -> EngineUnderTest:
    found: EngineUnderTest = request.getfixturevalue(request.param)
    return found


def one_process(*parts: str, declared: str = "", key: str = "p") -> bytes:
    return definitions(declared, process(*parts, key=key, attributes=KEPT))


def in_a_row(*tasks: str, inner: str = "") -> bytes:
    chain = " > ".join(("s", *tasks, "e"))
    return one_process(start(), *(task(each, inner) for each in tasks), end(), flows(chain))


async def test_branches_that_end_at_the_same_time_are_all_taken(given: EngineUnderTest) -> None:
    names = [f"B{number}" for number in range(6)]
    document = one_process(
        start(),
        node("parallelGateway", "split"),
        node("parallelGateway", "join"),
        *(task(name) for name in names),
        task("After"),
        end(),
        flows("s > split", "join > After > e", *(f"split > {name} > join" for name in names)),
    )
    await given.start(document)
    branches = await given.gather(*names, count=len(names))
    assert len(branches) == len(names)

    await asyncio.gather(
        *(given.engine.complete(each, variables={each.element_id: "done"}) for each in branches)
    )

    after = await given.take("After")
    assert {name: after.variables[name] for name in names} == dict.fromkeys(names, "done")


@pytest.mark.parametrize("sequential", [False, True])
async def test_each_of_several_instances_is_a_task_of_its_own(
    given: EngineUnderTest, sequential: bool
) -> None:
    inner = instances(count="3", sequential=sequential)
    document = one_process(start(), task("T", inner), end(), flows("s > T > e"))
    instance_id = await given.start(document, tells_its_end=True)
    ids: list[str] = []

    while fetched := await given.fetch("T", wait=given.patience):
        for each in fetched:
            await given.engine.complete(each, variables={})
            ids.append(each.task_id)

    assert len(set(ids)) == len(ids) == 3
    assert {ended.instance_id for ended in await given.told(given.engine, count=1)} == {instance_id}


async def test_the_next_turn_of_a_loop_is_another_task(given: EngineUnderTest) -> None:
    document = one_process(
        start(),
        node("exclusiveGateway", "again"),
        node("exclusiveGateway", "enough", attributes="default='enough_e'"),
        task("T"),
        end(),
        flows("s > again > T > enough"),
        flow("enough", "again", "${more}"),
        flow("enough", "e"),
    )
    await given.start(document)
    first = await given.take("T")

    await given.engine.complete(first, variables={"more": True})

    second = await given.take("T")
    assert first.task_id != second.task_id
    await given.engine.complete(second, variables={"more": False})
    assert not await given.fetch("T")


async def test_a_task_of_a_called_process_belongs_to_its_own_instance(
    given: EngineUnderTest,
) -> None:
    call = extended(
        "<camunda:in source='budget' target='money'/><camunda:out source='answer' target='got'/>"
    )
    document = definitions(
        process(
            start(),
            node("callActivity", "C", call, "calledElement='q'"),
            task("After"),
            end(),
            flows("s > C > After > e"),
            attributes=KEPT,
        ),
        process(start("s2"), task("T"), end("e2"), flows("s2 > T > e2"), key="q", attributes=KEPT),
    )
    caller = await given.start(document, variables={"budget": 5})

    inside = await given.take("T")
    assert inside.process_instance_id != caller
    assert (inside.process_definition_key, inside.variables["money"]) == ("q", 5)
    await given.engine.complete(inside, variables={"answer": "yes"})

    after = await given.take("After")
    assert (after.process_instance_id, after.variables["got"]) == (caller, "yes")


ANSWERS: dict[str, JsonValue] = {
    "empty": "",
    "longest string": "ä" * 4000,
    "longer": "x" * 4001,
    "longer in units": "𝄞" * 2001,
    "long": "Line\n" * 20_000,
    "number": 2**40,
    "greatest number": 2**63 - 1,
    "huge number": 2**70,
    "fraction": 0.1,
    "nothing": None,
    "truth": True,
    "structure": {"a": [1, 2.5, None, {"ü": "€" * 5000}], "b": {}},
    "list": ["one", ["two"]],
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_answer_reaches_the_next_task_as_it_was_given(
    given: EngineUnderTest, kind: str
) -> None:
    instance_id = await given.start(in_a_row("First", "Second"))

    await given.engine.complete(
        await given.take("First"), variables={"recommendation": ANSWERS[kind]}
    )

    second = await given.take("Second")
    # Whole numbers that no engine's type holds are kept digit by digit.
    expected = {ANSWERS[kind], str(ANSWERS[kind])} if kind == "huge number" else [ANSWERS[kind]]
    assert second.variables["recommendation"] in expected
    assert (await given.variables(instance_id))["recommendation"] in expected


async def test_the_process_decides_by_what_is_inside_a_structured_answer(
    given: EngineUnderTest,
) -> None:
    document = one_process(
        start(),
        task("T"),
        node("exclusiveGateway", "x", attributes="default='x_Low'"),
        task("High"),
        task("Low"),
        end(),
        flows("s > T > x", "High > e", "Low > e"),
        flow("x", "High", f"${{{given.second_price} > 3}}"),
        flow("x", "Low"),
    )
    await given.start(document)

    answer: JsonValue = {"prices": [1, 5], "from": "ACME"}
    await given.engine.complete(await given.take("T"), variables={"offer": answer})

    assert (await given.take("High")).variables["offer"] == answer


async def test_an_answer_that_the_process_cannot_go_on_with_is_refused_or_leaves_an_incident(
    given: EngineUnderTest,
) -> None:
    document = one_process(
        start(),
        task("T"),
        node("exclusiveGateway", "x"),
        end(),
        end("e2"),
        flows("s > T > x"),
        flow("x", "e", "${score > 5}"),
        flow("x", "e2", "${score <= 5}"),
    )
    instance_id = await given.start(document)
    held = await given.take("T")

    if Feature.ANSWERS_REFUSED not in given.engine.features:
        await given.engine.complete(held, variables={"other": 1})
        assert not await given.engine.is_active(held)
        (incident,) = await given.incidents(instance_id)
        assert "score" in incident
        assert not await given.engine.ended_instances(after=0, limit=9)
        return
    with pytest.raises(EngineRejected):
        await given.engine.complete(held, variables={"other": 1})

    assert await given.engine.is_active(held)
    assert "other" not in await given.variables(instance_id)
    await given.engine.fail(
        held, message="The score is missing.", details="", retries=0, retry_after=AT_ONCE
    )
    assert list(await given.incidents(instance_id)) == ["The score is missing."]
    await given.retry(held, 1)
    await given.engine.complete(await given.take("T"), variables={"score": 9})
    assert not await given.incidents(instance_id)


async def test_a_caught_error_takes_its_variables_to_whoever_handles_it(
    given: EngineUnderTest,
) -> None:
    document = one_process(
        start(),
        node(
            "subProcess",
            "Sub",
            "".join((start("s2"), task("T", CATCHES), end("e2"), flows("s2 > T > e2"))),
        ),
        boundary("c", "Sub", caught("caught")),
        task("Handle"),
        end(),
        end("e3"),
        flows("s > Sub > e", "c > Handle > e3"),
        declared=error(CAUGHT),
    )
    instance_id = await given.start(document)
    held = await given.take("T")
    assert held.caught_errors == {CAUGHT}

    await given.engine.bpmn_error(
        held, error_code=CAUGHT, message="No.", variables={"reason": "none"}
    )

    handling = await given.take("Handle")
    is_shared = Feature.ERROR_VARIABLES in given.engine.features
    assert handling.variables.get("reason") == ("none" if is_shared else None)
    assert (await given.variables(instance_id))["reason"] == "none"
    assert not await given.engine.is_active(held)


async def test_whoever_called_a_process_catches_its_errors(given: EngineUnderTest) -> None:
    document = definitions(
        error(CAUGHT),
        process(
            start(),
            node("callActivity", "C", attributes="calledElement='q'"),
            boundary("c", "C", caught("caught")),
            task("Handle"),
            end(),
            end("e3"),
            flows("s > C > e", "c > Handle > e3"),
            attributes=KEPT,
        ),
        process(
            start("s2"),
            task("T", CATCHES),
            end("e2"),
            flows("s2 > T > e2"),
            key="q",
            attributes=KEPT,
        ),
    )
    caller = await given.start(document)
    held = await given.take("T")
    assert held.caught_errors == {CAUGHT}

    await given.engine.bpmn_error(held, error_code=CAUGHT, message="No.", variables={})

    assert (await given.take("Handle")).process_instance_id == caller
    assert not await given.engine.is_active(held)


async def test_an_error_that_nothing_catches_leaves_the_instance_running(
    given: EngineUnderTest,
) -> None:
    instance_id = await given.start(in_a_row("T"))
    held = await given.take("T")

    await given.engine.bpmn_error(held, error_code="OTHER", message="No.", variables={})

    (message,) = await given.incidents(instance_id)
    assert "OTHER" in message
    assert not await given.engine.ended_instances(after=0, limit=9)
    states = await given.engine.instance_states([instance_id])
    is_told = Feature.INSTANCE_STATES in given.engine.features
    assert states == ({instance_id: InstanceState.ACTIVE} if is_told else {})


async def test_what_is_mapped_in_is_named_and_given(given: EngineUnderTest) -> None:
    inner = extended(mapping({"short": "${long}", "fixed": "so"}))
    await given.start(in_a_row("T", inner=inner), variables={"long": "story"})

    held = await given.take("T")

    is_told = Feature.MODELS_TOLD in given.engine.features
    assert sorted(held.mapped or ()) == (["fixed", "short"] if is_told else [])
    assert (held.variables["short"], held.variables["fixed"]) == ("story", "so")


async def test_own_answers_are_named_with_what_copies_them(given: EngineUnderTest) -> None:
    marked = extended(
        properties(service__type="assistant", resultVariable="verdict")
        + mapping(outputs={"kept": "${verdict}"})
    )
    document = one_process(start(), task("A", marked), task("B"), end(), flows("s > A > B > e"))
    await given.start(document)

    copied = {"kept"} if Feature.MODELS_TOLD in given.engine.features else set[str]()
    assert (await given.take("A")).own_answers == {"verdict", "A_result"} | copied


async def test_a_task_brings_the_variables_that_it_lists(given: EngineUnderTest) -> None:
    listed = extended(properties(variables="small"))
    variables: JsonObject = {"small": {"a": [1]}, "other": "x"}
    await given.start(in_a_row("T", inner=listed), variables=variables)

    held = await given.take("T")

    is_all = Feature.ALL_VARIABLES in given.engine.features
    assert held.variables == (variables if is_all else {"small": {"a": [1]}})

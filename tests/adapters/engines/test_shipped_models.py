"""The models that ship open in a modeler, and run."""

from pathlib import Path

import pytest
from lxml import etree
from SpiffWorkflow.bpmn.parser import BpmnValidator

import dadm
from dadm.adapters.engines.bpmn_names import BPMN, local_name
from dadm.adapters.engines.embedded.models.reading import read_models
from dadm.domain.json import JsonValue
from dadm.ports.engine import InstanceState
from tests.adapters.engines.stage import Stage

EXAMPLES = Path(dadm.__file__).parent / "examples"
SHIPPED = sorted(EXAMPLES.glob("*.bpmn"))
DI = "http://www.omg.org/spec/BPMN/20100524/DI"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_is_bpmn_by_the_standards_own_schema(path: Path) -> None:
    BpmnValidator().validate(etree.parse(path), str(path))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_everything_in_it_is_drawn_once(path: Path) -> None:
    root = etree.parse(path).getroot()
    things = {"sequenceFlow"} | {
        "startEvent",
        "endEvent",
        "serviceTask",
        "userTask",
        "exclusiveGateway",
        "parallelGateway",
        "boundaryEvent",
        "intermediateCatchEvent",
    }
    meant = [node.get("id") for tag in things for node in root.iter(f"{{{BPMN}}}{tag}")]
    drawn = [
        node.get("bpmnElement")
        for tag in ("BPMNShape", "BPMNEdge")
        for node in root.iter(f"{{{DI}}}{tag}")
    ]

    assert sorted(str(given) for given in meant) == sorted(str(given) for given in drawn)
    (process,) = root.iterchildren(f"{{{BPMN}}}process")
    known = things | {"documentation", "extensionElements"}
    assert {local_name(child.tag) for child in process.iterchildren()} <= known


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_ai_task_has_a_prompt(path: Path) -> None:
    (read,) = read_models({path.name: path.read_bytes()})

    assert read.model.assistant_elements
    assert all(
        element.documentation or (element.work and element.work.properties["prompt"])
        for element in read.model.assistant_elements
    )


async def shipped(stage: Stage, name: str, **variables: JsonValue) -> None:
    await stage.deploy((EXAMPLES / f"{name}.bpmn").read_bytes())
    await stage.start(name.removesuffix("_zeebe"), **variables)


async def answer(stage: Stage, element_id: str) -> None:
    """Complete an AI task as the orchestrator does."""
    held = await stage.take(element_id)
    variable = held.properties.get("resultVariable", "recommendation")
    text = f"answer of {element_id}"
    await stage.engine.complete(held, variables={variable: text, f"{element_id}_result": text})


async def test_the_decision_process_asks_four_times_and_its_last_prompt_names_no_facts(
    stage: Stage,
) -> None:
    facts = {"decision_owner": "Tom Becker", "budget": "15,000 euros"}
    await shipped(stage, "decision_process", decision="new chairs", **facts)
    tasks = ("FrameDecision", "IdentifyAlternatives", "EvaluateAlternatives", "Recommend")

    for element_id in tasks:
        assert await stage.stands_at() == (element_id,)
        await answer(stage, element_id)

    assert (await stage.see()).state is InstanceState.COMPLETED
    (read,) = read_models({"d": (EXAMPLES / "decision_process.bpmn").read_bytes()})
    assert [element.element_id for element in read.model.assistant_elements] == list(tasks)
    last = read.model.elements["Recommend"].documentation
    assert "${" not in last
    assert not any(fact in last for fact in facts.values())


async def test_the_review_of_a_small_order_asks_once(stage: Stage) -> None:
    await shipped(stage, "supplier_review_zeebe", supplier="Nordholz", order_value=900)

    await answer(stage, "AssessSupplier")

    seen = await stage.see()
    assert seen.state is InstanceState.COMPLETED
    assert seen.variables == {
        "supplier": "Nordholz",
        "order_value": 900,
        "assessment": "answer of AssessSupplier",
    }


async def test_the_review_of_a_large_order_asks_twice(stage: Stage) -> None:
    await shipped(stage, "supplier_review_zeebe", supplier="Nordholz", order_value=90_000)

    await answer(stage, "AssessSupplier")
    await answer(stage, "SummariseRisk")

    seen = await stage.see()
    assert seen.state is InstanceState.COMPLETED
    assert seen.variables["risk"] == "answer of SummariseRisk"


async def test_the_parallel_review_waits_for_both_sides_and_sleeps_on_it(stage: Stage) -> None:
    await shipped(stage, "parallel_review", proposal="a night bus", costs="90,000 euros")
    assert sorted(await stage.offered()) == ["ReviewCosts", "ReviewPeople"]

    await answer(stage, "ReviewPeople")
    await answer(stage, "ReviewCosts")
    assert await stage.stands_at() == ("SleepOnIt",)
    await stage.wait(seconds=2)
    await answer(stage, "Conclude")

    assert (await stage.see()).state is InstanceState.COMPLETED


async def test_the_parallel_review_takes_its_error_path_and_reminds(stage: Stage) -> None:
    await shipped(stage, "parallel_review", proposal="a night bus", costs="90,000 euros")
    held = await stage.take("ReviewCosts")
    assert held.caught_errors == {held.properties["errorCode"]}

    await stage.engine.bpmn_error(held, error_code="REVIEW_REFUSED", message="", variables={})
    await stage.wait(minutes=30)
    waiting = {task.element_id for task in await stage.engine.user_tasks()}
    assert waiting == {"ReviewCostsByHand", "AskWhyItTakesSoLong"}
    await stage.do("ReviewCostsByHand", costs_review="Much.")
    await stage.do("AskWhyItTakesSoLong")
    await answer(stage, "ReviewPeople")
    await stage.wait(seconds=2)
    await answer(stage, "Conclude")

    assert (await stage.see()).state is InstanceState.COMPLETED

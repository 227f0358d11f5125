"""The element templates are valid, bind what is read, and make tasks that run."""

import json
from pathlib import Path
from typing import Any

import pytest

import dadm
from dadm.adapters.assistant_files import SHIPPED, read_catalogue
from dadm.adapters.engines.embedded.models.reading import read_models
from dadm.adapters.engines.external_task.models import read_definition
from dadm.adapters.engines.linting import lint
from dadm.adapters.engines.linting.assistant_checks import SETTINGS
from dadm.domain.thread_scope import SETTING, ThreadScope
from dadm.ports.engine import InstanceState
from tests.adapters.engines.bpmn import definitions, end, flow, process, start
from tests.adapters.engines.stage import Stage
from tests.element_templates.applying import task_from
from tests.element_templates.fixtures import Validate

FOLDER = Path(dadm.__file__).parent / "examples" / "element_templates"
TEMPLATES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")
}
ASSISTANTS = read_catalogue(SHIPPED)
SCHEMA = '{"type": "object", "properties": {"why": {"type": "string"}}}'
FILLED = {
    "assistant": "decision-analyst",
    "prompt": 'Why is ${offer} "good" & <cheap>?',
    "variables": "none",
    "thread.scope": "element",
    "resultVariable": "reason",
    "answerSchema": SCHEMA,
    "topic": "Explain",
}
LEAST = {"prompt": "Why?", "topic": "Explain"}


def drawn(kind: str, filled: dict[str, str]) -> bytes:
    parts = (start(), task_from(TEMPLATES[kind], filled), end())
    flows = (flow("s", "Explain"), flow("Explain", "e"))
    return definitions(
        process(*parts, *flows, attributes="camunda:historyTimeToLive='180' name='P'")
    )


def settings(properties: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in properties.items() if value}


def test_the_published_validator_takes_them(validate_templates: Validate) -> None:
    said = validate_templates(list(TEMPLATES.values()))

    assert [each["problems"] for each in said] == [[], []]
    assert [each["valid"] for each in said] == [True, True]


def test_the_published_validator_refuses_a_broken_one(validate_templates: Validate) -> None:
    broken = json.loads(json.dumps(TEMPLATES["camunda7"]))
    broken["properties"][2]["binding"]["type"] = "bpmn:documentation"

    (said,) = validate_templates([broken])

    assert not said["valid"]


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_template_binds_every_setting_that_is_read_and_no_other(kind: str) -> None:
    bound = {
        each["binding"].get("name") or each["binding"].get("key")
        for each in TEMPLATES[kind]["properties"]
        if each["binding"]["type"] in {"camunda:property", "zeebe:taskHeader"}
    }

    # Another name of the assistant, for models that have it already.
    assert bound == set(SETTINGS) - {"service.name"}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_template_offers_every_scope_and_leaves_the_word_to_the_process(kind: str) -> None:
    (scopes,) = (each for each in TEMPLATES[kind]["properties"] if each.get("id") == SETTING)

    assert [each["value"] for each in scopes["choices"]] == ["", *ThreadScope]
    assert "value" not in scopes


@pytest.mark.parametrize("kind", TEMPLATES)
def test_what_is_filled_in_is_what_the_embedded_engine_reads(kind: str) -> None:
    (read,) = read_models({"model.bpmn": drawn(kind, FILLED)})
    (element,) = read.model.assistant_elements

    assert element.work
    wanted = {name: value for name, value in FILLED.items() if name != "topic"}
    assert settings(dict(element.work.properties)) == {"service.type": "assistant", **wanted}
    assert element.work.topic == {"camunda7": "Explain", "camunda8": "dadm.assistant"}[kind]
    assert element.work.result_variable == "reason"


def test_what_is_filled_in_is_what_is_read_from_an_engine_of_the_camunda_7_family() -> None:
    model = read_definition(drawn("camunda7", FILLED), "p", topics=frozenset())
    (read,) = model.tasks.values()

    wanted = {name: value for name, value in FILLED.items() if name != "topic"}
    assert settings(dict(read.properties)) == {"service.type": "assistant", **wanted}
    assert (read.topic, read.is_assistant, read.assistant) == (
        "Explain",
        True,
        "decision-analyst",
    )


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("filled", [FILLED, LEAST], ids=["filled", "least"])
def test_a_task_made_with_a_template_is_clean(kind: str, filled: dict[str, str]) -> None:
    (linted,) = lint({"model.bpmn": drawn(kind, filled)}, ASSISTANTS)

    assert linted.engine == kind
    assert linted.findings == ()


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("filled", [FILLED, LEAST], ids=["filled", "least"])
async def test_a_task_made_with_a_template_runs(
    stage: Stage, kind: str, filled: dict[str, str]
) -> None:
    instance = await stage.run(drawn(kind, filled), offer="this")
    held = await stage.take("Explain")

    assert held.properties["prompt"] == filled["prompt"]

    await stage.engine.complete(held, variables={"reason": "It is."})
    ended = await stage.see(instance.instance_id)
    assert (ended.state, ended.variables["reason"]) == (InstanceState.COMPLETED, "It is.")

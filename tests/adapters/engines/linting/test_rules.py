"""Every rule finds what its own example shows, and nothing in the models that ship."""

from pathlib import Path

import pytest

import dadm
from dadm.adapters.assistant_files import SHIPPED, read_catalogue
from dadm.adapters.engines.linting import lint
from dadm.adapters.engines.linting.rules import EVERY_ENGINE, RULES, Rule
from dadm.ports.model_findings import EngineKind, LintedModel
from tests.adapters.engines.bpmn import definitions, process

ASSISTANTS = read_catalogue(SHIPPED)
EXAMPLES = sorted((Path(dadm.__file__).parent / "examples").glob("*.bpmn"))
CAMUNDA_7_PROCESS = 'camunda:historyTimeToLive="180"'


def engine_of(rule: Rule) -> EngineKind:
    """Choose the engine that an example is for: where all are, that of its dialect."""
    if rule.engines == EVERY_ENGINE or EngineKind.CAMUNDA_7 in rule.engines:
        return EngineKind.CAMUNDA_7
    (engine,) = rule.engines
    return engine


def example_of(rule: Rule) -> bytes:
    if rule.is_whole:
        return rule.example.encode()
    return definitions(rule.declared, process(rule.example, attributes=CAMUNDA_7_PROCESS))


def linted(source: bytes, engine: EngineKind | None = None) -> LintedModel:
    (model,) = lint({"model.bpmn": source}, ASSISTANTS, engine=engine)
    return model


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_rule_finds_its_example_and_no_other_does(rule: Rule) -> None:
    found = linted(example_of(rule), engine_of(rule)).findings
    here = [each for each in found if each.code == rule.code]

    assert here
    assert {each.severity for each in here} == {rule.severity}
    assert {each.code for each in found} == {rule.code}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
@pytest.mark.parametrize("engine", EngineKind)
def test_a_rule_finds_nothing_for_engines_that_it_is_not_about(
    rule: Rule, engine: EngineKind
) -> None:
    found = {each.code for each in linted(example_of(rule), engine).findings}

    assert engine in rule.engines or rule.code not in found


def test_codes_are_there_once() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("engine", [None, EngineKind.EMBEDDED])
def test_the_models_that_ship_are_clean(path: Path, engine: EngineKind | None) -> None:
    assert linted(path.read_bytes(), engine).findings == ()


def test_the_models_that_ship_are_for_the_engines_they_say() -> None:
    kinds = {path.stem: linted(path.read_bytes()).engine for path in EXAMPLES}

    assert kinds == {
        "decision_process": EngineKind.CAMUNDA_7,
        "decision_process_zeebe": EngineKind.CAMUNDA_8,
        "parallel_review": EngineKind.CAMUNDA_7,
        "supplier_review_zeebe": EngineKind.CAMUNDA_8,
    }

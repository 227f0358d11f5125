"""Models are linted for the engine they are drawn for, with lines, whatever they hold."""

import pytest

from dadm.adapters.assistant_files import SHIPPED, read_catalogue
from dadm.adapters.engines.linting import lint
from dadm.ports.model_findings import EngineKind, LintedModel
from tests.adapters.engines.bpmn import (
    definitions,
    end,
    flows,
    job,
    model,
    node,
    process,
    start,
    task,
)

ASSISTANTS = read_catalogue(SHIPPED)
AI = "<camunda:property name='service.type' value='assistant'/>"
PROMPT = "<bpmn:documentation>Say why.</bpmn:documentation>"
ERROR = "<bpmn:error id='Refused' errorCode='REFUSED'/>"


def linted(source: bytes, engine: EngineKind | None = None) -> LintedModel:
    (found,) = lint({"model.bpmn": source}, ASSISTANTS, engine=engine)
    return found


def codes(source: bytes, engine: EngineKind = EngineKind.CAMUNDA_7) -> list[str]:
    ignored = "missing_history_time_to_live"
    return [each.code for each in linted(source, engine).findings if each.code != ignored]


def ai_task(element_id: str, properties: str = "", *, topic: str = "") -> str:
    held = f"<camunda:properties>{AI}{properties}</camunda:properties>"
    inner = f"{PROMPT}<bpmn:extensionElements>{held}</bpmn:extensionElements>"
    return task(element_id, inner, topic=topic)


def setting(name: str, value: str) -> str:
    return f"<camunda:property name='{name}' value='{value}'/>"


def caught(by: str, code: str) -> str:
    inner = f"<bpmn:errorEventDefinition errorRef='{code}'/>"
    return node("boundaryEvent", f"c{by}{code}", inner, f"attachedToRef='{by}'")


@pytest.mark.parametrize(
    ("source", "line", "code"),
    [
        (b"", 1, "not_xml"),
        (b"\0\1\2\3", 1, "not_xml"),
        (b"<a>\n<b>\n</a>", 3, "not_xml"),
        (b"\x89PNG\r\n\x1a\n", 1, "not_xml"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", 1, "not_xml"),
        (b"<?xml version='1.0'?>\n\n<html/>", 3, "not_bpmn"),
    ],
)
def test_what_is_no_model_is_one_finding_with_its_line(source: bytes, line: int, code: str) -> None:
    (found,) = linted(source).findings

    assert (found.line, found.code) == (line, code)


@pytest.mark.parametrize(
    ("source", "engine"),
    [
        (model(task("t")), EngineKind.CAMUNDA_7),
        (model(job("t")), EngineKind.CAMUNDA_8),
        (model(node("userTask", "t")), EngineKind.EMBEDDED),
        (
            model(task("t")).replace(
                b" id='file'",
                b" id='file' xmlns:m='http://camunda.org/schema/modeler/1.0' "
                b"m:executionPlatform='Camunda Cloud'",
            ),
            EngineKind.CAMUNDA_8,
        ),
    ],
)
def test_the_engine_is_that_of_the_extensions_or_the_one_the_modeler_noted(
    source: bytes, engine: EngineKind
) -> None:
    assert linted(source).engine is engine


def test_a_finding_has_the_line_of_what_is_wrong() -> None:
    source = model(ai_task("a").replace(AI, f"{AI}\n\n{setting('assistant', 'nobody')}"))
    (found,) = [each for each in linted(source).findings if each.code == "unknown_assistant"]

    assert b"nobody" in source.splitlines()[found.line - 1]
    assert found.message.startswith("bpmn:serviceTask a (camunda:property) wants")


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        ("", []),
        (setting("assistant", "decision-analyst"), []),
        (setting("service.name", "dadm-openai-assistant"), []),
        (setting("service.version", "1.0"), []),
        (setting("department", "sales"), []),
        (setting("Result-Variable", "x"), ["misspelt_setting"]),
        (setting("asistant", "decision-analyst"), ["misspelt_setting"]),
        (setting("assistant", "decision-analyst") + setting("service.name", "x"), []),
    ],
)
def test_settings_are_known_misspelt_or_somebody_elses(properties: str, found: list[str]) -> None:
    assert codes(model(ai_task("a", properties))) == found


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        (setting("service.type", "assistent"), ["misspelt_service_type"]),
        (setting("service.type", " assistant"), ["misspelt_service_type"]),
        (setting("serviceType", "assistant"), ["misspelt_service_type"]),
        (setting("service.type", "rest"), []),
        (setting("service.type", ""), []),
        ("", []),
    ],
)
def test_a_task_that_is_nearly_an_ai_task_is_told_apart_from_others(
    properties: str, found: list[str]
) -> None:
    held = f"<camunda:properties>{properties}</camunda:properties>"
    inner = f"{PROMPT}<bpmn:extensionElements>{held}</bpmn:extensionElements>"

    assert codes(model(task("a", inner))) == found


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ((ai_task("a", setting("errorCode", "REFUSED")), caught("a", "Refused")), []),
        ((ai_task("a"), caught("a", "backend_refused")), []),
        ((ai_task("a"), caught("a", "answer_cut_short")), []),
        (
            (
                ai_task("a"),
                node("boundaryEvent", "c", "<bpmn:errorEventDefinition/>", "attachedToRef='a'"),
            ),
            [],
        ),
        (
            (
                node("subProcess", "s", ai_task("a", setting("errorCode", "REFUSED"))),
                caught("s", "Refused"),
            ),
            [],
        ),
        ((ai_task("a", setting("errorCode", "REFUSED")),), ["uncaught_error_code"]),
        ((ai_task("a"), caught("a", "Refused")), ["error_never_raised"]),
    ],
)
def test_error_codes_are_compared_with_what_is_caught_around_the_task(
    parts: tuple[str, ...], found: list[str]
) -> None:
    assert codes(model(*parts, declared=ERROR)) == found


def test_the_same_result_variable_in_two_processes_is_not_the_same() -> None:
    named = setting("resultVariable", "x")

    assert (
        codes(definitions(process(ai_task("a", named)), process(ai_task("b", named), key="q")))
        == []
    )


EVENT = "<bpmn:errorEventDefinition/>"
ATTACHED = "attachedToRef='a'"


@pytest.mark.parametrize(
    ("parts", "both"),
    [
        ((flows("s > a > b > e"),), True),
        ((flows("s > b > a > e"),), True),
        ((node("parallelGateway", "g"), flows("s > g > a > e", "g > b > e")), True),
        ((node("inclusiveGateway", "g"), flows("s > g > a > e", "g > b > e")), True),
        ((flows("s > a > e", "s > b"),), True),
        ((node("exclusiveGateway", "g"), flows("s > g > a > e", "g > b > e")), False),
        ((node("exclusiveGateway", "g"), flows("s > g > a > g", "g > b > e")), True),
        (
            (
                node("parallelGateway", "f"),
                node("parallelGateway", "j"),
                node("exclusiveGateway", "g"),
                flows("s > f > j", "f > h > j", "j > g > a > e", "g > b > e"),
                node("userTask", "h"),
            ),
            False,
        ),
        ((node("boundaryEvent", "c", EVENT, ATTACHED), flows("s > a > e", "c > b > e")), False),
        ((node("boundaryEvent", "c", EVENT, ATTACHED), flows("s > a > b > e", "c > b")), True),
        (
            (
                node("parallelGateway", "g"),
                node("userTask", "u"),
                node("boundaryEvent", "c", EVENT, "attachedToRef='u'"),
                flows("s > g > u > e", "g > a > e", "c > b > e"),
            ),
            True,
        ),
        (
            (
                node("boundaryEvent", "c", EVENT, f"{ATTACHED} cancelActivity='false'"),
                flows("s > a > e", "c > b > e"),
            ),
            True,
        ),
    ],
)
def test_one_result_variable_of_two_tasks_matters_if_both_may_run(
    parts: tuple[str, ...], both: bool
) -> None:
    named = setting("resultVariable", "x")
    found = codes(model(start(), end(), ai_task("a", named), ai_task("b", named), *parts))

    assert found == (["same_result_variable"] if both else [])


def test_tasks_inside_sub_processes_are_compared_by_these() -> None:
    named = setting("resultVariable", "x")
    within = (
        node("subProcess", "u", ai_task("a", named)),
        node("subProcess", "v", ai_task("b", named)),
    )
    decided = (node("exclusiveGateway", "g"), flows("s > g > u > e", "g > v > e"))

    assert codes(model(start(), end(), *within, flows("s > u > v > e"))) == ["same_result_variable"]
    assert codes(model(start(), end(), *within, *decided)) == []


def test_topics_are_compared_over_all_files_and_between_ai_tasks_and_others_only() -> None:
    ours = model(ai_task("a", topic="x"))
    second = model(ai_task("a", topic="x"), key="q")
    foreign = model(task("b", topic="x"), key="r")

    def found(*sources: bytes) -> list[str]:
        documents = {str(place): source for place, source in enumerate(sources)}
        linted = lint(documents, ASSISTANTS, engine=EngineKind.EMBEDDED)
        return [each.code for file in linted for each in file.findings if "topic" in each.code]

    assert found(ours, second) == []
    assert found(ours, foreign) == ["topic_elsewhere"]
    assert found(model(ai_task("a", topic="x"), task("b", topic="x"))) == ["shared_topic"]


def test_a_header_without_a_value_leaves_its_task_without_what_it_should_say() -> None:
    headers = "<zeebe:header key='prompt' value=''/>"
    source = model(
        job(
            "a",
            job_type="dadm.assistant",
            extensions=f"<zeebe:taskHeaders>{headers}</zeebe:taskHeaders>",
        )
    )

    assert sorted(codes(source, EngineKind.CAMUNDA_8)) == ["empty_header", "missing_prompt"]


def scoped(dialect: str, value: str) -> str:
    held = f"<{dialect}:property name='thread.scope' value='{value}'/>"
    return (
        f"<bpmn:extensionElements><{dialect}:properties>{held}</{dialect}:properties>"
        "</bpmn:extensionElements>"
    )


@pytest.mark.parametrize("scope", ["", "element", " business-key "])
def test_a_scope_that_there_is_is_clean_wherever_it_stands(scope: str) -> None:
    assert codes(model(ai_task("a", setting("thread.scope", scope)))) == []
    assert codes(model(scoped("camunda", scope), ai_task("a"))) == []


def test_a_scope_of_a_process_that_there_is_not_is_found_at_its_line() -> None:
    source = model("\n\n" + scoped("camunda", "instance"))

    (found,) = [each for each in linted(source).findings if each.code == "unknown_scope"]

    assert b"'instance'" in source.splitlines()[found.line - 1]
    assert "process-instance" in found.message


def ai_job(element_id: str, headers: str = "") -> str:
    held = f"<zeebe:header key='prompt' value='Say why.'/>{headers}"
    return job(
        element_id,
        job_type="dadm.assistant",
        extensions=f"<zeebe:taskHeaders>{held}</zeebe:taskHeaders>",
    )


def test_a_process_s_scope_matters_where_a_task_needs_it_alone() -> None:
    own = "<zeebe:header key='thread.scope' value='element'/>"
    both = model(scoped("zeebe", "element"), ai_job("a", own), ai_job("b"))

    (found,) = linted(both, EngineKind.CAMUNDA_8).findings

    assert found.code == "scope_is_not_sent"
    assert "b need it" in found.message
    all_own = model(scoped("zeebe", "element"), ai_job("a", own), job("x"))
    assert codes(all_own, EngineKind.CAMUNDA_8) == []

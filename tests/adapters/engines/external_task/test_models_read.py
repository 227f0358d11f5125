"""What is read off a deployed model: topics, prompts, mappings, caught errors, own answers."""

import pytest

from dadm.adapters.engines.external_task.models import TaskModel, read_definition
from dadm.domain.errors import InvalidModel
from tests.adapters.engines.bpmn import (
    boundary,
    caught,
    definitions,
    end,
    error,
    extended,
    flows,
    mapping,
    node,
    process,
    properties,
    start,
    task,
    timer,
)

NO_TOPICS: frozenset[str] = frozenset()


def read(
    *parts: str, declared: str = "", topics: frozenset[str] = NO_TOPICS
) -> dict[str, TaskModel]:
    document = definitions(declared, process(*parts))
    return dict(read_definition(document, "p", topics=topics).tasks)


def test_a_task_is_read_as_people_model_it() -> None:
    inner = "<bpmn:documentation> Why ${x}?\n\nSay. </bpmn:documentation>" + extended(
        properties(service__type="assistant", service__name="analyst") + mapping({"a": "1"})
    )

    found = read(task("T", inner, topic="Frame", attributes="name='Frame it'"))["T"]

    assert (found.topic, found.name, found.documentation) == (
        "Frame",
        "Frame it",
        "Why ${x}?\n\nSay.",
    )
    assert (found.mapped, found.is_assistant, found.assistant) == (("a",), True, "analyst")
    assert found.answers == {"recommendation", "T_result"}


def test_operatons_own_namespace_means_the_same() -> None:
    inner = extended(
        "<operaton:properties><operaton:property name='service.type' value='assistant'/>"
        "</operaton:properties>"
    )
    given = "operaton:type='external' operaton:topic='x'"

    found = read(node("serviceTask", "T", inner, given))["T"]

    assert (found.topic, found.is_assistant) == ("x", True)


def test_other_tasks_and_other_processes_are_none_of_ours() -> None:
    document = definitions(
        process(task("A"), node("serviceTask", "J", attributes="camunda:class='x.Y'")),
        process(task("B"), key="q"),
    )

    assert set(read_definition(document, "p", topics=NO_TOPICS).tasks) == {"A"}


def test_a_computed_topic_is_not_known_beforehand() -> None:
    assert read(task("T", topic="${region}-frame"))["T"].topic == ""


def test_errors_are_caught_at_the_task_and_around_it() -> None:
    handler = node(
        "subProcess",
        "Handler",
        node("startEvent", "hs", caught("c")),
        "triggeredByEvent='true'",
    )
    inside = "".join(
        (
            start("s2"),
            task("T"),
            boundary("b1", "T", caught("a")),
            boundary("b2", "T", timer("PT1H")),
        )
    )
    found = read(
        node("subProcess", "Sub", inside),
        boundary("b3", "Sub", caught("b")),
        boundary("b4", "Other", caught("z")),
        node("subProcess", "Other", task("U")),
        handler,
        declared="".join(map(error, ("A", "B", "C", "Z"))),
    )

    assert found["T"].caught_errors == {"A", "B", "C"}
    assert found["U"].caught_errors == {"Z", "C"}


def test_calls_are_read_with_the_errors_caught_there() -> None:
    document = definitions(
        error("A"),
        process(
            node("callActivity", "C", attributes="calledElement='q'"),
            boundary("b", "C", caught("a")),
            node("callActivity", "D", attributes="calledElement='${which}'"),
        ),
    )

    named, computed = read_definition(document, "p", topics=NO_TOPICS).calls

    assert named.called == "q"
    assert named.caught_errors == {"A"}
    assert computed.called == ""
    assert not computed.caught_errors
    assert [named.may_be_of("q"), named.may_be_of("r"), computed.may_be_of("r")] == [
        True,
        False,
        True,
    ]


def test_a_boundary_without_a_code_catches_any() -> None:
    found = read(task("T"), boundary("b", "T", caught()))

    assert found["T"].caught_errors == {""}


def test_own_answers_are_those_of_tasks_that_are_marked_or_whose_topic_was_set() -> None:
    marked = extended(properties(service__type="assistant"))
    copying = extended(
        properties(resultVariable="verdict")
        + mapping(outputs={"kept": "${verdict}", "said": "It is ${verdict}"})
    )
    document = definitions(
        process(task("A", marked), task("B", copying, topic="b"), task("C", topic="c"), end()),
    )

    found = read_definition(document, "p", topics=frozenset({"b"}))

    assert found.own_answers == {"recommendation", "A_result", "verdict", "B_result", "kept"}


def test_a_model_with_a_document_type_is_not_read() -> None:
    document = b"<!DOCTYPE d [<!ENTITY x 'y'>]>" + definitions(process(flows("s > e")))

    with pytest.raises(InvalidModel):
        read_definition(document, "p", topics=NO_TOPICS)

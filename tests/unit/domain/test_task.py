"""Service tasks: what no store could carry is refused, and what names the work and its content."""

import re
from typing import Any

import pytest

from dadm.domain.errors import InvalidTask
from dadm.domain.task import (
    ID_LIMIT,
    Selecting,
    ServiceTask,
    VariableSelection,
    refuse_unusable_id,
)
from dadm.domain.turn import TurnKey
from tests.builders import make_task

IDS = ("engine", "tenant", "task_id", "process_instance_id", "scope", "assistant")


@pytest.mark.parametrize("field", IDS)
def test_id_of_255_characters_is_accepted_and_of_256_refused(field: str) -> None:
    assert getattr(make_task(**{field: "é" * ID_LIMIT}), field) == "é" * 255

    with pytest.raises(InvalidTask, match=f"{field} has 256 characters; at most 255"):
        make_task(**{field: "x" * 256})


@pytest.mark.parametrize("field", IDS)
@pytest.mark.parametrize("character", ["\0", "\n", "\x1f", "\x7f", "\x85", "\x9f"])
def test_id_with_a_control_character_is_refused(field: str, character: str) -> None:
    with pytest.raises(InvalidTask, match=f"{field} contains control characters"):
        make_task(**{field: f"a{character}b"})


@pytest.mark.parametrize("code", [0xD800, 0xDFFF])
def test_id_with_half_a_surrogate_pair_is_refused(code: int) -> None:
    with pytest.raises(InvalidTask, match="task_id contains half of a surrogate pair"):
        make_task(f"a{chr(code)}")


@pytest.mark.parametrize("text", [" ", "~", "\xa0", "日本", "\ue000", "😀"])
def test_any_other_character_may_be_in_an_id(text: str) -> None:
    refuse_unusable_id("task_id", text)


def test_task_without_id_is_refused() -> None:
    with pytest.raises(InvalidTask, match="task_id is empty"):
        make_task("")


@pytest.mark.parametrize(("documentation", "description"), [("", ""), (" \n", "\t")])
def test_task_with_nothing_to_ask_is_refused(documentation: str, description: str) -> None:
    with pytest.raises(InvalidTask, match="nothing to ask"):
        make_task(documentation=documentation, description=description)


@pytest.mark.parametrize(
    "fields",
    [{"documentation": "\udc00"}, {"variables": {"a": ["\ud83d"]}}, {"variables": {"\udead": 1}}],
)
def test_text_that_is_no_text_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match="surrogate"):
        make_task(**fields)


def test_variable_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(InvalidTask, match="nested too deeply"):
        make_task(variables={"deep": deep})


@pytest.mark.parametrize("field", ["process_instance_id", "scope"])
def test_no_scope_may_pass_for_that_of_a_single_task(field: str) -> None:
    alone = ServiceTask(task_id="t1", description="What?")

    assert alone.thread_scope == "task:t1"
    with pytest.raises(InvalidTask, match="task:"):
        make_task(**{field: alone.thread_scope})


def test_scope_is_the_process_instance_unless_another_is_given() -> None:
    assert make_task().thread_scope == "p1"
    assert make_task(scope="case-7").thread_scope == "case-7"


def test_turn_key_names_the_work_on_its_scope() -> None:
    task = make_task("t7", tenant="acme", scope="case-7")

    assert task.turn_key == TurnKey(engine="embedded", tenant="acme", scope="case-7", task_id="t7")


@pytest.mark.parametrize(
    "change",
    [
        {"documentation": "Other?"},
        {"variables": {"a": 2}},
        {"mapped": ("a",)},
        {"assistant": "other"},
        {"selection": VariableSelection(selecting=Selecting.ALL)},
        {"answer_schema": {"type": "object"}},
    ],
)
def test_content_digest_changes_with_whatever_shapes_the_question(change: dict[str, Any]) -> None:
    before = {"variables": {"a": 1}}

    assert make_task(**before).content_digest != make_task(**(before | change)).content_digest


@pytest.mark.parametrize(
    "change", [{"task_name": "Frame"}, {"element_id": "Other"}, {"variables": {"b": 2, "a": 1}}]
)
def test_content_digest_stays_where_nothing_asked_changed(change: dict[str, Any]) -> None:
    before = {"variables": {"a": 1, "b": 2}}

    assert make_task(**before).content_digest == make_task(**(before | change)).content_digest


@pytest.mark.parametrize(
    ("text", "selection"),
    [
        ("", VariableSelection()),
        (" \n ", VariableSelection()),
        (" , ", VariableSelection()),
        ("changed", VariableSelection()),
        (" all ", VariableSelection(selecting=Selecting.ALL)),
        ("none", VariableSelection(selecting=Selecting.NONE)),
        ("a", VariableSelection(selecting=Selecting.LISTED, names=("a",))),
        ("b , a,,", VariableSelection(selecting=Selecting.LISTED, names=("b", "a"))),
        ("all, a", VariableSelection(selecting=Selecting.LISTED, names=("all", "a"))),
    ],
)
def test_selection_is_read_as_people_write_it(text: str, selection: VariableSelection) -> None:
    assert VariableSelection.parse(text) == selection


def test_selection_is_written_in_words() -> None:
    assert str(VariableSelection.parse(" a ,b")) == "a,b"
    assert re.fullmatch("changed|all|none", str(VariableSelection()))

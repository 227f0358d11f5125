"""What the assistant is asked: placeholders filled once, and the variables below them."""

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from dadm.domain.errors import InvalidTask
from dadm.domain.json import digest_of
from dadm.domain.prompt import Prompt, render_prompt
from dadm.domain.task import Selecting, VariableSelection
from tests.builders import make_task

NOTHING: Mapping[str, str] = MappingProxyType({})


def render(documentation: str, /, shown: Mapping[str, str] = NOTHING, **fields: Any) -> Prompt:
    return render_prompt(make_task(documentation=documentation, **fields), shown=shown)


def only(*names: str) -> VariableSelection:
    return VariableSelection(selecting=Selecting.LISTED, names=names)


NONE = VariableSelection(selecting=Selecting.NONE)
ALL = VariableSelection(selecting=Selecting.ALL)


def test_placeholder_is_filled_with_the_variable() -> None:
    asked = render("Decide for ${owner}.", variables={"owner": "Ada"})

    assert asked.text == "Decide for Ada."


def test_value_that_contains_a_placeholder_stays_text() -> None:
    asked = render("Say ${a}.", variables={"a": "${b}", "b": "secret"}, selection=NONE)

    assert asked.text == "Say ${b}."


def test_blanks_inside_the_braces_do_not_matter() -> None:
    assert render("${  owner\t}", variables={"owner": "Ada"}).text == "Ada"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("offer.name", "Bike"),
        ("offer.prices[1]", "20"),
        ("offer.prices", "[10, 20]"),
        ("offers[0].name", "Bike"),
        ("matrix[1][0]", "3"),
        ("offer.sold", "false"),
        ("offer.left", "null"),
    ],
)
def test_path_leads_into_a_value(path: str, text: str) -> None:
    offer = {"name": "Bike", "prices": [10, 20], "sold": False, "left": None}
    variables = {"offer": offer, "offers": [offer], "matrix": [[1, 2], [3, 4]]}

    assert render(f"${{{path}}}", variables=variables, selection=NONE).text == text


@pytest.mark.parametrize(
    "path", ["gone", "offer.gone", "offer.prices[2]", "offer[0]", "owner.name", "owner[0]"]
)
def test_undefined_placeholder_fails_by_name(path: str) -> None:
    variables = {"offer": {"prices": [10, 20]}, "owner": "Ada"}

    with pytest.raises(InvalidTask) as raised:
        render(f"Say ${{{path}}}.", variables=variables, task_name="Frame")

    assert f"${{{path}}}" in raised.value.message
    assert "'Frame'" in raised.value.message


@pytest.mark.parametrize("path", ["", "1st", "a + b", "a..b", "a[x]", "a[1234567890]", "a."])
def test_placeholder_that_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidTask, match="not a variable or a path"):
        render(f"Say ${{{path}}}.", variables={"a": 1})


def test_message_about_a_broken_placeholder_stays_short() -> None:
    with pytest.raises(InvalidTask) as raised:
        render("${" + "+" * 10_000 + "}")

    assert len(raised.value.message) < 300


@pytest.mark.parametrize("name", ["with space", "a-b", "a.b", "größe"])
def test_whole_name_of_a_variable_is_a_placeholder_whatever_it_holds(name: str) -> None:
    asked = render(f"${{{name}}}", variables={name: "yes", "a": {"b": "no"}}, selection=NONE)

    assert asked.text == "yes"
    assert set(asked.shown) == {name}


def test_documentation_without_closing_brace_is_read_in_linear_time() -> None:
    begun_at = time.perf_counter()
    asked = render("Say ${" + " " * 200_000)

    assert asked.text == "Say ${"
    assert time.perf_counter() - begun_at < 2


def test_description_serves_where_there_is_no_documentation() -> None:
    task = make_task(documentation=" \n", description="Describe ${a}.", variables={"a": 1})

    assert render_prompt(task, shown={}).text == "Describe 1."


def test_variables_not_shown_yet_are_listed_by_name() -> None:
    asked = render("Decide.", variables={"owner": "Ada", "budget": 5, "tags": ["x", {"y": None}]})

    assert asked.text == (
        'Decide.\n\nProcess variables:\n- budget: 5\n- owner: Ada\n- tags: ["x", {"y": null}]'
    )
    assert asked.shown == {
        "budget": digest_of(5),
        "owner": digest_of("Ada"),
        "tags": digest_of(["x", {"y": None}]),
    }


def test_variables_shown_before_are_left_out_until_they_change() -> None:
    variables = {"owner": "Ada", "budget": 5}
    first = render("Decide.", variables=variables)

    assert render("Decide.", variables=variables, shown=first.shown).text == "Decide."
    changed = render("Decide.", variables=variables | {"budget": 6}, shown=first.shown)
    assert changed.text == "Decide.\n\nProcess variables:\n- budget: 6"
    assert changed.shown == {"budget": digest_of(6)}


def test_all_lists_variables_whether_or_not_they_were_shown() -> None:
    asked = render("Decide.", variables={"a": 1}, shown={"a": digest_of(1)}, selection=ALL)

    assert asked.text.endswith("- a: 1")


def test_none_lists_nothing_and_shows_nothing() -> None:
    asked = render("Decide.", variables={"a": 1}, selection=NONE)

    assert asked == Prompt(text="Decide.", shown={})


def test_list_shows_those_named_once_in_its_order_whether_or_not_they_changed() -> None:
    asked = render(
        "Decide.",
        variables={"a": 1, "b": 2, "c": 3},
        shown={"b": digest_of(2)},
        selection=only("b", "a", "b", "gone"),
    )

    assert asked.text == "Decide.\n\nProcess variables:\n- b: 2\n- a: 1"


@pytest.mark.parametrize("selection", [VariableSelection(), ALL])
def test_own_answers_are_never_shown_by_themselves(selection: VariableSelection) -> None:
    own = frozenset({"recommendation", "Task_1_result"})
    variables = {"a": 1, "recommendation": "Buy.", "Task_1_result": "Buy."}

    asked = render("Decide.", variables=variables, own_answers=own, selection=selection)

    assert asked.text == "Decide.\n\nProcess variables:\n- a: 1"


def test_own_answer_is_shown_where_the_task_names_it() -> None:
    fields: dict[str, Any] = {
        "variables": {"recommendation": "Buy."},
        "own_answers": frozenset({"recommendation"}),
    }

    assert "Buy." in render("Review.", selection=only("recommendation"), **fields).text
    assert render("Review: ${recommendation}", **fields).text == "Review: Buy."


@pytest.mark.parametrize("selection", [VariableSelection(), ALL])
def test_only_mapped_variables_are_shown_where_the_task_maps_any(
    selection: VariableSelection,
) -> None:
    asked = render(
        "Decide.",
        variables={"a": 1, "b": 2, "own": 3},
        mapped=("b", "own", "gone"),
        own_answers=frozenset({"own"}),
        selection=selection,
    )

    assert asked.text == "Decide.\n\nProcess variables:\n- b: 2"


def test_empty_mapping_shows_nothing() -> None:
    assert render("Decide.", variables={"a": 1}, mapped=()).text == "Decide."


def test_variable_written_out_whole_counts_as_shown_and_is_not_listed_again() -> None:
    asked = render("Budget: ${budget}.", variables={"budget": 5, "owner": "Ada"})

    assert asked.text == "Budget: 5.\n\nProcess variables:\n- owner: Ada"
    assert asked.shown == {"budget": digest_of(5), "owner": digest_of("Ada")}


def test_path_into_a_variable_does_not_count_as_showing_it() -> None:
    asked = render("Name: ${offer.name}.", variables={"offer": {"name": "Bike"}})

    assert asked.text.endswith('- offer: {"name": "Bike"}')


def test_prompt_that_is_empty_once_filled_is_refused() -> None:
    with pytest.raises(InvalidTask, match="is empty once"):
        render("${question}", variables={"question": "  "})


def test_prompt_with_a_nul_character_is_refused() -> None:
    with pytest.raises(InvalidTask, match="NUL"):
        render("Decide.", variables={"a": "x\0y"})

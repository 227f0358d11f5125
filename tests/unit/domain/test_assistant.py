"""Assistants: their version, and the catalogue that finds one by name."""

from typing import Any

import pytest

from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.errors import InvalidAssistant, UnknownAssistant
from tests.builders import make_assistant


def test_assistant_is_found_by_name_and_by_alias() -> None:
    analyst = make_assistant(aliases=("dadm-openai-assistant", "analyst"))
    critic = make_assistant("critic")
    catalogue = AssistantCatalogue([critic, analyst], default="dadm-openai-assistant")

    assert catalogue.resolve("critic") is critic
    assert catalogue.resolve("dadm-openai-assistant") is analyst
    assert catalogue.resolve() is catalogue.default is analyst
    assert catalogue.names == ("analyst", "critic")
    assert catalogue.assistants == (analyst, critic)
    assert catalogue.knows("critic")
    assert not catalogue.knows("Critic")


def test_unknown_assistant_is_refused_with_those_known() -> None:
    catalogue = AssistantCatalogue(
        [make_assistant("b", aliases=("bee",)), make_assistant("a")], default="a"
    )

    with pytest.raises(UnknownAssistant, match=r"called 'c'\. Known assistants: a, b\.") as raised:
        catalogue.resolve("c")

    assert (raised.value.name, raised.value.known) == ("c", ("a", "b"))


@pytest.mark.parametrize("aliases", [("critic",), ("helper",)])
def test_two_assistants_that_claim_one_name_are_refused(aliases: tuple[str, ...]) -> None:
    assistants = [
        make_assistant("analyst", aliases=aliases, origin="analyst.md"),
        make_assistant("critic", aliases=("helper",), origin="critic.md"),
    ]

    with pytest.raises(InvalidAssistant, match=rf"'{aliases[0]}': analyst\.md and critic\.md"):
        AssistantCatalogue(assistants, default="analyst")


def test_assistants_without_an_origin_are_called_by_name() -> None:
    with pytest.raises(InvalidAssistant, match="'b': a and b"):
        AssistantCatalogue([make_assistant("a", aliases=("b",)), make_assistant("b")], default="a")


@pytest.mark.parametrize(("names", "said"), [((), "none"), (("a", "b"), "a, b")])
def test_default_that_is_not_among_them_is_refused(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidAssistant, match=f"'gone' is not among those found: {said}"):
        AssistantCatalogue(map(make_assistant, names), default="gone")


@pytest.mark.parametrize(
    "change",
    [
        {"instructions": "Be long."},
        {"model": "other"},
        {"parameters": {"temperature": 0}},
        {"tools": ({"type": "web_search"},)},
        {"answer_schema": {"type": "object"}},
    ],
)
def test_version_changes_with_whatever_shapes_the_answers(change: dict[str, Any]) -> None:
    assert make_assistant(**change).version != make_assistant().version


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"aliases": ("x",)}, {"description": "x"}, {"origin": "x"}]
)
def test_version_stays_where_the_answers_do(change: dict[str, Any]) -> None:
    assert make_assistant(**change).version == make_assistant().version
    assert len(make_assistant(**change).version) == 12

"""`dadm probe` says what is missing before it sends anything."""

import io
from collections.abc import Callable

import pytest

from tests.unit.cli.conftest import Ended


def test_without_a_key_it_says_what_to_set(dadm: Callable[..., Ended]) -> None:
    ended = dadm("probe", "--yes")

    assert ended.code == 3
    assert "set OPENAI_API_KEY" in ended.err
    assert not ended.out.strip()


def test_an_unknown_question_is_answered_by_those_there_are(
    dadm: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")

    ended = dadm("probe", "--yes", "--only", "everything")

    assert ended.code == 2
    assert "'everything'" in ended.err
    assert "output_ids_are_item_ids" in ended.err


@pytest.mark.parametrize("answered", ["n\n", "\n", ""])
def test_it_says_what_it_costs_and_begins_only_if_that_is_agreed(
    dadm: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, answered: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")

    monkeypatch.setattr("sys.stdin", io.StringIO(answered))
    ended = dadm("probe", "--only", "output_ids_are_item_ids", "--model", "tiny")

    assert ended.code == 1
    assert "tiny answers at most 1 times, with at most 1000 output tokens in all." in ended.err
    assert not ended.out.strip()

"""A script in a JSON file answers by its lines, and a broken one is refused by its place."""

import json
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from dadm.adapters.script_file import AnswerScript, read_script
from dadm.domain.errors import BackendRefused, SettingsError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "script.json"


def script(path: Path, content: Any) -> AnswerScript:
    path.write_text(json.dumps(content), "utf-8")
    return read_script(path)


async def test_a_text_answers_everything(path: Path) -> None:
    read = script(path, "Yes.")

    assert [await read.answer("a"), await read.answer("b")] == ["Yes.", "Yes."]


async def test_lines_of_a_list_are_said_in_turn_until_none_is_left(path: Path) -> None:
    read = script(path, ["one", {"answer": "two"}])

    assert [await read.answer("?"), await read.answer("?")] == ["one", "two"]
    with pytest.raises(BackendRefused, match="no line left"):
        await read.answer("?")


async def test_an_object_gives_the_line_of_the_first_part_that_is_found(path: Path) -> None:
    read = script(path, {"alternatives": "three", "the": "first", "": "any"})

    assert await read.answer("List the alternatives.") == "three"
    assert await read.answer("Frame the decision.") == "first"
    assert await read.answer("Go on.") == "any"


async def test_a_question_without_a_line_is_refused(path: Path) -> None:
    with pytest.raises(BackendRefused, match="no line for this question"):
        await script(path, {"frame": "x"}).answer("Evaluate.")


async def test_a_line_may_refuse_and_take_its_time(path: Path) -> None:
    read = script(path, [{"refuse": "Not this.", "seconds": 0.05}])
    begun = monotonic()

    with pytest.raises(BackendRefused, match=r"Not this\."):
        await read.answer("?")

    assert monotonic() - begun >= 0.05


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (5, "it must be a text, a list"),
        ([5], "line 1 must be a text or an object"),
        (["a", {}], "line 2 must either answer or refuse"),
        ([{"answer": "a", "refuse": "b"}], "line 1 must either answer or refuse"),
        ([{"answer": 1}], "line 1 has an answer or a reason that is no text"),
        ({"Frame": {"answer": "a", "pause": 1}}, "'Frame' has a field that is none of"),
        ({"Frame": {"answer": "a", "seconds": "1"}}, "'Frame' has seconds that are no number"),
        ({"Frame": {"answer": "a", "seconds": True}}, "'Frame' has seconds that are no number"),
        ([{"answer": "a", "seconds": -1}], "line 1 has seconds that are not between"),
    ],
)
def test_what_is_no_script_is_refused_by_its_place(path: Path, content: Any, place: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        script(path, content)

    assert place in refusal.value.message
    assert "script.json" in refusal.value.message


@pytest.mark.parametrize("content", [b"[", b"\xff", b'[{"answer": "a", "seconds": NaN}]'])
def test_a_file_that_is_no_json_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(SettingsError, match="is not JSON in UTF-8"):
        read_script(path)


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"script\.json cannot be read: No such file"):
        read_script(path)

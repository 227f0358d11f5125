"""`dadm lint` prints lines that editors read, and ends by what it found."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Ended

FILE_LINE = re.compile(r"(?P<file>.+?):(?P<line>\d+): (?P<severity>error|warning) (?P<code>\w+) .+")
CLEAN = Path(__file__).parents[3] / "src" / "dadm" / "examples" / "decision_process.bpmn"


@pytest.fixture
def mistaken(tmp_path: Path) -> Path:
    """Write a model with an error and a warning."""
    text = CLEAN.read_text(encoding="utf-8")
    text = text.replace('camunda:historyTimeToLive="180"', "")
    text = re.sub(
        r"(<bpmn:serviceTask id=\"Recommend\".*?)<bpmn:documentation>.*?</bpmn:documentation>",
        r"\1",
        text,
        flags=re.DOTALL,
    )
    path = tmp_path / "mistaken.bpmn"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_clean_model_prints_nothing_on_standard_output(dadm: Callable[..., Ended]) -> None:
    ended = dadm("lint", str(CLEAN))

    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "1 file linted for camunda7: nothing found.\n"


def test_findings_are_lines_with_file_line_severity_and_code(
    dadm: Callable[..., Ended], mistaken: Path
) -> None:
    ended = dadm("lint", str(mistaken))

    found = [FILE_LINE.fullmatch(line) for line in ended.out.splitlines()]
    assert [(each["file"], each["severity"], each["code"]) for each in found if each] == [
        (str(mistaken), "error", "missing_history_time_to_live"),
        (str(mistaken), "warning", "prompt_is_the_name"),
    ]
    assert ended.code == 1
    assert ended.err == "1 file linted for camunda7: 1 error, 1 warning.\n"


def test_warnings_alone_are_no_failure_unless_one_is_strict(
    dadm: Callable[..., Ended], mistaken: Path
) -> None:
    arguments = ("lint", str(mistaken), "--engine", "embedded")

    assert dadm(*arguments).code == 0
    assert dadm(*arguments, "--strict").code == 1


def test_json_says_the_same(dadm: Callable[..., Ended], mistaken: Path) -> None:
    ended = dadm("lint", str(mistaken), str(CLEAN), "--json")
    said = json.loads(ended.out)

    assert ended.code == 1
    assert [(file["file"], file["engine"]) for file in said["files"]] == [
        (str(mistaken), "camunda7"),
        (str(CLEAN), "camunda7"),
    ]
    first, second = said["files"][0]["findings"]
    assert first["code"] == "missing_history_time_to_live"
    assert second["line"] > first["line"]
    assert said["files"][1]["findings"] == said["unreadable"] == []


def test_a_file_that_is_not_there_is_told_and_the_others_are_linted(
    dadm: Callable[..., Ended], mistaken: Path, tmp_path: Path
) -> None:
    ended = dadm("lint", str(tmp_path / "nothing.bpmn"), str(mistaken))

    assert ended.code == 2
    assert "nothing.bpmn cannot be read: No such file or directory." in ended.err
    assert "missing_history_time_to_live" in ended.out


def test_a_folder_stands_for_the_models_below_it_but_for_hidden_ones(
    dadm: Callable[..., Ended], mistaken: Path
) -> None:
    below = mistaken.parent / "deep" / "deeper"
    hidden = mistaken.parent / ".git"
    for folder in (below, hidden):
        folder.mkdir(parents=True)
        (folder / "other.bpmn").write_text("<no/>", encoding="utf-8")

    said = json.loads(dadm("lint", str(mistaken.parent), "--json").out)

    assert [file["file"] for file in said["files"]] == [str(below / "other.bpmn"), str(mistaken)]


def test_a_folder_without_models_is_told(dadm: Callable[..., Ended], tmp_path: Path) -> None:
    ended = dadm("lint", str(tmp_path))

    assert ended.code == 2
    assert "holds no model" in ended.err


def test_the_standard_input_can_be_linted(
    dadm: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = io.TextIOWrapper(io.BytesIO(b"<a>\n<b></a>"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", given)

    ended = dadm("lint", "-")

    assert ended.code == 1
    assert ended.out.startswith("<stdin>:2: error not_xml ")


def test_a_name_cannot_steer_the_terminal(dadm: Callable[..., Ended], tmp_path: Path) -> None:
    path = tmp_path / "red\x1b[31m.bpmn"
    path.write_text("", encoding="utf-8")

    assert "\x1b" not in dadm("lint", str(path)).out

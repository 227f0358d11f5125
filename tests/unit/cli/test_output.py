"""What commands print is one line per row, safe for terminals, and exact for programs."""

import io
import json
import sys
from datetime import UTC, datetime

import pytest

from dadm.entrypoints.cli.output import print_facts, print_json, print_table, shown

COLUMNS = ("name", "waiting at")


class Terminal(io.StringIO):
    """Standard output as a terminal of 80 columns."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ((), "-"),
        (True, "yes"),
        (0, "0"),
        (("a", "b"), "a, b"),
        ({"b": [1, None]}, '{"b": [1, null]}'),
        ("two\nlines\tof  text", "two lines of text"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        (datetime(2026, 3, 1, 12, 30, 5, 999, tzinfo=UTC), "2026-03-01 12:30:05Z"),
    ],
)
def test_a_value_is_shown_on_one_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_without_a_terminal_a_table_is_plain_aligned_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(COLUMNS, [("a" * 60, "FrameDecision" * 10), ("b", ())], empty="none")

    header, first, second = capsys.readouterr().out.splitlines()
    assert header == "name" + " " * 58 + "waiting at"
    assert first == "a" * 60 + "  " + "FrameDecision" * 10
    assert second == "b" + " " * 61 + "-"


def test_on_a_terminal_nothing_of_an_id_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    identifier = "conv_" + "0123456789" * 6

    print_table(COLUMNS, [(identifier, "[bold]x[/bold]")], empty="none")

    written = terminal.getvalue()
    first_cells = "".join((line.split() or [""])[0] for line in written.splitlines())
    assert identifier in first_cells
    assert "[bold]" in written


def test_on_a_terminal_an_id_stands_whole_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    identifier = "process_" + "0123456789abcdef" * 2

    print_table(("instance", "text"), [(identifier, "word " * 40)], empty="none")

    assert identifier in terminal.getvalue()


def test_an_empty_table_says_what_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [], empty="There are no instances.")

    assert capsys.readouterr().out == "There are no instances.\n"


def test_facts_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts([("state", "open"), ("business key", "")])

    assert capsys.readouterr().out == "state         open\nbusiness key  -\n"


def test_json_keeps_what_is_not_ascii_where_the_output_can_carry_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"owner": "Zoë \u2028 \x1b"}
    print_json(document)
    wide = capsys.readouterr().out
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    print_json(document)
    narrow.seek(0)

    assert "Zoë" in wide
    assert "\x1b" not in wide
    assert json.loads(wide) == json.loads(narrow.read()) == document

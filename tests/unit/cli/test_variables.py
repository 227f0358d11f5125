"""Process variables are read from the command line as JSON where they are JSON, else as text."""

import io
import sys
from pathlib import Path

import pytest
import typer

from dadm.domain.json import JsonValue
from dadm.entrypoints.cli.variables import read_variables, value_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("40000", 40000),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('"40000"', "40000"),
        ('{"a": [1, {}]}', {"a": [1, {}]}),
        ("Alice Moreno", "Alice Moreno"),
        ("", ""),
        ("a=b", "a=b"),
        ("True", "True"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("[1", "[1"),
        ("[" * 100_000, "[" * 100_000),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_value_is_json_where_it_can_be(text: str, value: JsonValue) -> None:
    read = value_of(text)

    assert (read, type(read)) == (value, type(value))


def test_a_name_ends_at_the_first_equals_sign() -> None:
    assert read_variables(["rule=a=b", " owner =Tom"]) == {"rule": "a=b", "owner": "Tom"}


def test_single_variables_win_over_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "variables.json"
    file.write_text('{"owner": "Zoë", "budget": 1}', "utf-8")

    assert read_variables(["budget=2"], file) == {"owner": "Zoë", "budget": 2}


def test_variables_are_read_from_the_input_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"budget": 3}'))

    assert read_variables([], Path("-")) == {"budget": 3}


@pytest.mark.parametrize("given", ["budget", "=1", "  =1", 'half="\\ud800"', "bytes=\udcff"])
def test_what_is_no_variable_is_refused(given: str) -> None:
    with pytest.raises(typer.BadParameter):
        read_variables([given])


@pytest.mark.parametrize(
    "content", [b"[1]", b"{", b"\xff", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 100_000]
)
def test_a_file_that_is_no_object_of_variables_is_refused_by_its_name(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "wrong.json"
    file.write_bytes(content)

    with pytest.raises(typer.BadParameter, match=r"wrong\.json"):
        read_variables([], file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="No such file"):
        read_variables([], tmp_path / "missing.json")

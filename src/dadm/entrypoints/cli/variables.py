"""Process variables on the command line: `-v name=value`, and files of them."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer

from dadm.domain.json import JsonObject, JsonValue, canonical_json

STANDARD_INPUT = "-"


def read_variables(given: Sequence[str] | None, file: Path | None = None) -> JsonObject:
    """Read variables; those given one by one win over those of `file`.

    Raises:
        BadParameter: One has no name, or the file is no JSON object.
    """
    variables: dict[str, JsonValue] = dict(_of_file(file)) if file is not None else {}
    for each in given or ():
        name, equals, text = each.partition("=")
        if not equals or not name.strip():
            msg = f"{each!r} is no variable; write name=value."
            raise typer.BadParameter(msg, param_hint="--variable")
        variables[name.strip()] = value_of(text)
    try:
        canonical_json(variables).encode()
    except UnicodeEncodeError as error:
        msg = "a name or a value holds what is no text: bytes that are not UTF-8, or half a pair."
        raise typer.BadParameter(msg, param_hint="--variable") from error
    return variables


def value_of(text: str) -> JsonValue:
    """Read a value: JSON where it is JSON (numbers, true, null, lists, objects), else text."""
    try:
        value: JsonValue = _read_json(text)
    except (ValueError, RecursionError):
        return text
    return value


def _of_file(file: Path) -> JsonObject:
    try:
        text = sys.stdin.read() if str(file) == STANDARD_INPUT else file.read_text("utf-8")
        read = _read_json(text)
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}."
        raise typer.BadParameter(msg, param_hint="--variables-file") from error
    except (ValueError, RecursionError) as error:
        msg = f"{file} is not JSON in UTF-8: {error}."
        raise typer.BadParameter(msg, param_hint="--variables-file") from error
    if not isinstance(read, dict):
        msg = f"{file} must hold a JSON object with the variables by name."
        raise typer.BadParameter(msg, param_hint="--variables-file")
    return read


def _read_json(text: str) -> Any:
    return json.loads(text, parse_constant=_no_number, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(name: str) -> NoReturn:
    msg = f"{name} is no number of JSON"
    raise ValueError(msg)

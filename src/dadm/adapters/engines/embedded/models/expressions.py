"""Expressions of models: constant text, `${…}` and `=…`, evaluated as CEL and never as Python."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import cel

from dadm.adapters.engines.embedded.models.translation import (
    ExpressionInvalid,
    Translation,
    from_feel,
    from_juel,
)
from dadm.domain.json import JsonValue

_PATH = re.compile(r"\s*([^\W\d]\w*)((?:\.[^\W\d]\w*|\[\d+\])*)\s*")
_OPENING = re.compile(r"[$#]\{")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_WORDS = frozenset({"true", "false", "null", "not", "empty", "and", "or"})
# Everything CEL itself provides here; a call of anything else is refused at deployment.
_FUNCTIONS = frozenset(
    {"size", "contains", "startsWith", "endsWith", "matches", "string", "int", "double", "empty"}
)
_LARGEST_INTEGER = 2**63


class ExpressionFailed(Exception):
    """An expression has no value with these variables."""


class Translator(Protocol):
    """A translation of one expression language into CEL."""

    def __call__(self, source: str) -> Translation:
        """Translate one expression."""
        ...


class _Part(Protocol):
    def value(self, variables: Mapping[str, JsonValue]) -> JsonValue: ...


@dataclass(frozen=True, slots=True)
class _Text:
    text: str

    def value(self, variables: Mapping[str, JsonValue]) -> JsonValue:
        del variables
        return self.text


@dataclass(frozen=True, slots=True)
class _Path:
    """A variable, or a path into one: its value comes back untouched."""

    name: str
    steps: tuple[str | int, ...]

    def value(self, variables: Mapping[str, JsonValue]) -> JsonValue:
        if self.name not in variables:
            raise ExpressionFailed(undefined(self.name))
        value = variables[self.name]
        for step in self.steps:
            value = self._step(value, step)
        return value

    def _step(self, value: JsonValue, step: str | int) -> JsonValue:
        if isinstance(step, str) and isinstance(value, Mapping) and step in value:
            return value[step]
        if isinstance(step, int) and isinstance(value, list | tuple) and step < len(value):
            return cast("JsonValue", value[step])
        text = f"the variable {self.name!r} has no {step!r}"
        raise ExpressionFailed(text)


@dataclass(frozen=True, slots=True)
class _Calculation:
    """A CEL program. Every variable it names must be there, whichever branch it would take."""

    program: cel.Program
    variables: Mapping[str, str]

    def value(self, variables: Mapping[str, JsonValue]) -> JsonValue:
        given: dict[str, Any] = {}
        for name, own_name in self.variables.items():
            if own_name not in variables:
                raise ExpressionFailed(undefined(own_name))
            given[name] = variables[own_name]
            _refuse_large_integers(own_name, variables[own_name])
        context = cel.Context(variables=given, functions={"empty": _is_empty})
        try:
            result = self.program.execute(context)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            text = f"{type(error).__name__}: {error}"
            raise ExpressionFailed(text) from error
        return _as_json(result)


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression of a model; `source` is its text there."""

    source: str
    parts: tuple[_Part, ...]

    @property
    def is_constant(self) -> bool:
        """Whether it is plain text."""
        return all(isinstance(part, _Text) for part in self.parts)

    @property
    def variable(self) -> str:
        """The variable it is nothing but a reference to (or into), or `""`."""
        match self.parts:
            case (_Path(name=name),):
                return name
            case _:
                return ""

    def evaluate(self, variables: Mapping[str, JsonValue]) -> JsonValue:
        """Give its value; text mixed with expressions gives text.

        Raises:
            ExpressionFailed: A variable is missing, or the operation is not defined.
        """
        try:
            if len(self.parts) == 1:
                return self.parts[0].value(variables)
            return "".join(_as_text(part.value(variables)) for part in self.parts)
        except ExpressionFailed as failure:
            text = f"{self.source}: {failure}"
            raise ExpressionFailed(text) from failure

    def is_true(self, variables: Mapping[str, JsonValue]) -> bool:
        """Evaluate a condition.

        Raises:
            ExpressionFailed: As for evaluate, or its value is neither true nor false.
        """
        value = self.evaluate(variables)
        if not isinstance(value, bool):
            text = f"{self.source}: gives {value!r}, which is neither true nor false"
            raise ExpressionFailed(text)
        return value

    def text(self, variables: Mapping[str, JsonValue]) -> str:
        """Evaluate to text.

        Raises:
            ExpressionFailed: As for evaluate, or its value is no text.
        """
        value = self.evaluate(variables)
        if not isinstance(value, str):
            text = f"{self.source}: gives {value!r}, which is no text"
            raise ExpressionFailed(text)
        return value

    def integer(self, variables: Mapping[str, JsonValue]) -> int:
        """Evaluate to a whole number; text of digits counts as one.

        Raises:
            ExpressionFailed: As for evaluate, or its value is no whole number.
        """
        value = self.evaluate(variables)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value.strip()):
            return int(value)
        text = f"{self.source}: gives {value!r}, which is no whole number"
        raise ExpressionFailed(text)


def constant(text: str) -> Expression:
    """Give text as it is."""
    return Expression(text, (_Text(text),))


def variable(name: str) -> Expression:
    """Give the value of one variable, whatever its name looks like."""
    return Expression(f"${{{name}}}", (_Path(name, ()),))


def juel(text: str) -> Expression:
    """Read text of a Camunda 7 model: `${…}` and `#{…}` in it are evaluated, the rest is text.

    Raises:
        ExpressionInvalid: An expression in it cannot run here.
    """
    parts: list[_Part] = []
    position = 0
    while (start := _opening(text, position)) >= 0:
        if start > position:
            parts.append(_Text(text[position:start]))
        end = _closing(text, start + 2)
        parts.append(_part(text[start + 2 : end], from_juel))
        position = end + 1
    if position < len(text) or not parts:
        parts.append(_Text(text[position:]))
    return Expression(text, tuple(parts))


def feel(text: str) -> Expression:
    """Read text of a Camunda 8 model: behind `=` stands FEEL, anything else is text.

    Raises:
        ExpressionInvalid: It is FEEL that cannot run here.
    """
    if not text.lstrip().startswith("="):
        return constant(text)
    return Expression(text, (_part(text.lstrip()[1:], from_feel, counts_from_one=True),))


def by_its_look(text: str) -> Expression:
    """Read an expression of BPMN's own elements, which both dialects write into.

    Raises:
        ExpressionInvalid: It cannot run here.
    """
    return feel(text.strip()) if text.lstrip().startswith("=") else juel(text.strip())


def undefined(name: str) -> str:
    """Say that a variable is missing."""
    return f"there is no variable {name!r}"


def _part(source: str, translate: Translator, *, counts_from_one: bool = False) -> _Part:
    path = _PATH.fullmatch(source)
    is_indexed = path is not None and "[" in path.group(2)
    if path is not None and path.group(1) not in _WORDS and not (is_indexed and counts_from_one):
        steps = tuple(
            found.group(1) if found.group(1) is not None else int(found.group(2))
            for found in _STEP.finditer(path.group(2))
        )
        return _Path(path.group(1), steps)
    translation = translate(source)
    try:
        program = cel.compile(translation.cel)
    except ValueError as error:
        first_line = str(error).splitlines()[0]
        text = f"cannot be read: {first_line}"
        raise ExpressionInvalid(text) from error
    unknown = [name for name in program.functions() if name[0].isalpha() and name not in _FUNCTIONS]
    if unknown:
        text = f"calls {', '.join(unknown)}(…), which does not exist here"
        raise ExpressionInvalid(text)
    return _Calculation(program, translation.variables)


def _opening(text: str, position: int) -> int:
    found = _OPENING.search(text, position)
    return found.start() if found else -1


def _closing(text: str, position: int) -> int:
    """Find the brace that ends an expression, minding quoted text and braces inside it."""
    depth, quote = 1, ""
    while position < len(text):
        letter = text[position]
        if quote:
            position += letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            if depth == 0:
                return position
        position += 1
    text = "has no closing brace"
    raise ExpressionInvalid(text)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def _refuse_large_integers(name: str, value: JsonValue) -> None:
    """CEL counts in 64 bits and would quietly take a larger number for a fraction."""
    if isinstance(value, int) and not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
        text = f"the variable {name!r} holds a number too large to calculate with"
        raise ExpressionFailed(text)
    if isinstance(value, Mapping):
        for inner in value.values():
            _refuse_large_integers(name, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_large_integers(name, inner)


def _as_json(value: Any) -> JsonValue:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(inner) for key, inner in value.items()}
    text = f"gives a {type(value).__name__}, which no process variable can hold"
    raise ExpressionFailed(text)


def _as_text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)

"""Rules of faults as people write them: a line of words, or an object in JSON."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields
from enum import StrEnum
from types import NoneType
from typing import Any, get_args, get_type_hints

from dadm.adapters.simulators.openai.fault_kinds import KINDS, Fault
from dadm.adapters.simulators.openai.fault_rules import FaultRule, Requests, WrongFault
from dadm.adapters.simulators.openai.wire import JsonObject

FORM = "METHOD PATH FAULT NAME=VALUE…, as in 'POST /v1/responses drop-reply probability=0.1'"
HEAD_LENGTH = 3
OF_EVERY_RULE = tuple(field for field in fields(FaultRule) if field.name not in {"on", "fault"})


def read_rule(given: object) -> FaultRule:
    """Read a rule from a text, such as `POST /v1/responses http-error status=503 times=2`.

    Or from JSON: `{"on": "POST /v1/responses", "fault": "http-error", "status": 503}`.

    Raises:
        WrongFault: it is none; the message says what is accepted.
    """
    if isinstance(given, str):
        given = _from_words(given)
    if not isinstance(given, Mapping):
        message = f"A rule is a text or an object, not {json.dumps(given)}. A text is {FORM}."
        raise WrongFault(message)
    named = dict(given)
    requests = _requests(named.pop("on", None))
    kind = named.pop("fault", None)
    fault_type = KINDS.get(kind) if isinstance(kind, str) else None
    if fault_type is None:
        message = f"There is no fault {kind!r}; there are: {', '.join(KINDS)}."
        raise WrongFault(message)
    of_rule = {field.name: named.pop(field.name) for field in OF_EVERY_RULE if field.name in named}
    try:
        fault = fault_type(**_values(fault_type, named, kind))
        return FaultRule(requests, fault, **_values(FaultRule, of_rule, kind))
    except ValueError as error:
        raise error if isinstance(error, WrongFault) else WrongFault(str(error)) from error


def rule_as_json(rule: FaultRule) -> JsonObject:
    """Give a rule as `read_rule` reads it, without what is not set."""
    named = asdict(rule.fault) | {
        field.name: getattr(rule, field.name)
        for field in OF_EVERY_RULE
        if getattr(rule, field.name) != field.default
    }
    told = {name: value for name, value in named.items() if value is not None}
    return {"on": str(rule.on), "fault": rule.name} | told


def options_of(fault_type: type[Fault]) -> list[str]:
    """Say what can be set about a fault, and what each takes."""
    return [_option(fault_type, field) for field in fields(fault_type)]


def _from_words(text: str) -> JsonObject:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise WrongFault(f"'{text}' cannot be read: {error}. A rule is {FORM}.") from error
    head, options = words[:HEAD_LENGTH], words[HEAD_LENGTH:]
    if len(head) < HEAD_LENGTH:
        raise WrongFault(f"'{text}' is no rule. A rule is {FORM}.")
    named: JsonObject = {"on": " ".join(head[:2]), "fault": head[2]}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise WrongFault(f"'{option}' in '{text}' is not NAME=VALUE. A rule is {FORM}.")
        named[name.replace("-", "_")] = _value_of(value)
    return named


def _value_of(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _requests(given: object) -> Requests:
    method, _, path = given.partition(" ") if isinstance(given, str) else ("", "", "")
    if not path:
        message = f"'on' says which requests are struck, as in 'POST /v1/responses', not {given!r}."
        raise WrongFault(message)
    return Requests(method, path.strip())


def _values(owner: type, given: Mapping[str, object], kind: str) -> dict[str, Any]:
    known = {field.name: field for field in fields(owner)}
    for name in given:
        if name not in known:
            own = "; ".join(options_of(KINDS[kind])) or "nothing"
            rules = ", ".join(field.name for field in OF_EVERY_RULE)
            message = f"'{kind}' takes no '{name}'. It takes {own}. Every rule takes {rules}."
            raise WrongFault(message)
    for name, field in known.items():
        is_needed = field.default is MISSING and owner is not FaultRule
        if is_needed and name not in given:
            raise WrongFault(f"'{kind}' needs {_option(owner, field)}.")
    hints = get_type_hints(owner)
    return {name: _checked(name, value, hints[name]) for name, value in given.items()}


def _checked(name: str, value: object, hint: Any) -> object:
    kinds = get_args(hint) or (hint,)
    if value is None and NoneType in kinds:
        return None
    for kind in kinds:
        if issubclass(kind, StrEnum) and isinstance(value, str) and value in set(kind):
            return kind(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind is float and is_number:
            return value
        if kind in {int, bool, str} and type(value) is kind:
            return value
    raise WrongFault(f"'{name}' takes {_taken_by(hint)}, not {json.dumps(value)}.")


def _option(owner: type, field: "Field[Any]") -> str:
    return f"{field.name} ({_taken_by(get_type_hints(owner)[field.name])})"


def _taken_by(hint: Any) -> str:
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    return " or ".join(_takes(kind) for kind in kinds)


def _takes(kind: Any) -> str:
    if issubclass(kind, StrEnum):
        return " or ".join(kind)
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[kind]

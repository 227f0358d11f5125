"""Process variables on the wire: typed values in and out, and what holds a long answer."""

import base64
import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from dadm.adapters.engines.external_task.java_values import NotJsonLike, read_java_value
from dadm.adapters.engines.external_task.refusals import Refusal
from dadm.domain.json import JsonObject, JsonValue

LONGEST_STRING = 4000
"""UTF-16 units that an engine's database holds as a String."""

SHORTEST_LIMIT = 1000
"""The limit where a database counts bytes and a unit may have four."""

LARGEST_INTEGER, LARGEST_LONG = 2**31 - 1, 2**63 - 1
JSON_FORMAT, JAVA_FORMAT = "application/json", "application/x-java-serialized-object"
LOGGER = logging.getLogger(__name__)


class Unreadable(Exception):
    """The value is of a kind that a prompt cannot show."""


def read_variables(typed: Mapping[str, Any]) -> JsonObject:
    """Read the values of a task's variables; those that cannot be read are left out.

    A file gives its name and type, bytes give their text. No value, however odd, keeps a task
    from being worked that the engine has already handed out.
    """
    found: dict[str, JsonValue] = {}
    for name, value in typed.items():
        try:
            found[name] = _read(value)
        except (Unreadable, NotJsonLike) as error:
            LOGGER.debug("Variable %s is left out: %s", name, error)
    return found


def _read(typed: Any) -> JsonValue:
    if not isinstance(typed, dict):
        raise Unreadable("it is no typed value")
    kind, value = str(typed.get("type") or ""), typed.get("value")
    about = typed.get("valueInfo") or {}
    match kind.lower():
        case "file":
            return {key: about[key] for key in ("filename", "mimeType") if key in about}
        case _ if value is None or isinstance(value, bool | int | float):
            return value
        case "bytes":
            return _text_in(value)
        case "json":
            return _json_in(value)
        case "object":
            return _object(value, str(about.get("serializationDataFormat", "")))
        case _ if isinstance(value, str):
            return value
        case _:
            raise Unreadable(f"it is of type {kind!r}")


def _object(value: Any, form: str) -> JsonValue:
    match form:
        case _ if form == JSON_FORMAT:
            return _json_in(value)
        case _ if form == JAVA_FORMAT:
            return read_java_value(_bytes_in(value))
        case _:
            raise Unreadable(f"it is serialised as {form!r}")


def _bytes_in(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError) as error:
        raise Unreadable("its bytes are no base64") from error


def _text_in(value: Any) -> str:
    try:
        return _bytes_in(value).decode()
    except UnicodeDecodeError as error:
        raise Unreadable("its bytes are no text") from error


def _json_in(value: Any) -> JsonValue:
    try:
        read: JsonValue = json.loads(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unreadable("it is no JSON") from error
    return read


class VariableWriting:
    """Writes values for one engine, and learns from its refusals what it takes.

    A text is a String as long as that holds it. A longer one is Json where the engine has that
    type, else Bytes (UTF-8), the one type of every engine that holds a long text and travels with
    a task. Lists and objects are Json too, else what the engine makes of plain JSON: Java lists
    and maps, which expressions of the process can read.
    """

    def __init__(self) -> None:
        """Expect a complete engine until it says otherwise."""
        self._has_json = True
        self._limit = LONGEST_STRING

    def write(self, variables: JsonObject) -> dict[str, Any]:
        """Give the typed values as a request carries them."""
        return {name: self._typed(value) for name, value in variables.items()}

    def learn(self, refusal: Refusal, variables: JsonObject) -> bool:
        """Say whether to write `variables` again, otherwise than they were just refused."""
        if self._has_json and "Unsupported value type 'Json'" in refusal.message:
            self._has_json = False
            return True
        if not refusal.is_too_long or self._limit == SHORTEST_LIMIT:
            return False
        self._limit = SHORTEST_LIMIT
        return any(
            isinstance(value, str) and _units(value) > SHORTEST_LIMIT
            for value in variables.values()
        )

    def _typed(self, value: JsonValue) -> dict[str, Any]:
        match value:
            case None:
                return {"value": None, "type": "Null"}
            case bool():
                return {"value": value, "type": "Boolean"}
            case int():
                return _whole_number(value)
            case float():
                is_finite = math.isfinite(value)
                return (
                    {"value": value, "type": "Double"}
                    if is_finite
                    else {"value": str(value), "type": "String"}
                )
            case str():
                return self._text(value)
            case _:
                return self._structured(value)

    def _text(self, text: str) -> dict[str, Any]:
        if _units(text) <= self._limit:
            return {"value": text, "type": "String"}
        if self._has_json:
            return {"value": json.dumps(text), "type": "Json"}
        encoded = base64.b64encode(text.encode("utf-8", "replace"))
        return {"value": encoded.decode(), "type": "Bytes"}

    def _structured(self, value: JsonValue) -> dict[str, Any]:
        try:
            text = json.dumps(value, allow_nan=False)
        except ValueError:
            # Not a number, or infinite: JSON in Python's eyes alone.
            return self._typed(json.dumps(value))
        return {"value": text, "type": "Json"} if self._has_json else {"value": value}


def _whole_number(value: int) -> dict[str, Any]:
    if -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return {"value": value, "type": "Integer"}
    if -LARGEST_LONG <= value <= LARGEST_LONG:
        return {"value": value, "type": "Long"}
    return {"value": str(value), "type": "String"}


def _units(text: str) -> int:
    """Count UTF-16 units, as engines do."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2

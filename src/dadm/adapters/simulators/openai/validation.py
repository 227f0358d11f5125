"""Reads typed values out of a request's JSON, refusing what the API refuses in its own words."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dadm.adapters.simulators.openai import errors
from dadm.adapters.simulators.openai.wire import JsonObject

ID_LENGTH = 64
METADATA_KEYS = 16
METADATA_KEY_LENGTH = 64
METADATA_VALUE_LENGTH = 512
PAGE_DEFAULT = 20
PAGE_MAXIMUM = 100


def only_known(body: Mapping[str, object], known: Collection[str], *, where: str = "") -> None:
    for name in body:
        if name not in known:
            raise errors.unknown_parameter(f"{where}{name}")


def text(body: JsonObject, name: str, *, where: str = "") -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise errors.invalid_type(f"{where}{name}", "a string")
    return value


def required_text(body: JsonObject, name: str, *, where: str = "") -> str:
    value = text(body, name, where=where)
    if value is None:
        raise errors.missing_parameter(f"{where}{name}")
    return value


def short_text(body: JsonObject, name: str, limit: int, *, where: str = "") -> str | None:
    value = text(body, name, where=where)
    if value is not None and len(value) > limit:
        raise errors.string_too_long(f"{where}{name}", len(value), limit)
    return value


def choice(body: JsonObject, name: str, supported: Sequence[str], *, where: str = "") -> str | None:
    value = text(body, name, where=where)
    if value is not None and value not in supported:
        raise errors.invalid_value(f"{where}{name}", value, supported)
    return value


def flag(body: JsonObject, name: str, *, default: bool, where: str = "") -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise errors.invalid_type(f"{where}{name}", "a boolean")
    return value


def whole_number(
    body: JsonObject,
    name: str,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    where: str = "",
) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise errors.invalid_type(f"{where}{name}", "an integer")
    if minimum is not None and value < minimum:
        raise errors.below_minimum(f"{where}{name}", value, minimum)
    if maximum is not None and value > maximum:
        raise errors.above_maximum(f"{where}{name}", value, maximum)
    return value


def number(body: JsonObject, name: str, *, minimum: float, maximum: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise errors.invalid_type(name, "a decimal")
    if value < minimum:
        raise errors.below_minimum(name, value, minimum, whole=False)
    if value > maximum:
        raise errors.above_maximum(name, value, maximum, whole=False)
    return float(value)


def json_object(body: JsonObject, name: str, *, where: str = "") -> JsonObject | None:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise errors.invalid_type(f"{where}{name}", "an object")
    return value


def array(body: JsonObject, name: str, *, where: str = "") -> list[Any] | None:
    value = body.get(name)
    if value is not None and not isinstance(value, list):
        raise errors.invalid_type(f"{where}{name}", "an array")
    return value


def metadata(body: JsonObject) -> dict[str, str]:
    """Read `metadata`; missing or null is an empty map."""
    value = json_object(body, "metadata") or {}
    if len(value) > METADATA_KEYS:
        raise errors.too_many_properties("metadata", len(value), METADATA_KEYS)
    for key, entry in value.items():
        if len(key) > METADATA_KEY_LENGTH:
            raise errors.property_name_too_long("metadata", len(key), METADATA_KEY_LENGTH)
        short_text(value, key, METADATA_VALUE_LENGTH, where="metadata.")
        if entry is None:
            raise errors.invalid_type(f"metadata.{key}", "a string")
    return dict(value)


def identifier(value: str, prefix: str, *, param: str) -> str:
    """Give `value` back if it can be an id of the kind that begins with `prefix`."""
    if len(value) > ID_LENGTH:
        raise errors.string_too_long(param, len(value), ID_LENGTH)
    if not value.startswith(f"{prefix}_"):
        raise errors.malformed_id(param, value, prefix)
    return value


def page_limit(query: Mapping[str, str]) -> int:
    given = query.get("limit")
    if given is None:
        return PAGE_DEFAULT
    try:
        limit = int(given)
    except ValueError as error:
        raise errors.invalid_type("limit", "an integer") from error
    if limit < 1:
        raise errors.below_minimum("limit", limit, 1)
    if limit > PAGE_MAXIMUM:
        raise errors.above_maximum("limit", limit, PAGE_MAXIMUM)
    return limit


def is_descending(query: Mapping[str, str]) -> bool:
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise errors.invalid_value("order", order, ("asc", "desc"))
    return order == "desc"

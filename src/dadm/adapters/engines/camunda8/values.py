"""Variables as a broker of Camunda 8 can hold them."""

from collections.abc import Mapping, Sequence

from dadm.domain.json import JsonObject, JsonValue

LEAST, MOST = -(2**63), 2**63 - 1
"""The whole numbers that the broker has a type for; it refuses a report with others."""


def storable(variables: JsonObject) -> dict[str, JsonValue]:
    """Give variables to send: whole numbers that the broker cannot hold are told by their digits."""
    return {name: _storable(value) for name, value in variables.items()}


def _storable(value: JsonValue) -> JsonValue:
    match value:
        case bool() | str():
            return value
        case int():
            return value if LEAST <= value <= MOST else str(value)
        case Mapping():
            return storable(value)
        case Sequence():
            return [_storable(each) for each in value]
        case _:
            return value

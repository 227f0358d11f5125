"""JSON values and the one digest of them that DADM compares contents by."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
JsonObject: TypeAlias = Mapping[str, JsonValue]


def canonical_json(value: JsonValue) -> str:
    """Write `value` so that equal values give equal text: sorted keys, no spaces, no escapes."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest_of(value: JsonValue) -> str:
    """Give 32 hexadecimal digits that stand for `value`; equal values give equal digits."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=16).hexdigest()

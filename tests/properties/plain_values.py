"""What a store gave, written so that two stores can be compared."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dadm.domain.thread import Generation, Thread
from dadm.domain.turn import Attempt, Turn
from dadm.ports.audit import AuditEntry
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.store_values import Lease, Queued

# Numbers that each store gives as it likes.
OWN_NUMBERS: Mapping[type, Mapping[str, str]] = {
    Thread: {"ref": "thread"},
    Generation: {"thread": "thread"},
    Lease: {"thread": "thread"},
    Turn: {"ref": "turn", "thread": "thread"},
    Queued: {"turn": "turn"},
    Attempt: {"ref": "attempt", "turn": "turn"},
    AuditEntry: {"position": "position", "thread": "thread", "turn": "turn"},
    ErasureReceipt: {"thread": "thread"},
}


class PlainValues:
    """Replaces a store's own numbers by the order in which they were first seen, times by a mark."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], int] = {}

    def of(self, value: Any) -> Any:
        match value:
            case datetime():
                plain: Any = "some time"
            case float():
                plain = "some while" if value > 0 else 0
            case list() | tuple():
                plain = [self.of(part) for part in value]
            case Mapping():
                plain = {str(key): self.of(part) for key, part in value.items() if part != 0}
            case Exception():
                plain = type(value).__name__
            case _ if dataclasses.is_dataclass(value):
                plain = [type(value).__name__, self._fields(value)]
            case _:
                plain = value
        return plain

    def _fields(self, value: Any) -> dict[str, Any]:
        return {field.name: self._field(value, field.name) for field in dataclasses.fields(value)}

    def _field(self, owner: Any, name: str) -> Any:
        value = getattr(owner, name)
        kind = OWN_NUMBERS.get(type(owner), {}).get(name)
        return self.of(value) if kind is None or value is None else self.number(kind, value)

    def number(self, kind: str, value: int) -> int:
        return self._seen.setdefault((kind, value), len(self._seen))

"""Record: what happened in a run, in order, and which faults struck whom."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

from dadm.domain.thread import ThreadKey
from dadm.domain.turn import TurnKey
from dadm.ports.observer import Event
from dadm.ports.store_values import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something went wrong.

    `replica` is "" where it struck no single one; `about` is the task, scope, thread number or
    conversation it struck, whichever was known, "" where it may have struck any.
    """

    at: float
    kind: str
    replica: str = ""
    about: str = ""


class Record:
    """The event log. Entries hold what was given; they become text only when they are read."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Note each entry's time by `now`."""
        self.now = now
        self._entries: list[tuple[float, str, str, tuple[Any, ...]]] = []
        self.faults: list[Fault] = []
        self.told: list[tuple[float, str, Event]] = []

    def note(self, who: str, what: str, *details: Any) -> None:
        """Note that `who` did `what`."""
        self._entries.append((self.now(), who, what, details))

    def strike(self, kind: str, *, replica: str = "", about: str = "") -> None:
        """Note that a fault struck."""
        fault = Fault(at=self.now(), kind=kind, replica=replica, about=about)
        self.faults.append(fault)
        self.note(replica or "weather", f"! {kind}", about)

    def tell(self, replica: str, event: Event) -> None:
        """Note what a replica told its observer."""
        self.told.append((self.now(), replica, event))
        self.note(replica, "tells", event)

    def lines(self) -> list[str]:
        """Give the log as text, one line for each entry."""
        return [
            f"{at:10.3f} {who:<9} {what} {' '.join(shown(detail) for detail in details)}".rstrip()
            for at, who, what, details in self._entries
        ]


def shown(detail: Any) -> str:
    """Write a detail so that it reads well and is the same in every process."""
    match detail:
        case str() if detail and "\n" not in detail:
            text = detail
        case BaseException():
            text = f"{type(detail).__name__}({detail})"
        case Lease():
            text = f"lease({detail.owner} #{detail.fence} of {detail.thread})"
        case TurnKey() | ThreadKey():
            text = ":".join(getattr(detail, each.name) for each in fields(detail)[2:])
        case StrEnum():
            text = detail.value
        case frozenset():
            text = f"{{{', '.join(sorted(shown(each) for each in detail))}}}"
        case tuple() | list():
            text = f"[{', '.join(shown(each) for each in detail)}]"
        case _ if is_dataclass(detail):
            said = ((each.name, getattr(detail, each.name)) for each in fields(detail))
            inside = ", ".join(f"{name}={shown(value)}" for name, value in said if value)
            text = f"{type(detail).__name__}({inside})"
        case _:
            text = repr(detail)
    return text

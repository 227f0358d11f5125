"""Which variables a job's task needs, so that no others are asked for.

The broker hands out no job with more than 4 MB of variables, but makes it an incident: a request had
better name those that it wants.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dadm.domain.prompt import variables_named
from dadm.domain.task import Selecting, VariableSelection

NOTHING = "dadm:none"
"""A name that no variable has (FEEL allows none with a colon): asked for where none is needed."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Names of variables; `is_all` where a model wants every one that is visible."""

    names: frozenset[str] = frozenset()
    is_all: bool = False

    def __or__(self, other: "Needs") -> "Needs":
        """Give what both need."""
        return Needs(self.names | other.names, self.is_all or other.is_all)

    def covers(self, other: "Needs") -> bool:
        """Whether whoever gets this misses nothing of `other`."""
        return self.is_all or (not other.is_all and other.names <= self.names)

    def written(self) -> list[str] | None:
        """Give the names to ask for, None for all."""
        return None if self.is_all else sorted(self.names) or [NOTHING]


def needs_of(headers: Mapping[str, str], prompt: str, mapped: tuple[str, ...] | None) -> Needs:
    """Give what a task needs: what its prompt names, what is mapped in, what `variables` lists.

    `variables` may be `all` or `changed` as well: then it is what is mapped in, and where nothing
    is, or no model tells it, everything. Names cannot be sent then, for there is no call that gives
    those of a job before it is taken.
    """
    named = variables_named(prompt)
    written = headers.get("variables", "")
    selection = VariableSelection.parse(written)
    match selection.selecting:
        case Selecting.LISTED:
            named |= set(selection.names)
        case Selecting.ALL | Selecting.CHANGED if written.strip() and mapped is None:
            return Needs(is_all=True)
        case Selecting.ALL | Selecting.CHANGED:
            named |= set(mapped or ())
        case Selecting.NONE:
            pass
    return Needs(named)

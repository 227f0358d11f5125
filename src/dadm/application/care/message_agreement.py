"""Which kept messages are which wanted ones, and what became of those that are none."""

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

from dadm.domain.transcript import Message, Role, as_stored, is_same
from dadm.ports.backend import KeptMessage

EDIT_COST = 4
"""What an edit costs; an answer in parts costs 1 for each part but the first."""


class Edit(StrEnum):
    """What became of a message."""

    CHANGED = "changed"
    LOST = "lost"
    ADDED = "added"


def agreement(wanted: Message, kept: Sequence[KeptMessage], start: int) -> int:
    """Say how many messages from `start` on are `wanted`, 0 if they are not.

    A question is one message. An answer is one or several that were joined by an empty line,
    the model's remarks on its way to it not counted.
    """
    if start >= len(kept):
        return 0
    if wanted.role is not Role.ASSISTANT:
        found = kept[start].message
        return int(found.role is wanted.role and is_same(found.text, wanted.text))
    rest = as_stored(wanted.text)
    for place in range(start, len(kept)):
        found = kept[place].message
        if found.role is not Role.ASSISTANT:
            return 0
        text = as_stored(found.text)
        if is_same(text, rest):
            return place - start + 1
        if text:
            rest = rest.removeprefix(f"{text}\n\n")
    return 0


def edits(wanted: Sequence[Message], kept: Sequence[KeptMessage]) -> list[Edit]:
    """Say what became of the first messages, up to the next one that is as it was.

    Of all the ways in which one row can have become the other, one with the fewest edits is taken,
    and of those one where the fewest answers are in parts.
    """
    alignment = _Alignment(wanted, kept)
    found: list[Edit] = []
    i = j = 0
    while i < len(wanted) and j < len(kept):
        edit = alignment.best(i, j)
        if edit is None:
            break
        found.append(edit)
        i += edit is not Edit.ADDED
        j += edit is not Edit.LOST
    return found


class _Alignment:
    """Counts, for each pair of places, what it costs to make one row of the other from there on."""

    def __init__(self, wanted: Sequence[Message], kept: Sequence[KeptMessage]) -> None:
        self._wanted = wanted
        self._kept = kept
        rows, columns = len(wanted), len(kept)
        self._costs = [
            [EDIT_COST * (rows - i + columns - j) for j in range(columns + 1)]
            for i in range(rows + 1)
        ]
        for i in reversed(range(rows)):
            for j in reversed(range(columns)):
                agreed = self._agreed(i, j)
                cheapest = min(self._cost(each, i, j) for each in Edit)
                self._costs[i][j] = cheapest if agreed is None else min(agreed, cheapest)

    def best(self, i: int, j: int) -> Edit | None:
        """Give the edit to begin with, None where the two messages are to be taken for the same."""
        edit = min(Edit, key=lambda edit: self._cost(edit, i, j))
        agreed = self._agreed(i, j)
        return edit if agreed is None or agreed > self._cost(edit, i, j) else None

    def _agreed(self, i: int, j: int) -> int | None:
        length = agreement(self._wanted[i], self._kept, j)
        return length - 1 + self._costs[i + 1][j + length] if length else None

    def _cost(self, edit: Edit, i: int, j: int) -> int:
        match edit:
            case Edit.CHANGED:
                # One message does not become one of another role: that is a loss and an addition.
                is_alike = self._wanted[i].role is self._kept[j].message.role
                return EDIT_COST * (1 if is_alike else 2) + self._costs[i + 1][j + 1]
            case Edit.LOST:
                return EDIT_COST + self._costs[i + 1][j]
            case Edit.ADDED:
                return EDIT_COST + self._costs[i][j + 1]
            case _:
                assert_never(edit)

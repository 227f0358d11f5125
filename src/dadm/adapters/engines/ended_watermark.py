"""EndedWatermark: the ends of process instances, read from an engine's history behind a watermark."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from dadm.ports.engine import EndedInstance

PLACES = 1000
"""Instances that may end within one millisecond and be told apart by their place in it."""

OVERLAP = timedelta(minutes=5)
"""How long after its end an instance may become visible: it is written later than its time says."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_OVERLAPPING = OVERLAP // _MILLISECOND * PLACES

Pages: TypeAlias = Callable[[datetime], AsyncGenerator[Sequence[EndedInstance], None]]
"""Reads page by page, by their ends, the instances that ended at a time or later.

Their positions are those that `position_of` gives to their ends. No page is read that nobody takes.
"""


class EndedWatermark:
    """Tells which instances ended, from a time on, in the order of their ends.

    A position is the millisecond of the end and a place within it, the same for every reader. An
    instance that becomes visible behind what was told already is given a position at the end, so
    that it is told as well. Nothing is dropped in the engine: `forget_ended` moves where this
    reader begins.
    """

    def __init__(self, pages: Pages, *, since: datetime | None = None) -> None:
        """Read `pages` of what ended after `since`, or behind what is forgotten."""
        self._pages = pages
        self._since = position_of(since) if since else 0
        self._forgotten = 0
        self._is_first = True
        self._told: dict[str, int] = {}
        self._moved: dict[str, int] = {}
        self._last = 0

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Give instances that ended, in the order they became known, behind position `after`.

        Raises:
            EngineUnavailable: The engine does not answer, or will not tell.
        """
        begin = max(after, self._forgotten or self._since)
        found = await self._read(begin, limit)
        if self._is_first:
            # What lies before the beginning is not late but told, to whoever was here before.
            self._told = {
                each.instance_id: each.position for each in found if each.position <= begin
            }
            self._is_first = False
        placed = [self._placed(each, begin) for each in found]
        told = sorted(
            (each for each in placed if each.position > begin), key=lambda each: each.position
        )[:limit]
        for each in told:
            self._told.setdefault(each.instance_id, each.position)
            self._last = max(self._last, each.position)
        self._forget_old(begin - 2 * _OVERLAPPING)
        return tuple(told)

    async def forget_ended(self, *, up_to: int) -> None:
        """Begin behind that position from now on."""
        self._forgotten = max(self._forgotten, up_to)

    def _placed(self, ended: EndedInstance, begin: int) -> EndedInstance:
        """Give a late instance a position behind all others."""
        name = ended.instance_id
        if ended.position <= begin and name not in self._told and name not in self._moved:
            self._last = max(self._last, begin) + 1
            self._moved[name] = self._last
        return replace(ended, position=self._moved.get(name, ended.position))

    def _forget_old(self, before: int) -> None:
        for known in (self._told, self._moved):
            for name in [name for name, position in known.items() if position < before]:
                del known[name]

    async def _read(self, begin: int, limit: int) -> list[EndedInstance]:
        """Read from a while before `begin` until `limit` instances lie behind it, or to the end."""
        found: list[EndedInstance] = []
        since = max(0, begin - _OVERLAPPING) // PLACES
        async with aclosing(self._pages(_EPOCH + since * _MILLISECOND)) as pages:
            async for page in pages:
                found += page
                if sum(each.position > begin for each in found) >= limit:
                    break
        return _with_places(found)


def position_of(ended_at: datetime) -> int:
    """Give the position of an end that is the first of its millisecond."""
    return (ended_at - _EPOCH) // _MILLISECOND * PLACES


def _with_places(found: list[EndedInstance]) -> list[EndedInstance]:
    """Tell apart, by their place, those that ended within one millisecond."""
    placed: list[EndedInstance] = []
    before = -1
    for each in found:
        is_same = each.position == before
        before = each.position
        placed.append(replace(each, position=placed[-1].position + 1) if is_same else each)
    return placed

"""EngineHistory: the ends of process instances, read from the engine's history behind a watermark."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dadm.adapters.engines.external_task.connection import EngineConnection
from dadm.adapters.engines.external_task.refusals import Refused
from dadm.domain.errors import EngineUnavailable
from dadm.domain.json import JsonObject
from dadm.ports.engine import EndedInstance, InstanceState

PLACES = 1000
"""Instances that may end within one millisecond and be told apart by their place in it."""

OVERLAP = timedelta(minutes=5)
"""How long after its end an instance may become visible: the time is set before the commit."""

PAGE = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_OVERLAPPING = OVERLAP // _MILLISECOND * PLACES


class EngineHistory:
    """Tells which instances ended, from a time on, in the order of their ends.

    A position is the millisecond of the end and a place within it, the same for every reader. An
    instance that becomes visible behind what was told already is given a position at the end, so
    that it is told as well. Nothing is dropped in the engine: `forget_ended` moves where this
    reader begins.
    """

    def __init__(self, connection: EngineConnection, *, since: datetime | None = None) -> None:
        """Read over `connection` what ended after `since`, or behind what is forgotten."""
        self._connection = connection
        self._since = _position(since) if since else 0
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
        rows = await self._read(begin, limit)
        if self._is_first:
            # What lies before the beginning is not late but told, to whoever was here before.
            self._told = {
                each.instance_id: each.position for each in rows if each.position <= begin
            }
            self._is_first = False
        placed = [self._placed(each, begin) for each in rows]
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

    async def instance_states(self, instance_ids: Collection[str]) -> dict[str, InstanceState]:
        """Give the state of each of these instances that the engine knows.

        Its history has those that run too, unless it keeps none: who is not in it is looked for
        among those.

        Raises:
            EngineUnavailable: The engine does not answer, or will not tell.
        """
        ids = sorted(instance_ids)
        known: dict[str, InstanceState] = {}
        for start in range(0, len(ids), PAGE):
            some = ids[start : start + PAGE]
            known |= {row["id"]: _state(row) for row in await self._named("/history", some)}
            if others := [each for each in some if each not in known]:
                running = await self._named("", others)
                known |= {row["id"]: InstanceState.ACTIVE for row in running}
        return known

    async def _named(self, among: str, ids: list[str]) -> list[dict[str, Any]]:
        path = f"{among}/process-instance?firstResult=0&maxResults={PAGE}"
        return await self._post(path, {"processInstanceIds": [*ids]})

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
        while True:
            page = await self._page(since, len(found))
            found += [_ended(row) for row in page]
            behind = sum(_position(each.ended_at) > begin for each in found)
            if len(page) < PAGE or behind >= limit:
                return _with_places(found)

    async def _page(self, since: int, first: int) -> list[dict[str, Any]]:
        body: JsonObject = {
            "finished": True,
            # Inclusive, and in this form alone.
            "finishedAfter": _written(since),
            "sorting": [
                {"sortBy": "endTime", "sortOrder": "asc"},
                {"sortBy": "instanceId", "sortOrder": "asc"},
            ],
        }
        return await self._post(
            f"/history/process-instance?firstResult={first}&maxResults={PAGE}", body
        )

    async def _post(self, path: str, body: JsonObject) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = await self._connection.post(path, body)
        except Refused as refused:
            msg = f"The engine does not tell which instances ended: {refused.refusal.message}"
            raise EngineUnavailable(msg) from refused
        return rows


def _ended(row: dict[str, Any]) -> EndedInstance:
    ended_at = datetime.fromisoformat(row["endTime"])
    return EndedInstance(
        position=_position(ended_at),
        instance_id=row["id"],
        tenant=row.get("tenantId") or "",
        state=_state(row),
        ended_at=ended_at,
    )


def _state(row: dict[str, Any]) -> InstanceState:
    if not row.get("endTime"):
        return InstanceState.ACTIVE
    if row.get("state") == "COMPLETED":
        return InstanceState.COMPLETED
    return InstanceState.CANCELLED


def _with_places(found: list[EndedInstance]) -> list[EndedInstance]:
    """Tell apart, by their place, those that ended within one millisecond."""
    placed: list[EndedInstance] = []
    for each in found:
        same = bool(placed) and placed[-1].ended_at == each.ended_at
        placed.append(replace(each, position=placed[-1].position + 1) if same else each)
    return placed


def _position(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND * PLACES


def _written(milliseconds: int) -> str:
    at = _EPOCH + milliseconds * _MILLISECOND
    return f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}+0000"

"""EngineHistory: what became of process instances, read from the engine's history."""

from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import datetime
from typing import Any

from dadm.adapters.engines.ended_watermark import EndedWatermark, position_of
from dadm.adapters.engines.external_task.connection import EngineConnection
from dadm.adapters.engines.external_task.refusals import Refused
from dadm.adapters.engines.replied_rows import read_each
from dadm.domain.errors import EngineUnavailable
from dadm.domain.json import JsonObject
from dadm.ports.engine import EndedInstance, InstanceState

PAGE = 500
WANTED = "process instances"


class EngineHistory(EndedWatermark):
    """Tells ends and states; the engine's own history is all that is asked."""

    def __init__(self, connection: EngineConnection, *, since: datetime | None = None) -> None:
        """Read over `connection` what ended after `since`, or behind what is forgotten."""
        super().__init__(self._ended_since, since=since)
        self._connection = connection

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
            known |= read_each(await self._named("/history", some), _known, of=WANTED)
            if others := [each for each in some if each not in known]:
                running = await self._named("", others)
                known |= read_each(running, _running, of=WANTED)
        return known

    async def _named(self, among: str, ids: list[str]) -> Any:
        path = f"{among}/process-instance?firstResult=0&maxResults={PAGE}"
        return await self._post(path, {"processInstanceIds": [*ids]})

    async def _ended_since(self, since: datetime) -> AsyncGenerator[Sequence[EndedInstance], None]:
        first = 0
        while True:
            page = read_each(await self._page(since, first), _ended, of=WANTED)
            yield page
            if len(page) < PAGE:
                return
            first += PAGE

    async def _page(self, since: datetime, first: int) -> Any:
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

    async def _post(self, path: str, body: JsonObject) -> Any:
        try:
            return await self._connection.post(path, body)
        except Refused as refused:
            msg = f"The engine does not tell which instances ended: {refused.refusal.message}"
            raise EngineUnavailable(msg) from refused


def _ended(row: dict[str, Any]) -> EndedInstance:
    ended_at = datetime.fromisoformat(row["endTime"])
    return EndedInstance(
        position=position_of(ended_at),
        instance_id=row["id"],
        tenant=row.get("tenantId") or "",
        state=_state(row),
        ended_at=ended_at,
    )


def _known(row: dict[str, Any]) -> tuple[str, InstanceState]:
    return row["id"], _state(row)


def _running(row: dict[str, Any]) -> tuple[str, InstanceState]:
    return row["id"], InstanceState.ACTIVE


def _state(row: dict[str, Any]) -> InstanceState:
    if not row.get("endTime"):
        return InstanceState.ACTIVE
    if row.get("state") == "COMPLETED":
        return InstanceState.COMPLETED
    return InstanceState.CANCELLED


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"

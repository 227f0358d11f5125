"""SearchedEnds: what became of instances, by search, where the server has it (8.8 and later)."""

import logging
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from dadm.adapters.engines.camunda8.connection import Camunda8Connection, Refused
from dadm.adapters.engines.camunda8.jobs import NO_TENANT
from dadm.adapters.engines.camunda8.values import MOST
from dadm.adapters.engines.ended_watermark import EndedWatermark, position_of
from dadm.adapters.engines.replied_rows import read_each
from dadm.domain.errors import EngineUnavailable
from dadm.ports.clock import Clock
from dadm.ports.engine import EndedInstance, InstanceState

LOGGER = logging.getLogger(__name__)

PAGE = 500
LONG_KEY = 20
"""Digits that no key has; far more of them are not even read as a number."""
ASK_AGAIN_SECONDS = 3600.0
"""How long a server without search is not asked for it again."""
WANTED = "process instances"
SEARCH = "/process-instances/search"
ENDED: Mapping[str, InstanceState] = {
    "COMPLETED": InstanceState.COMPLETED,
    "TERMINATED": InstanceState.CANCELLED,
}


class SearchedEnds(EndedWatermark):
    """Reads what secondary storage knows, which follows the engine by some seconds.

    Whether the server has search is found by the first question. One without it (before 8.8, or
    without secondary storage) tells no ends here and knows no instance; it is asked again now and
    then, for it may be upgraded, or DADM's user be let in.
    """

    def __init__(
        self, connection: Camunda8Connection, clock: Clock, *, since: datetime | None = None
    ) -> None:
        """Search over `connection` for what ended after `since`, or behind what is forgotten."""
        super().__init__(self._ended_since, since=since)
        self._connection = connection
        self._clock = clock
        self._is_offered = False
        self._ask_at = float("-inf")

    @property
    def is_offered(self) -> bool:
        """Whether the server was found to have search."""
        return self._is_offered

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Give instances that ended, in the order they became known, behind position `after`.

        Raises:
            EngineUnavailable: The engine does not answer, or will not tell.
        """
        if not await self._has_search():
            return ()
        return await super().ended_instances(after=after, limit=limit)

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        """Give the state of each of these instances that secondary storage knows.

        Raises:
            EngineUnavailable: The engine does not answer, or will not tell.
        """
        # What is no key is no instance of this engine, and the whole question would be refused.
        keys = sorted(each for each in instance_ids if _is_key(each))
        known: dict[str, InstanceState] = {}
        if not keys or not await self._has_search():
            return known
        for start in range(0, len(keys), PAGE):
            some = keys[start : start + PAGE]
            body = {"filter": {"processInstanceKey": {"$in": some}}, "page": {"limit": PAGE}}
            rows, _ = await self._page(body)
            known |= read_each(rows, _known, of=WANTED)
        return known

    async def _has_search(self) -> bool:
        if not self._is_offered and self._clock.monotonic() >= self._ask_at:
            try:
                await self._connection.post(SEARCH, {"page": {"limit": 1}})
            except Refused as refused:
                self._ask_at = self._clock.monotonic() + ASK_AGAIN_SECONDS
                if refused.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                    LOGGER.info("The engine does not tell by search what ended: %s", refused.detail)
            else:
                self._is_offered = True
        return self._is_offered

    async def _ended_since(self, since: datetime) -> AsyncGenerator[Sequence[EndedInstance], None]:
        page: dict[str, Any] = {"limit": PAGE}
        while True:
            rows, cursor = await self._page(
                {
                    "filter": {
                        "state": {"$in": sorted(ENDED)},
                        "endDate": {"$gte": _written(since)},
                    },
                    "sort": [
                        {"field": "endDate", "order": "ASC"},
                        {"field": "processInstanceKey", "order": "ASC"},
                    ],
                    "page": page,
                }
            )
            yield read_each(rows, _ended, of=WANTED)
            if len(rows) < PAGE or not cursor:
                return
            page = {"after": cursor, "limit": PAGE}

    async def _page(self, body: Mapping[str, Any]) -> tuple[list[Any], str]:
        try:
            reply = await self._connection.post(SEARCH, body)
        except Refused as refused:
            msg = f"The engine does not tell what became of instances: {refused.detail}"
            raise EngineUnavailable(msg) from refused
        items, page = reply.get("items"), reply.get("page")
        cursor = page.get("endCursor") if isinstance(page, dict) else None
        return items if isinstance(items, list) else [], cursor or ""


def _ended(row: Mapping[str, Any]) -> EndedInstance:
    ended_at = datetime.fromisoformat(row["endDate"])
    tenant = row.get("tenantId") or ""
    return EndedInstance(
        position=position_of(ended_at),
        instance_id=str(row["processInstanceKey"]),
        tenant="" if tenant == NO_TENANT else tenant,
        state=_state(row),
        ended_at=ended_at,
    )


def _is_key(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < LONG_KEY and int(text) <= MOST


def _known(row: Mapping[str, Any]) -> tuple[str, InstanceState]:
    return str(row["processInstanceKey"]), _state(row)


def _state(row: Mapping[str, Any]) -> InstanceState:
    return ENDED.get(row.get("state", ""), InstanceState.ACTIVE)


def _written(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"

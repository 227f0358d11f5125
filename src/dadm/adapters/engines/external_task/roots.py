"""Roots: which process instance is at the root of a chain of calls."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dadm.adapters.engines.external_task.connection import EngineConnection
from dadm.adapters.engines.external_task.refusals import Refused
from dadm.adapters.engines.replied_rows import read_each
from dadm.domain.errors import EngineUnavailable

MOST_KEPT = 10_000
"""Instances whose roots are remembered; those of others are asked for again."""


class Roots:
    """Asks the engine's history once per instance; the answer never changes.

    Asking who called whom, level by level, would need no history. But an engine that checks
    permissions answers that question as if nobody had called, and a wrong root is a wrong thread.
    """

    def __init__(self, connection: EngineConnection) -> None:
        """Ask over `connection`."""
        self._connection = connection
        self._kept: OrderedDict[str, str] = OrderedDict()

    async def root_of(self, instance_id: str) -> str | None:
        """Give the root of an instance, itself where nobody called it; None where it is not told.

        Raises:
            EngineUnavailable: The engine does not answer.
        """
        if instance_id not in self._kept:
            try:
                path = f"/history/process-instance/{quote(instance_id, safe='')}"
                reply = await self._connection.get(path)
            except Refused as refused:
                if refused.refusal.is_fault:
                    # It failed at it for now, which says nothing about what it would tell.
                    msg = f"The engine does not tell who called: {refused.refusal.message}"
                    raise EngineUnavailable(msg) from refused
                # No history is kept, or it is not for us to see.
                return None
            (root,) = read_each([reply], _root, of="a process instance")
            if not root:
                return None
            self._kept[instance_id] = root
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return self._kept[instance_id]


def _root(row: Mapping[str, Any]) -> str:
    # An engine too old to tell it leaves it out.
    return str((row["id"] and row.get("rootProcessInstanceId")) or "")

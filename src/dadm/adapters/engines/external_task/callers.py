"""Callers: which errors of a called process whoever called it catches."""

from collections import OrderedDict

from dadm.adapters.engines.external_task.connection import EngineConnection
from dadm.adapters.engines.external_task.library import ModelLibrary
from dadm.adapters.engines.external_task.refusals import Refused

MOST_KEPT = 10_000
"""Instances whose callers are remembered; those of others are asked for again."""

DEEPEST = 50
"""Processes that may have called each other in one chain, as far as is looked."""


class Callers:
    """Asks once per instance who called it, and only of processes that a known model may call."""

    def __init__(self, connection: EngineConnection, library: ModelLibrary) -> None:
        """Ask over `connection`; `library` has the callers' models."""
        self._connection = connection
        self._library = library
        self._kept: OrderedDict[str, frozenset[str]] = OrderedDict()

    async def caught_outside(self, instance_id: str, key: str, *, depth: int = 0) -> frozenset[str]:
        """Give the codes caught by the callers of an instance of the process `key`.

        Where a model calls the process from several places, those that are caught at each.

        Raises:
            EngineUnavailable: The engine does not answer.
        """
        if depth == DEEPEST or not self._library.may_be_called(key):
            return frozenset()
        if instance_id not in self._kept:
            self._kept[instance_id] = await self._asked(instance_id, key, depth)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return self._kept[instance_id]

    async def _asked(self, instance_id: str, key: str, depth: int) -> frozenset[str]:
        try:
            callers = await self._connection.get(
                "/process-instance", subProcessInstance=instance_id
            )
        except Refused:
            # Not for us to see: then nothing is known to be caught, and nothing thrown.
            return frozenset()
        for caller in callers:
            definition_id = str(caller["definitionId"])
            # An id of these engines begins with the key, unless it was too long for the column.
            caller_key = caller.get("definitionKey") or definition_id.partition(":")[0]
            model = await self._library.definition(definition_id, caller_key)
            caught = [call.caught_errors for call in model.calls if call.may_be_of(key)]
            here = frozenset[str]().union(*caught).intersection(*caught)
            return here | await self.caught_outside(str(caller["id"]), caller_key, depth=depth + 1)
        return frozenset()

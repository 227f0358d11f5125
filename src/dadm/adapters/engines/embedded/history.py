"""History: the ends of instances, told until they are forgotten."""

from collections.abc import Collection, Sequence

from dadm.adapters.engines.embedded.stepping import Stepping
from dadm.ports.engine import EndedInstance


class History:
    """Reads the outbox that is written in the transaction that ends an instance."""

    def __init__(self, stepping: Stepping) -> None:
        """Work on `stepping`."""
        self._stepping = stepping

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Give instances that ended, in the order they were recorded, behind position `after`."""
        return await self._stepping.store.ended_instances(after=after, limit=limit)

    async def forget_ended(self, *, up_to: int) -> None:
        """Drop what was handled, up to and including that position."""
        await self._stepping.store.forget_ended(up_to=up_to)

    async def active_process_instances(self, instance_ids: Collection[str]) -> frozenset[str]:
        """Give those of the instances that have not ended."""
        return await self._stepping.store.active_instances(instance_ids)

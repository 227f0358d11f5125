"""History: the ends of instances, told until they are forgotten."""

from collections.abc import Collection, Mapping, Sequence

from dadm.adapters.engines.embedded.stepping import Stepping
from dadm.ports.engine import EndedInstance, InstanceState


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

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        """Give the state of each of these instances that is there."""
        return await self._stepping.store.instance_states(instance_ids)

"""StubEngine: an engine's history with as many waiting instances as one likes, counting requests."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from dadm.ports.engine import EndedInstance, InstanceState

ENGINE_ID = "camunda7"
ENDED_AT = datetime(2030, 1, 1, tzinfo=UTC)


def instance_id(number: int) -> str:
    """Name an instance as long as engines name theirs."""
    return f"{number:08d}-0000-4000-8000-000000000000"


class StubEngine:
    """Answers at once; each call stands for one request to a real engine."""

    def __init__(self) -> None:
        """Let all instances wait that anybody asks about."""
        self.requests = 0
        self._ended: list[EndedInstance] = []

    def end(self, number: int) -> None:
        """Let an instance end."""
        self._ended.append(
            EndedInstance(
                position=len(self._ended) + 1,
                instance_id=instance_id(number),
                tenant="",
                state=InstanceState.COMPLETED,
                ended_at=ENDED_AT,
            )
        )

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Give those that ended."""
        self.requests += 1
        return self._ended[after : after + limit]

    async def forget_ended(self, *, up_to: int) -> None:
        """Do nothing: an engine's history stays, and positions are remembered elsewhere."""

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        """Say that all of them wait."""
        self.requests += 1
        return dict.fromkeys(instance_ids, InstanceState.ACTIVE)

"""ListenedEnds: which instances ended, by listener jobs that are served here."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dadm.adapters.engines.camunda8.connection import Camunda8Connection, Refused
from dadm.adapters.engines.camunda8.jobs import read_jobs
from dadm.adapters.engines.camunda8.needs import NOTHING
from dadm.domain.errors import EngineUnavailable
from dadm.ports.clock import Clock
from dadm.ports.engine import EndedInstance, InstanceState

LISTENER = "dadm.process-ended"
"""The job type of the `end` listener that a model puts on its process."""

HELD = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Told:
    ended: EndedInstance
    job_key: str


class ListenedEnds:
    """Tells ends by listener jobs. The instance stands still until its job is completed.

    That is when the caller has come past its position: it asks for what is behind, or forgets.
    A job that nobody came past is handed out again after its timeout.
    """

    def __init__(self, connection: Camunda8Connection, clock: Clock, worker: str) -> None:
        """Serve jobs over `connection` as `worker`."""
        self._connection = connection
        self._clock = clock
        self._worker = worker
        self._told: list[_Told] = []
        self._last = 0

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Give instances that ended, in the order they were learnt, behind position `after`.

        Raises:
            EngineUnavailable: The engine does not answer.
        """
        await self.forget_ended(up_to=after)
        room = limit - len(self._told)
        if room > 0:
            await self._learn(room)
        return tuple(each.ended for each in self._told)[:limit]

    async def forget_ended(self, *, up_to: int) -> None:
        """Complete the listener jobs of what was handled, so that the instances end."""
        for each in [each for each in self._told if each.ended.position <= up_to]:
            # Cancelled meanwhile, or completed by another replica: it has ended either way.
            with suppress(Refused):
                await self._connection.post(f"/jobs/{each.job_key}/completion", {})
            self._told.remove(each)

    async def _learn(self, most: int) -> None:
        body = {
            "type": LISTENER,
            "worker": self._worker,
            "timeout": int(HELD / timedelta(milliseconds=1)),
            "maxJobsToActivate": most,
            "requestTimeout": -1,
            "fetchVariable": [NOTHING],
        }
        try:
            reply = await self._connection.post("/jobs/activation", body)
        except Refused as refused:
            msg = f"The engine does not tell which instances ended: {refused.detail}"
            raise EngineUnavailable(msg) from refused
        now = self._clock.now()
        for job in read_jobs(reply):
            # One that was told before comes again under another position.
            self._told = [each for each in self._told if each.job_key != job.key]
            self._last = max(self._last + 1, (now - _EPOCH) // timedelta(microseconds=1))
            ended = EndedInstance(
                position=self._last,
                instance_id=job.instance_key,
                tenant=job.tenant_id,
                # A `cancel` listener, which there is from 8.10 on; all others tell a good end.
                state=(
                    InstanceState.CANCELLED
                    if job.listener_event == "CANCEL"
                    else InstanceState.COMPLETED
                ),
                ended_at=now,
            )
            self._told.append(_Told(ended, job.key))

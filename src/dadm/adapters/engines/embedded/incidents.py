"""Incidents: what waits for a person, and how a person lets it go on."""

from collections.abc import Mapping, Sequence

from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.variables import assign
from dadm.adapters.engines.embedded.instances.waits import events, find_identified
from dadm.adapters.engines.embedded.member import Member
from dadm.adapters.engines.embedded.stepping import Stepping
from dadm.domain.errors import EngineRejected, UnknownProcess
from dadm.domain.json import JsonValue
from dadm.ports.engine import EngineIncident


class Incidents:
    """Lists incidents and tries again."""

    def __init__(self, stepping: Stepping) -> None:
        """Work on `stepping`."""
        self._stepping = stepping

    async def incidents(self, *, limit: int = 100) -> Sequence[EngineIncident]:
        """List open incidents, oldest first."""
        return await self._stepping.store.incidents(instance_id=None, limit=limit)

    async def retry_incident(
        self, incident_id: str, *, variables: Mapping[str, JsonValue], retries: int = 3
    ) -> None:
        """Resolve an incident by trying again, with changed variables if any.

        A task is offered to workers again, and a timer comes now; if the process still cannot
        go on behind it, nothing is changed.

        Raises:
            UnknownProcess: There is no such incident.
            EngineRejected: It fails again; the message says why.
        """
        incident = await self._stepping.store.incident(incident_id)
        if incident is None:
            text = f"There is no incident {incident_id!r}."
            raise UnknownProcess(text)
        try:
            if incident.task_id:
                await self._retry_task(incident, variables, retries)
            else:
                await self._retry_here(incident, variables)
        except StepFailed as failure:
            raise EngineRejected(str(failure)) from failure

    async def _retry_task(
        self, incident: EngineIncident, variables: Mapping[str, JsonValue], retries: int
    ) -> None:
        def set_variables(member: Member) -> None:
            task = find_identified(member.tree, incident.task_id)
            if task is not None:
                for name, value in variables.items():
                    assign(task, name, value)

        if retries < 1:
            text = f"An incident is retried at least once; {retries} is no number of retries."
            raise EngineRejected(text)
        if variables:
            await self._stepping.step(incident.instance_id, set_variables)
        await self._stepping.store.retry_task(
            incident.task_id, retries=retries, incident_id=incident.incident_id
        )
        self._stepping.bell.ring()

    async def _retry_here(
        self, incident: EngineIncident, variables: Mapping[str, JsonValue]
    ) -> None:
        def go_on(member: Member) -> None:
            held_up = [
                event for event in events(member.tree) if event.incident_id == incident.incident_id
            ]
            if not held_up:
                text = "No retry can help: no token of the instance can ever move. Cancel it."
                raise EngineRejected(text)
            for event in held_up:
                for name, value in variables.items():
                    assign(event.task, name, value)
                event.happen({})

        await self._stepping.step(incident.instance_id, go_on)

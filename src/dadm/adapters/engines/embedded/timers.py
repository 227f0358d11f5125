"""Timers: what is due happens, and what cannot go on from there becomes an incident."""

import logging

from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.waits import INCIDENT, WaitingEvent, events, next_due
from dadm.adapters.engines.embedded.member import Member
from dadm.adapters.engines.embedded.stepping import Stepping
from dadm.domain.errors import InvalidModel
from dadm.ports.engine import EngineIncident

INSTANCES_AT_ONCE = 100
TIMERS_AT_ONCE = 100
"""Timers of one instance that come in one go, so that one that repeats holds nothing up."""

_log = logging.getLogger(__name__)


class _NotDue(Exception):
    """Another process was quicker, or the timer is gone."""


class Timers:
    """Lets timers come, each in a step of its own."""

    def __init__(self, stepping: Stepping) -> None:
        """Work on `stepping`."""
        self._stepping = stepping

    async def run_due(self) -> int:
        """Let every timer come that is due by the store's clock; give how many did."""
        count = 0
        for instance_id in await self._stepping.store.due_instances(limit=INSTANCES_AT_ONCE):
            try:
                count += await self._run_all_of(instance_id)
            except InvalidModel as error:
                # Deployed by another version of the program; that one lets its timers come.
                _log.warning("cannot run %s: %s", instance_id, error.message)
        return count

    async def _run_all_of(self, instance_id: str) -> int:
        for count in range(TIMERS_AT_ONCE):
            if not await self._run_next(instance_id):
                return count
        return TIMERS_AT_ONCE

    async def _run_next(self, instance_id: str) -> bool:
        """Let the instance's next timer come, if it is due."""
        now = await self._stepping.store.now()
        tried: tuple[object, str] = (None, "")

        def fire(member: Member) -> None:
            nonlocal tried
            event = next_due(member.tree)
            if not member.is_active or event is None or (event.due_at or now) > now:
                raise _NotDue
            tried = identity(event)
            event.happen({})

        try:
            await self._stepping.step(instance_id, fire)
        except _NotDue:
            return False
        except StepFailed as failure:
            return await self._hold_up(instance_id, tried, failure)
        return True

    async def _hold_up(
        self, instance_id: str, event_identity: tuple[object, str], failure: StepFailed
    ) -> bool:
        """Leave an incident at the timer, so that it is not tried again until a person says so."""

        def mark(member: Member) -> None:
            for event in events(member.tree):
                if identity(event) == event_identity and not event.incident_id:
                    incident = EngineIncident(
                        incident_id=self._stepping.identifiers.new_id("incident"),
                        instance_id=member.instance_id,
                        element_id=failure.element_id or event.element.element_id,
                        task_id="",
                        message=str(failure),
                        details=f"timer: {event.element.element_id}",
                        created_at=self._stepping.clock.now(),
                    )
                    event.notes[INCIDENT] = incident.incident_id
                    member.opened.append(incident)
                    return
            raise _NotDue

        try:
            await self._stepping.step(instance_id, mark)
        except _NotDue:
            return False
        return True


def identity(event: WaitingEvent) -> tuple[object, str]:
    """Give what tells an event from all others while its instance stays as it is."""
    return event.task.id, event.element.element_id

"""Runtime: instances are started, looked at, steered by people and messages, and cancelled."""

import json
from collections.abc import Sequence
from functools import partial

from dadm.adapters.engines.embedded.instances.errors import with_errors_named
from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.waits import events, find_identified
from dadm.adapters.engines.embedded.member import WAITING_AT, Member
from dadm.adapters.engines.embedded.models.elements import Message
from dadm.adapters.engines.embedded.stepping import Stepping
from dadm.domain.errors import EngineRejected, EngineUnavailable, UnknownProcess
from dadm.domain.json import JsonObject
from dadm.ports.engine import InstanceState, ProcessInstance, UserTask
from dadm.ports.process_store import StoredInstance

MOST_INCIDENTS = 1000
_ATTEMPTS = 20


class _NotWaiting(Exception):
    """The instance does not wait for the message any more."""


class Runtime:
    """Starts and steers process instances."""

    def __init__(self, stepping: Stepping) -> None:
        """Work on `stepping`."""
        self._stepping = stepping

    async def start(
        self,
        key: str,
        *,
        variables: JsonObject,
        business_key: str = "",
        tenant: str = "",
    ) -> ProcessInstance:
        """Start an instance of the latest version of `key`.

        Raises:
            UnknownProcess: No such process is deployed.
            EngineRejected: It cannot even reach its first wait.
        """
        deployed = await self._stepping.models.latest(key, tenant=tenant)
        if deployed is None:
            known = [
                definition.key
                for definition in await self._stepping.store.definitions(with_running=False)
            ]
            text = f"There is no process {key!r}. Deployed: {', '.join(known) or 'none'}."
            raise UnknownProcess(text)
        family = self._stepping.family()
        try:
            member = family.begin(deployed, variables=variables, business_key=business_key)
            is_saved = await self._stepping.save(family)
        except StepFailed as failure:
            raise EngineRejected(str(failure)) from failure
        if not is_saved:
            text = "The process instance was not saved, for another has its id; repeat."
            raise EngineUnavailable(text)
        return await self.instance(member.instance_id)

    async def instances(
        self, *, state: InstanceState | None = None, limit: int = 100
    ) -> Sequence[ProcessInstance]:
        """List instances, newest first."""
        stored = await self._stepping.store.instances(state=state, limit=limit)
        return tuple([await self._described(instance) for instance in stored])

    async def instance(self, instance_id: str) -> ProcessInstance:
        """Read one instance.

        Raises:
            UnknownProcess: There is no such instance.
        """
        stored = await self._stepping.store.instance(instance_id)
        if stored is None:
            text = f"There is no process instance {instance_id!r}."
            raise UnknownProcess(text)
        return await self._described(stored)

    async def cancel(self, instance_id: str) -> None:
        """End an instance now, with all that called it and all it called.

        Raises:
            UnknownProcess: There is no such instance.
            EngineRejected: It has ended already.
        """
        for _ in range(_ATTEMPTS):
            family = self._stepping.family()
            member = await family.load(instance_id)
            if not member.is_active:
                text = f"The process instance {instance_id} has ended already."
                raise EngineRejected(text)
            await family.cancel(await family.load(member.stored.root_id))
            if await self._stepping.save(family):
                return
        text = f"The process instance {instance_id} is being changed by others; repeat."
        raise EngineUnavailable(text)

    async def user_tasks(self, *, limit: int = 100) -> Sequence[UserTask]:
        """List tasks that wait for people, oldest first."""
        return await self._stepping.store.user_tasks(limit=limit)

    async def complete_user_task(self, task_id: str, *, variables: JsonObject) -> None:
        """Complete a user task.

        Raises:
            UnknownProcess: There is no such task.
            EngineRejected: The process cannot go on from there; nothing is changed.
        """
        unknown = UnknownProcess(f"There is no user task {task_id!r}.")

        def finish(member: Member) -> None:
            found = find_identified(member.tree, task_id)
            if found is None:
                raise unknown
            with_errors_named(found, partial(found.task_spec.finish, found, variables))

        waiting = await self._stepping.store.user_task(task_id)
        if waiting is None:
            raise unknown
        try:
            await self._stepping.step(waiting.instance_id, finish)
        except StepFailed as failure:
            raise EngineRejected(str(failure)) from failure

    async def correlate_message(
        self, name: str, *, instance_id: str = "", variables: JsonObject
    ) -> int:
        """Hand a message to the instances that wait for it, to each once; give how many took it.

        Within an instance the one that has waited longest takes it.

        Raises:
            EngineRejected: Some instances cannot go on with it; they go on waiting, the others
                took it.
        """

        def hand_over(member: Member) -> None:
            for event in events(member.tree):
                if event.element.trigger == Message(name):
                    event.happen(variables)
                    return
            raise _NotWaiting

        count, failures = 0, []
        for waiting in await self._stepping.store.waiting_for_message(
            name, instance_id=instance_id
        ):
            try:
                await self._stepping.step(waiting, hand_over)
                count += 1
            except _NotWaiting:
                continue
            except StepFailed as failure:
                failures.append(f"{waiting}: {failure}")
        if failures:
            text = f"{count} instances took the message; these cannot: {'; '.join(failures)}"
            raise EngineRejected(text)
        return count

    async def _described(self, stored: StoredInstance) -> ProcessInstance:
        content = json.loads(stored.document)
        open_incidents = await self._stepping.store.incidents(
            instance_id=stored.instance_id, limit=MOST_INCIDENTS
        )
        return ProcessInstance(
            instance_id=stored.instance_id,
            definition_id=stored.definition_id,
            definition_key=stored.definition_key,
            business_key=stored.business_key,
            tenant=stored.tenant,
            state=stored.state,
            variables=content["variables"],
            waiting_at=tuple(content["notes"][WAITING_AT]),
            incident_count=len(open_incidents),
            parent_id=stored.parent_id,
            started_at=stored.started_at,
            ended_at=stored.ended_at,
        )

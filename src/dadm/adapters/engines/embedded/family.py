"""Family: the instances that one step changes together, from the caller down to what it called."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime

from dadm.adapters.engines.embedded.instances.activities import CALL, CHILD
from dadm.adapters.engines.embedded.instances.errors import with_errors_named
from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.tree import InstanceTree
from dadm.adapters.engines.embedded.instances.variables import SpiffTask
from dadm.adapters.engines.embedded.instances.waits import calls, is_stuck, waiting_elements
from dadm.adapters.engines.embedded.instances.workflows import StepContext
from dadm.adapters.engines.embedded.library import DeployedModel, ModelLibrary
from dadm.adapters.engines.embedded.member import CAUGHT, STUCK, Member
from dadm.domain.errors import InvalidTask, UnknownProcess
from dadm.domain.json import JsonObject
from dadm.domain.task import refuse_unusable_id
from dadm.ports.clock import Identifiers
from dadm.ports.engine import EngineIncident, InstanceState
from dadm.ports.process_store import InstanceChange, ProcessStore, StoredInstance

DEEPEST_CALL = 50
"""Processes that may have called each other in one chain."""
MOST_MEMBERS = 2000
"""Instances that one step may begin or change."""
MOST_INCIDENTS = 10_000
_DEPTH = "depth"


class Family:
    """One step: instances are loaded or begun, run until they wait, and saved together."""

    def __init__(
        self, store: ProcessStore, models: ModelLibrary, identifiers: Identifiers, now: datetime
    ) -> None:
        """Begin a step that happens at `now`."""
        self._store = store
        self._models = models
        self._identifiers = identifiers
        self.now = now
        self._members: dict[str, Member] = {}
        self._touched: dict[str, Member] = {}
        self._moving: deque[Member] = deque()

    async def load(self, instance_id: str) -> Member:
        """Give an instance as it stands within this step.

        Raises:
            UnknownProcess: There is no such instance.
        """
        if instance_id in self._members:
            return self._members[instance_id]
        stored = await self._store.instance(instance_id)
        if stored is None:
            text = f"There is no process instance {instance_id!r}."
            raise UnknownProcess(text)
        deployed = await self._models.model(stored.definition_id)
        tree = InstanceTree.restore(
            stored.document, deployed.runnable, self._context(stored.business_key)
        )
        member = Member(stored=stored, deployed=deployed, tree=tree)
        member.remember()
        self._members[instance_id] = member
        return member

    def begin(
        self,
        deployed: DeployedModel,
        *,
        variables: JsonObject,
        business_key: str,
        caller: tuple[Member, str] | None = None,
    ) -> Member:
        """Begin an instance, called by an element of another one or by nobody.

        Raises:
            StepFailed: The business key cannot serve as one.
        """
        _refuse_unusable_key(business_key)
        instance_id = self._identifiers.new_id("process")
        definition = deployed.definition
        tree = InstanceTree.begin(deployed.runnable, variables, self._context(business_key))
        above = caller[0] if caller else None
        stored = StoredInstance(
            instance_id=instance_id,
            definition_id=definition.definition_id,
            definition_key=definition.key,
            business_key=business_key,
            tenant=definition.tenant,
            state=InstanceState.ACTIVE,
            revision=0,
            document="",
            parent_id=above.instance_id if above else "",
            parent_task=caller[1] if caller else "",
            root_id=above.stored.root_id if above else instance_id,
            started_at=self.now,
        )
        if caller:
            tree.notes[CAUGHT] = sorted(caller[0].caught_around(caller[1]))
            tree.notes[_DEPTH] = caller[0].tree.notes.get(_DEPTH, 0) + 1
        member = Member(stored=stored, deployed=deployed, tree=tree)
        self._members[instance_id] = member
        self.touch(member)
        return member

    def touch(self, member: Member) -> None:
        """Have an instance run and saved with this step."""
        self._touched[member.instance_id] = member
        self._moving.append(member)

    async def settle(self) -> None:
        """Let everything that was touched run, and whatever that touches in turn.

        Raises:
            StepFailed: A process cannot go on, so the step must not be saved.
        """
        while self._moving:
            member = self._moving.popleft()
            if member.is_active:
                member.tree.run()
                await self._deal_with_error(member)
            if member.is_active:
                await self._begin_calls(member)
                if member.tree.has_ended:
                    member.end(InstanceState.COMPLETED, self.now)
                    await self._tell_caller(member)
                else:
                    self._note_stuck(member)
            await self._end_abandoned(member)
            if len(self._touched) > MOST_MEMBERS:
                text = f"The step would begin or change more than {MOST_MEMBERS} instances."
                raise StepFailed(text)

    async def cancel(self, member: Member) -> None:
        """End an instance and everything it called."""
        if not member.is_active:
            return
        member.end(InstanceState.CANCELLED, self.now)
        self._touched[member.instance_id] = member
        await self._end_abandoned(member)

    async def changes(self) -> Sequence[InstanceChange]:
        """Give all that is to be saved, with the incidents of tasks that are gone closed."""
        for member in self._touched.values():
            gone = member.gone_tasks()
            if gone:
                incidents = await self._store.incidents(
                    instance_id=member.instance_id, limit=MOST_INCIDENTS
                )
                member.closed += [
                    incident.incident_id for incident in incidents if incident.task_id in gone
                ]
        return [member.change() for member in self._touched.values()]

    def _context(self, business_key: str) -> StepContext:
        return StepContext(now=self.now, new_id=self._identifiers.new_id, business_key=business_key)

    async def _begin_calls(self, member: Member) -> None:
        for task in calls(member.tree):
            call = task.internal_data.pop(CALL, None)
            if call is None:
                continue
            element_id = task.task_spec.bpmn_id
            if member.tree.notes.get(_DEPTH, 0) >= DEEPEST_CALL:
                text = f"More than {DEEPEST_CALL} processes have called each other."
                raise StepFailed(text, element_id=element_id)
            deployed = await self._models.latest(call["process"], tenant=member.stored.tenant)
            if deployed is None:
                text = f"{element_id} calls the process {call['process']!r}, which is not deployed."
                raise StepFailed(text, element_id=element_id)
            child = self.begin(
                deployed,
                variables=call["variables"],
                business_key=call["business_key"],
                caller=(member, element_id),
            )
            task.internal_data[CHILD] = child.instance_id

    async def _tell_caller(self, member: Member) -> None:
        """Let the call activity that waits for this instance go on."""
        caller, task = await self._caller_of(member)
        if caller is not None and task is not None:
            with_errors_named(task, lambda: task.task_spec.finish(task, member.tree.variables))
            self.touch(caller)

    async def _deal_with_error(self, member: Member) -> None:
        """Hand an error that nothing in the instance catches to whoever called it."""
        escaped = member.tree.escaped
        if escaped is None:
            return
        caller, task = await self._caller_of(member)
        if caller is None or task is None:
            text = f"{escaped.message} Nothing catches it."
            raise StepFailed(text, element_id=escaped.element_id)
        member.end(InstanceState.CANCELLED, self.now)
        caller.tree.throw(task, escaped.code, escaped.message, escaped.variables)
        self.touch(caller)

    async def _caller_of(self, member: Member) -> tuple[Member | None, SpiffTask | None]:
        if not member.stored.parent_id:
            return None, None
        caller = await self.load(member.stored.parent_id)
        return caller, caller.call_of(member.instance_id) if caller.is_active else None

    async def _end_abandoned(self, member: Member) -> None:
        """Cancel what the instance called and no longer waits for."""
        began = {
            other.instance_id
            for other in self._members.values()
            if other.stored.parent_id == member.instance_id
        }
        for child_id in sorted((member.children_before | began) - member.children()):
            await self.cancel(await self.load(child_id))

    def _note_stuck(self, member: Member) -> None:
        """Leave an incident where nothing can ever move the instance again."""
        notes = member.tree.notes
        if not is_stuck(member.tree):
            if STUCK in notes:
                member.closed.append(notes.pop(STUCK))
        elif STUCK not in notes:
            elements = ", ".join(waiting_elements(member.tree))
            incident = EngineIncident(
                incident_id=self._identifiers.new_id("incident"),
                instance_id=member.instance_id,
                element_id=elements.partition(",")[0],
                task_id="",
                message=(
                    f"The instance waits at {elements} for a token that can never come. "
                    "Mend the model; cancel this instance."
                ),
                details="",
                created_at=self.now,
            )
            notes[STUCK] = incident.incident_id
            member.opened.append(incident)


def _refuse_unusable_key(business_key: str) -> None:
    try:
        refuse_unusable_id("business_key", business_key)
    except InvalidTask as error:
        raise StepFailed(error.message) from error

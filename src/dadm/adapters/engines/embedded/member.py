"""Member: one instance within a step, and what the step saves of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dadm.adapters.engines.embedded.instances.activities import (
    CHILD,
    PRIORITY,
    SINCE,
    TASK_ID,
    PersonTask,
    WorkedTask,
)
from dadm.adapters.engines.embedded.instances.tree import InstanceTree
from dadm.adapters.engines.embedded.instances.variables import SpiffTask
from dadm.adapters.engines.embedded.instances.waits import (
    calls,
    events,
    identified,
    message_names,
    next_due,
    waiting_elements,
)
from dadm.adapters.engines.embedded.library import DeployedModel
from dadm.ports.engine import EngineIncident, InstanceState, UserTask
from dadm.ports.process_store import InstanceChange, MessageWait, StoredInstance, WaitingTask

CAUGHT = "caught"
"""The note of a called instance that lists the error codes its callers catch."""
STUCK = "stuck"
"""The note that holds the incident of an instance that nothing can move any more."""
WAITING_AT = "waiting_at"


@dataclass(slots=True, kw_only=True)
class Member:
    """One instance of a step: how it was found, its tokens, and the incidents that change.

    `clean_tasks` are tasks known to have no incident, so that none need be looked for when
    they are gone.
    """

    stored: StoredInstance
    deployed: DeployedModel
    tree: InstanceTree
    children_before: frozenset[str] = frozenset()
    tasks_before: frozenset[str] = frozenset()
    held_up_before: frozenset[str] = frozenset()
    clean_tasks: set[str] = field(default_factory=set)
    opened: list[EngineIncident] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def remember(self) -> None:
        """Note how the instance was found."""
        self.children_before = self.children()
        self.tasks_before = self.task_ids()
        self.held_up_before = self._held_up()

    @property
    def instance_id(self) -> str:
        """The instance's id."""
        return self.stored.instance_id

    @property
    def is_active(self) -> bool:
        """Whether the instance has not ended."""
        return self.stored.state is InstanceState.ACTIVE

    def end(self, state: InstanceState, now: datetime) -> None:
        """Let the instance be over; what it waited for is gone."""
        self.tree.clear()
        if STUCK in self.tree.notes:
            self.closed.append(self.tree.notes.pop(STUCK))
        self.stored = replace(self.stored, state=state, ended_at=now)

    def children(self) -> frozenset[str]:
        """Give the ids of the instances that it has called and waits for."""
        return frozenset(
            task.internal_data[CHILD] for task in calls(self.tree) if CHILD in task.internal_data
        )

    def call_of(self, child_id: str) -> SpiffTask | None:
        """Find the call activity that waits for a called instance."""
        for task in calls(self.tree):
            if task.internal_data.get(CHILD) == child_id:
                return task
        return None

    def task_ids(self) -> frozenset[str]:
        """Give the ids of the tasks that wait for workers."""
        return frozenset(task.internal_data[TASK_ID] for task in identified(self.tree, WorkedTask))

    def caught_around(self, element_id: str) -> frozenset[str]:
        """Give the error codes caught at an element, here and by whoever called the instance."""
        outside: Sequence[str] = self.tree.notes.get(CAUGHT, ())
        return self.deployed.runnable.model.caught_around(element_id) | frozenset(outside)

    def gone_tasks(self) -> frozenset[str]:
        """Give the tasks that the step took away and that may have had an incident."""
        return self.tasks_before - self.task_ids() - self.clean_tasks

    def change(self) -> InstanceChange:
        """Give what is to be saved."""
        self.closed += self.held_up_before - self._held_up()
        self.tree.notes[WAITING_AT] = waiting_elements(self.tree)
        due = next_due(self.tree)
        return InstanceChange(
            instance=replace(self.stored, document=self.tree.document),
            waiting_tasks=tuple(map(self._waiting_task, identified(self.tree, WorkedTask))),
            user_tasks=tuple(map(self._user_task, identified(self.tree, PersonTask))),
            messages=tuple(
                MessageWait(instance_id=self.instance_id, name=name)
                for name in message_names(self.tree)
            ),
            due_at=None if due is None else due.due_at,
            opened_incidents=tuple(self.opened),
            closed_incidents=tuple(self.closed),
        )

    def _held_up(self) -> frozenset[str]:
        return frozenset(event.incident_id for event in events(self.tree) if event.incident_id)

    def _waiting_task(self, task: SpiffTask) -> WaitingTask:
        element, notes = task.task_spec.element, task.internal_data
        return WaitingTask(
            task_id=notes[TASK_ID],
            instance_id=self.instance_id,
            element_id=element.element_id,
            topic=element.work.topic,
            definition_key=self.stored.definition_key,
            tenant=self.stored.tenant,
            priority=notes.get(PRIORITY, 0),
            retries=element.work.retries,
            available_at=_since(notes),
        )

    def _user_task(self, task: SpiffTask) -> UserTask:
        element, notes = task.task_spec.element, task.internal_data
        return UserTask(
            task_id=notes[TASK_ID],
            instance_id=self.instance_id,
            element_id=element.element_id,
            name=element.name,
            documentation=element.documentation,
            created_at=_since(notes),
        )


def _since(notes: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(notes[SINCE])

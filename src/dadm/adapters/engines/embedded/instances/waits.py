"""What an instance waits for: workers, people, messages, times, and processes it called."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from dadm.adapters.engines.embedded.instances.activities import (
    TASK_ID,
    CallActivity,
    Identified,
)
from dadm.adapters.engines.embedded.instances.errors import with_errors_named
from dadm.adapters.engines.embedded.instances.events import (
    DUE,
    OPTIONS,
    CatchEvent,
    EventGateway,
)
from dadm.adapters.engines.embedded.instances.gateways import JoiningGateway
from dadm.adapters.engines.embedded.instances.nodes import STARTED, WAITING, FlowNode
from dadm.adapters.engines.embedded.instances.tree import InstanceTree
from dadm.adapters.engines.embedded.instances.variables import SpiffTask, apply_result
from dadm.adapters.engines.embedded.models.elements import Element, Message
from dadm.domain.json import JsonValue

INCIDENT = "incident"


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that may happen at a task: its own, or one of an event-based gateway."""

    task: SpiffTask
    element: Element
    notes: dict[str, Any]

    @property
    def due_at(self) -> datetime | None:
        """When its timer comes, None for anything else."""
        due = self.notes.get(DUE)
        return None if due is None else datetime.fromisoformat(due)

    @property
    def incident_id(self) -> str:
        """The incident that keeps it from happening, `""` where there is none."""
        return str(self.notes.get(INCIDENT, ""))

    def happen(self, variables: Mapping[str, JsonValue]) -> None:
        """Let it happen; `variables` is what it brings.

        Raises:
            StepFailed: Its mapping has no value.
        """
        with_errors_named(self.task, lambda: self._happen(variables))

    def _happen(self, variables: Mapping[str, JsonValue]) -> None:
        self.notes.pop(INCIDENT, None)
        apply_result(self.task, self.element, variables)
        node = self.task.task_spec
        if isinstance(node, EventGateway):
            node.choose(self.task, self.element.element_id)
        else:
            node.fire(self.task)


def identified(tree: InstanceTree, kind: type[FlowNode]) -> list[SpiffTask]:
    """Give the tasks that wait for a worker or a person, in the order they began to."""
    return [
        task
        for task in tree.tasks()
        if task.has_state(STARTED) and isinstance(task.task_spec, kind)
    ]


def find_identified(tree: InstanceTree, task_id: str) -> SpiffTask | None:
    """Find the task that the world outside knows by that id."""
    for task in identified(tree, Identified):
        if task.internal_data[TASK_ID] == task_id:
            return task
    return None


def calls(tree: InstanceTree) -> list[SpiffTask]:
    """Give the call activities that wait for the process they called, or are about to call."""
    return identified(tree, CallActivity)


def events(tree: InstanceTree) -> Iterator[WaitingEvent]:
    """Give the events that may happen, oldest first."""
    for task in tree.tasks():
        if not task.has_state(WAITING):
            continue
        node = task.task_spec
        if isinstance(node, CatchEvent):
            yield WaitingEvent(task, node.element, task.internal_data)
        elif isinstance(node, EventGateway):
            options = task.internal_data[OPTIONS]
            for option in node.outputs:
                yield WaitingEvent(task, option.element, options[option.name])


def next_due(tree: InstanceTree) -> WaitingEvent | None:
    """Give the timer that comes next, leaving out those that an incident holds up."""
    timers = [
        (event.due_at, event)
        for event in events(tree)
        if event.due_at is not None and not event.incident_id
    ]
    return min(timers, key=itemgetter(0))[1] if timers else None


def message_names(tree: InstanceTree) -> tuple[str, ...]:
    """Give the names of the messages waited for, each once."""
    names = (
        event.element.trigger.name
        for event in events(tree)
        if isinstance(event.element.trigger, Message)
    )
    return tuple(dict.fromkeys(names))


def waiting_elements(tree: InstanceTree) -> tuple[str, ...]:
    """Name the elements where tokens stand, each once."""
    found: dict[str, None] = {}
    for task in tree.tasks():
        node = task.task_spec
        is_work = task.has_state(STARTED) and isinstance(node, Identified | CallActivity)
        is_event = task.has_state(WAITING) and (
            isinstance(node, EventGateway | JoiningGateway)
            or (isinstance(node, CatchEvent) and not node.element.attached_to)
        )
        if is_work or is_event:
            found[node.bpmn_id] = None
    return tuple(found)


def is_stuck(tree: InstanceTree) -> bool:
    """Whether tokens are left and nothing could ever move one of them."""
    if tree.has_ended or identified(tree, Identified) or calls(tree):
        return False
    return next(events(tree), None) is None

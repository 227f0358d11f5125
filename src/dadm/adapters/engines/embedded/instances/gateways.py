"""Gateways: where tokens part, and where they wait for each other.

A token that waits for others stays a waiting task, so that no second token on the same flow is
lost and a loop through a join starts from nothing each time round.
"""

from typing import Any

from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.nodes import (
    UNFINISHED,
    WAITING,
    FlowNode,
    ProcessSpec,
)
from dadm.adapters.engines.embedded.instances.variables import SpiffTask, visible
from dadm.adapters.engines.embedded.models.elements import Element, Flow

_FROM = "from"
_TAKEN = "taken"


class DecidingGateway(FlowNode):
    """A gateway that evaluates conditions, in the order of the file."""

    def __init__(self, spec: ProcessSpec, element: Element, *, name: str = "") -> None:
        """Begin without ways out; they are added as the flows are connected."""
        super().__init__(spec, element, name=name)
        self._ways: list[tuple[Flow, str]] = []

    def add_way(self, flow: Flow, target: str) -> None:
        """Note that `flow` leads to the node called `target`."""
        self._ways.append((flow, target))

    def ways_out(self, my_task: SpiffTask) -> list[Any]:
        """Give what was decided."""
        return [self._wf_spec.task_specs[name] for name in my_task.internal_data[_TAKEN]]

    def _run_hook(self, my_task: SpiffTask) -> bool:
        seen = visible(my_task)
        taken = [
            name
            for flow, name in self._ways
            if flow.flow_id != self.element.default_flow
            and (flow.condition is None or flow.condition.is_true(seen))
        ]
        if not taken:
            taken = [name for flow, name in self._ways if flow.flow_id == self.element.default_flow]
        if not taken and self._ways:
            message = (
                f"No condition of the gateway {self.bpmn_id} is true and it has no default flow."
            )
            raise StepFailed(message, element_id=self.bpmn_id)
        my_task.internal_data[_TAKEN] = self._chosen(taken)
        return True

    def _chosen(self, taken: list[str]) -> list[str]:
        return taken


class ExclusiveGateway(DecidingGateway):
    """Takes the first way whose condition is true."""

    def _chosen(self, taken: list[str]) -> list[str]:
        return taken[:1]


class JoiningGateway(FlowNode):
    """A gateway where tokens wait for each other."""

    def _update_hook(self, my_task: SpiffTask) -> bool:
        my_task.internal_data.setdefault(_FROM, my_task.parent.task_spec.name)
        if not my_task.has_state(WAITING):
            my_task._set_state(WAITING)
        arrived = self.arrivals(my_task.workflow)
        if {task.internal_data[_FROM] for task in arrived} != set(self._inputs):
            return False
        self._consume(my_task, arrived)
        return True

    def arrivals(self, workflow: Any) -> list[SpiffTask]:
        """Give the tokens that wait here, oldest first."""
        return [
            task
            for task in workflow.tasks.values()
            if task.task_spec is self and task.has_state(WAITING)
        ]

    def _consume(self, my_task: SpiffTask, arrived: list[SpiffTask]) -> None:
        """Make one token of one from each flow; further ones on the same flow go on waiting."""
        used = {my_task.internal_data[_FROM]}
        for task in arrived:
            if task is not my_task and task.internal_data[_FROM] not in used:
                used.add(task.internal_data[_FROM])
                task.cancel()


class ParallelGateway(JoiningGateway):
    """Waits for a token on every flow, then takes every way out."""


class InclusiveGateway(JoiningGateway, DecidingGateway):
    """Waits for every token that may still arrive, then takes all ways whose condition is true."""

    def fire_if_complete(self, workflow: Any) -> bool:
        """Let the tokens that wait here go on, unless another may still arrive."""
        arrived = self.arrivals(workflow)
        if not arrived or self._may_be_reached(workflow):
            return False
        first, *others = arrived
        for task in others:
            task.cancel()
        first._ready()
        return True

    def _may_be_reached(self, workflow: Any) -> bool:
        starts = {
            task.task_spec.name
            for task in workflow.tasks.values()
            if task.has_state(UNFINISHED) and task.task_spec is not self
        }
        return any(self._leads_here(name) for name in starts)

    def _leads_here(self, start: str) -> bool:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            for name in self._wf_spec.task_specs[ahead.pop()]._outputs:
                if name == self.name:
                    return True
                if name not in seen:
                    seen.add(name)
                    ahead.append(name)
        return False

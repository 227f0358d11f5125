"""Activities that wait: for a worker, a person, a called process, or what is inside them."""

from collections.abc import Mapping

from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.nodes import FlowNode
from dadm.adapters.engines.embedded.instances.variables import (
    SpiffTask,
    Variables,
    apply_inputs,
    apply_result,
    assign,
    visible,
)
from dadm.adapters.engines.embedded.models.elements import Carry, Dialect
from dadm.adapters.engines.embedded.models.mappings import OWN_BUSINESS_KEY
from dadm.domain.json import JsonValue

TASK_ID = "task_id"
SINCE = "since"
PRIORITY = "priority"
CALL = "call"
CHILD = "child"
HIGHEST_PRIORITY = 2**31 - 1


class WaitingActivity(FlowNode):
    """An activity that maps its variables in and then waits to be completed from outside."""

    def _run_hook(self, my_task: SpiffTask) -> None:
        apply_inputs(my_task, self.element)
        self.enter(my_task)

    def enter(self, my_task: SpiffTask) -> None:
        """Begin to wait."""

    def finish(self, my_task: SpiffTask, variables: Mapping[str, JsonValue]) -> None:
        """Map variables out and let the token go on."""
        apply_result(my_task, self.element, variables)
        my_task.complete()


class Identified(WaitingActivity):
    """A task that the world outside knows by an id."""

    def enter(self, my_task: SpiffTask) -> None:
        """Give it an id that lasts as long as its work."""
        context = my_task.workflow.top_workflow.context
        my_task.internal_data[TASK_ID] = context.new_id("task")
        my_task.internal_data[SINCE] = context.now.isoformat()


class WorkedTask(Identified):
    """A task for a worker."""

    def enter(self, my_task: SpiffTask) -> None:
        """Settle its priority as well."""
        super().enter(my_task)
        work = self.element.work
        if work is not None and work.priority is not None:
            priority = work.priority.integer(visible(my_task))
            if abs(priority) > HIGHEST_PRIORITY:
                message = f"The priority {priority} of {self.bpmn_id} is beyond all measure."
                raise StepFailed(message, element_id=self.bpmn_id)
            my_task.internal_data[PRIORITY] = priority


class PersonTask(Identified):
    """A task for a person."""


class SubProcess(WaitingActivity):
    """A scope of its own inside the process."""

    def enter(self, my_task: SpiffTask) -> None:
        """Put a token on the start event inside."""
        my_task.workflow.top_workflow.open_scope(my_task)


class CallActivity(WaitingActivity):
    """Another process, started as an instance of its own."""

    def enter(self, my_task: SpiffTask) -> None:
        """Note which process is to be started with what; whoever runs the instance starts it."""
        call = self.element.call
        if call is None:
            return
        seen = visible(my_task)
        business_key = ""
        if call.business_key is not None:
            own = my_task.workflow.top_workflow.context.business_key
            business_key = str(call.business_key.evaluate({**seen, OWN_BUSINESS_KEY: own}))
        given = _carried(call.given, seen)
        if self.element.dialect is Dialect.CAMUNDA_8:
            given |= {name: seen[name] for name in self._mapped_names}
        my_task.internal_data[CALL] = {
            "process": call.process.text(seen),
            "business_key": business_key,
            "variables": given,
        }

    def finish(self, my_task: SpiffTask, variables: Mapping[str, JsonValue]) -> None:
        """Take what the called process leaves and let the token go on."""
        call = self.element.call
        taken = _carried(call.taken, variables) if call else {}
        if self.element.dialect is Dialect.CAMUNDA_8:
            apply_result(my_task, self.element, variables if self.element.outputs else taken)
        else:
            for name, value in taken.items():
                assign(my_task, name, value)
            apply_result(my_task, self.element, {})
        my_task.complete()

    @property
    def _mapped_names(self) -> tuple[str, ...]:
        return tuple(assignment.name for assignment in self.element.inputs or ())


def _carried(carries: tuple[Carry, ...], variables: Mapping[str, JsonValue]) -> Variables:
    """Give what passes between caller and called process, by its name on the other side."""
    carried: Variables = {}
    for carry in carries:
        if carry.value is None:
            carried |= variables
        else:
            carried[carry.target] = carry.value.evaluate(variables)
    return carried

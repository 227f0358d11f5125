"""Flow nodes on SpiffWorkflow: how a token enters, leaves and is taken away.

SpiffWorkflow predicts the tasks ahead of each token, merges data where tokens meet and keeps
every finished task. None of that is used: a node makes its successors when it completes, so
that the tree holds tokens and nothing else.
"""

from typing import Any

from SpiffWorkflow.bpmn.specs import BpmnTaskSpec
from SpiffWorkflow.specs import WorkflowSpec
from SpiffWorkflow.util.task import TaskState

from dadm.adapters.engines.embedded.instances.variables import SpiffTask
from dadm.adapters.engines.embedded.models.elements import Element

UNFINISHED: int = TaskState.NOT_FINISHED_MASK
FUTURE: int = TaskState.FUTURE
WAITING: int = TaskState.WAITING
READY: int = TaskState.READY
STARTED: int = TaskState.STARTED
COMPLETED: int = TaskState.COMPLETED
CANCELLED: int = TaskState.CANCELLED


class ProcessSpec(WorkflowSpec):
    """The nodes of a process or a sub-process. `start` is its start event."""

    def __init__(self, name: str) -> None:
        """Begin without nodes."""
        super().__init__(name=name)
        self.data_objects: dict[str, Any] = {}


class FlowNode(BpmnTaskSpec):
    """One node. As it is, a token passes straight through."""

    def __init__(self, spec: ProcessSpec, element: Element, *, name: str = "") -> None:
        """Make the node of `element`; `name` where it is not the element's id."""
        super().__init__(spec, name or element.element_id)
        self.element = element
        self.bpmn_id = element.element_id

    def has_instance(self, task: SpiffTask) -> bool:
        """Whether this is a multi-instance activity and `task` one of its instances."""
        del task
        return False

    def has_attached(self, task: SpiffTask) -> bool:
        """Whether this holds an activity with its boundary events and `task` is one of them."""
        del task
        return False

    def ways_out(self, my_task: SpiffTask) -> list[Any]:
        """Give the nodes that the token goes on to."""
        del my_task
        return list(self.outputs)

    def test(self) -> None:
        """Models are checked before they are built."""

    def _predict(self, my_task: SpiffTask, *_: Any, **__: Any) -> None:
        """Predict nothing: successors are made when the node completes."""

    def _update(self, my_task: SpiffTask) -> None:
        if self._update_hook(my_task):
            my_task._ready()

    def _update_hook(self, my_task: SpiffTask) -> bool:
        """Say whether a token that has arrived may go on at once."""
        del my_task
        return True

    def _on_complete_hook(self, my_task: SpiffTask) -> None:
        holder = my_task.parent
        if holder is not None and holder.task_spec.has_attached(my_task):
            holder.task_spec.attached_completed(holder, my_task)
        if holder is not None and holder.task_spec.has_instance(my_task):
            holder.task_spec.instance_completed(holder, my_task)
        my_task._sync_children(self.ways_out(my_task), FUTURE)

    def _on_cancel(self, my_task: SpiffTask) -> None:
        my_task.workflow.top_workflow.forget_scope(my_task)


class WithEvents(FlowNode):
    """An activity together with the boundary events attached to it.

    A token that arrives starts the activity and arms the events. When the activity completes,
    its events are disarmed; an interrupting event takes the activity and the other events away.
    """

    def __init__(self, spec: ProcessSpec, element: Element) -> None:
        """Hold the activity of `element`."""
        super().__init__(spec, element, name=f"{element.element_id} (with events)")

    def has_attached(self, task: SpiffTask) -> bool:
        """Whether `task` is the activity or one of its events, and not what follows them."""
        return task.task_spec.name in self._outputs

    def attached_completed(self, my_task: SpiffTask, child: SpiffTask) -> None:
        """Take away what the completion of `child` ends."""
        is_event = child.task_spec.element.attached_to != ""
        if is_event and not child.task_spec.element.is_interrupting:
            return
        for other in list(my_task.children):
            if other is not child and other.has_state(UNFINISHED) and self.has_attached(other):
                other.cancel()


class TerminateEnd(FlowNode):
    """An end event that ends everything else in its scope."""

    def _on_complete_hook(self, my_task: SpiffTask) -> None:
        workflow = my_task.workflow
        for other in list(workflow.tasks.values()):
            if other is not my_task and other.id in workflow.tasks and other.has_state(UNFINISHED):
                other.cancel()
        super()._on_complete_hook(my_task)


class ErrorEnd(FlowNode):
    """An end event that throws an error; whoever runs the instance finds who catches it."""

    def _run_hook(self, my_task: SpiffTask) -> None:
        my_task.workflow.top_workflow.context.thrown.append(my_task)

"""Who catches an error: the activity's own boundary events, then those further out."""

from collections.abc import Callable, Mapping

from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.nodes import WAITING
from dadm.adapters.engines.embedded.instances.variables import SpiffTask, assign
from dadm.adapters.engines.embedded.models.elements import ErrorEvent
from dadm.adapters.engines.embedded.models.expressions import ExpressionFailed
from dadm.domain.json import JsonValue


def boundary_catching(origin: SpiffTask, code: str) -> SpiffTask | None:
    """Find the boundary event that catches `code` thrown at `origin`, innermost first.

    On one activity, an event with that code comes before one that catches any.
    """
    current = origin
    while current is not None:
        holder = current.parent
        if holder is not None and holder.task_spec.has_instance(current):
            current = holder
            continue
        if holder is not None and holder.task_spec.has_attached(current):
            events = [event for event in holder.children if _catches(event, code)]
            if events:
                return max(events, key=lambda event: event.task_spec.element.trigger.code != "")
        current = current.workflow.parent_task
    return None


def fire_boundary(
    boundary: SpiffTask, code: str, message: str, variables: Mapping[str, JsonValue]
) -> None:
    """Let a boundary event catch an error: its activity ends here and now."""
    caught = boundary.task_spec.element.trigger
    given = dict(variables)
    if caught.code_variable:
        given[caught.code_variable] = code
    if caught.message_variable:
        given[caught.message_variable] = message
    for name, value in given.items():
        assign(boundary, name, value)
    boundary.task_spec.fire(boundary)
    boundary.run()


def with_errors_named(task: SpiffTask, action: Callable[[], object]) -> None:
    """Do something at a task, so that what fails names its element.

    Raises:
        StepFailed: An expression has no value, or the node said so itself.
    """
    try:
        action()
    except ExpressionFailed as failure:
        element_id = task.task_spec.bpmn_id
        message = f"The process cannot go on at {element_id}: {failure}."
        raise StepFailed(message, element_id=element_id) from failure


def _catches(event: SpiffTask, code: str) -> bool:
    trigger = event.task_spec.element.trigger
    return (
        isinstance(trigger, ErrorEvent)
        and event.task_spec.element.attached_to != ""
        and event.has_state(WAITING)
        and trigger.code in {"", code}
    )

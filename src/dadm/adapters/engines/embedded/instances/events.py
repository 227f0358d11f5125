"""Events that wait: timers, messages, errors, and the gateway that waits for the first of them."""

from datetime import datetime
from typing import Any, assert_never

from dadm.adapters.engines.embedded.instances.errors import with_errors_named
from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.nodes import FUTURE, WAITING, FlowNode
from dadm.adapters.engines.embedded.instances.variables import SpiffTask, apply_inputs, visible
from dadm.adapters.engines.embedded.models.elements import Element, Timer, TimerKind
from dadm.adapters.engines.embedded.models.time_values import (
    TimeInvalid,
    cycle_of,
    date_of,
    duration_of,
)

FIRED = "fired"
DUE = "due"
LEFT = "left"
CHOSEN = "chosen"
OPTIONS = "options"
_INTERVAL = "interval"


class CatchEvent(FlowNode):
    """An event that a token waits at until it happens."""

    def _update_hook(self, my_task: SpiffTask) -> bool:
        if my_task.parent is not None and isinstance(my_task.parent.task_spec, EventGateway):
            return True
        if not my_task.has_state(WAITING):
            my_task._set_state(WAITING)
            with_errors_named(my_task, lambda: self._begin(my_task))
        return bool(my_task.internal_data.get(FIRED, False))

    def _begin(self, my_task: SpiffTask) -> None:
        apply_inputs(my_task, self.element)
        arm(my_task, self.element, my_task.internal_data)

    def fire(self, my_task: SpiffTask) -> None:
        """Let the event happen."""
        my_task.internal_data[FIRED] = True
        my_task._ready()


class BoundaryEvent(CatchEvent):
    """An event attached to an activity."""

    def fire(self, my_task: SpiffTask) -> None:
        """Let the event happen; one that repeats waits beside it for its next time."""
        left = my_task.internal_data.get(LEFT, 0)
        if left is None or left > 1:
            again = my_task.parent._add_child(self, FUTURE)
            again.triggered = True
            again.task_spec._update(again)
            again.internal_data[LEFT] = None if left is None else left - 1
            again.internal_data[DUE] = _next_time(my_task)
        super().fire(my_task)


class EventGateway(FlowNode):
    """A gateway whose token goes where the first event happens."""

    def _update_hook(self, my_task: SpiffTask) -> bool:
        if not my_task.has_state(WAITING):
            my_task._set_state(WAITING)
            my_task.internal_data[OPTIONS] = {event.name: {} for event in self.outputs}
            with_errors_named(my_task, lambda: self._begin(my_task))
        return CHOSEN in my_task.internal_data

    def _begin(self, my_task: SpiffTask) -> None:
        for event in self.outputs:
            arm(my_task, event.element, my_task.internal_data[OPTIONS][event.name])

    def choose(self, my_task: SpiffTask, event: str) -> None:
        """Let that event happen."""
        my_task.internal_data[CHOSEN] = event
        my_task._ready()

    def ways_out(self, my_task: SpiffTask) -> list[Any]:
        """Give the event that happened."""
        return [self._wf_spec.task_specs[my_task.internal_data[CHOSEN]]]


def arm(my_task: SpiffTask, element: Element, notes: dict[str, Any]) -> None:
    """Note when an event is due, if it is a timer.

    Raises:
        ExpressionFailed: Its time cannot be evaluated.
        StepFailed: What it evaluates to is no time.
    """
    match element.trigger:
        case Timer(kind=kind, when=when):
            text = when.text(visible(my_task))
            now: datetime = my_task.workflow.top_workflow.context.now
            try:
                due, left = _due(kind, text, now)
            except TimeInvalid as error:
                message = f"The timer {element.element_id} has no time: {error}."
                raise StepFailed(message, element_id=element.element_id) from error
            notes[DUE] = due.isoformat()
            if kind is TimerKind.CYCLE:
                notes[LEFT] = left
                notes[_INTERVAL] = text
        case _:
            return


def _due(kind: TimerKind, text: str, now: datetime) -> tuple[datetime, int | None]:
    match kind:
        case TimerKind.DURATION:
            return duration_of(text).after(now), 1
        case TimerKind.DATE:
            return date_of(text), 1
        case TimerKind.CYCLE:
            cycle = cycle_of(text)
            return cycle.interval.after(now), cycle.count
        case _:
            assert_never(kind)


def _next_time(my_task: SpiffTask) -> str:
    """Give when a repeated event is due again: counted from when it was due, not from now."""
    due = datetime.fromisoformat(my_task.internal_data[DUE])
    return cycle_of(my_task.internal_data[_INTERVAL]).interval.after(due).isoformat()

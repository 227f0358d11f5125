"""Several instances of one activity, one after the other or all at once."""

from typing import Any, cast

from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.nodes import FUTURE, UNFINISHED, FlowNode, ProcessSpec
from dadm.adapters.engines.embedded.instances.variables import (
    SpiffTask,
    assign,
    locals_of,
    visible,
)
from dadm.adapters.engines.embedded.models.elements import Element, Loop
from dadm.domain.json import JsonValue

_ITEMS = "items"
_NEXT = "next"
_RESULTS = "results"
_INDEX = "index"

ALL, ACTIVE, DONE = "nrOfInstances", "nrOfActiveInstances", "nrOfCompletedInstances"
COUNTER = "loopCounter"

MOST_INSTANCES = 5000
"""Each is a task with rows of its own; a list longer than this is a mistake."""


class MultiInstance(FlowNode):
    """The body of a multi-instance activity; `instance` is the node of one instance.

    The collection is read once, when the token arrives. Its counts are variables of the body,
    loop counter and element are variables of each instance.
    """

    def __init__(self, spec: ProcessSpec, element: Element, loop: Loop, instance: str) -> None:
        """Run `instance` as `loop` says."""
        super().__init__(spec, element)
        self._loop = loop
        self._instance = instance

    def has_instance(self, task: SpiffTask) -> bool:
        """Whether `task` is one of the instances, and not what follows them."""
        return bool(task.task_spec.name == self._instance)

    def _run_hook(self, my_task: SpiffTask) -> bool | None:
        items = self._items(my_task)
        my_task.internal_data |= {_ITEMS: items, _NEXT: 0, _RESULTS: [None] * len(items)}
        locals_of(my_task).update({ALL: len(items), ACTIVE: 0, DONE: 0})
        if not items:
            self._hand_out_results(my_task)
            return True
        for _ in range(1 if self._loop.is_sequential else len(items)):
            self._start_next(my_task)
        return None

    def _items(self, my_task: SpiffTask) -> list[JsonValue]:
        seen = visible(my_task)
        if self._loop.collection is None:
            count = self._loop.cardinality.integer(seen) if self._loop.cardinality else 0
            self._check_count(count)
            return list(range(count))
        items = self._loop.collection.evaluate(seen)
        if not isinstance(items, list | tuple):
            message = f"The collection {self._loop.collection.source} of {self.bpmn_id} is no list."
            raise StepFailed(message, element_id=self.bpmn_id)
        self._check_count(len(items))
        return list(items)

    def _check_count(self, count: int) -> None:
        if not 0 <= count <= MOST_INSTANCES:
            message = f"{self.bpmn_id} is to have {count} instances; at most {MOST_INSTANCES} run."
            raise StepFailed(message, element_id=self.bpmn_id)

    def _start_next(self, my_task: SpiffTask) -> None:
        index = my_task.internal_data[_NEXT]
        my_task.internal_data[_NEXT] = index + 1
        self._count(my_task, ACTIVE, 1)
        instance = my_task._add_child(self._wf_spec.task_specs[self._instance], FUTURE)
        instance.triggered = True
        instance.internal_data[_INDEX] = index
        scope = locals_of(instance)
        scope[COUNTER] = index + self._loop.first_index
        if self._loop.element:
            scope[self._loop.element] = my_task.internal_data[_ITEMS][index]
        gathered = self._loop.output_element.variable if self._loop.output_element else ""
        if gathered and gathered not in scope:
            # What is gathered belongs to the instance: instances must not overwrite each other.
            scope[gathered] = None
        instance.task_spec._update(instance)

    def instance_completed(self, my_task: SpiffTask, instance: SpiffTask) -> None:
        """Note what the instance leaves; start the next one, or let the token go on."""
        if self._loop.output_element is not None:
            results = my_task.internal_data[_RESULTS]
            value = self._loop.output_element.evaluate(visible(instance))
            results[instance.internal_data[_INDEX]] = value
        self._count(my_task, ACTIVE, -1)
        self._count(my_task, DONE, 1)
        condition = self._loop.condition
        is_enough = condition is not None and condition.is_true(visible(instance))
        counts = locals_of(my_task)
        if is_enough or counts[DONE] == counts[ALL]:
            for other in list(my_task.children):
                if other.has_state(UNFINISHED) and other is not instance:
                    other.cancel()
            self._hand_out_results(my_task)
            my_task.complete()
        elif self._loop.is_sequential:
            self._start_next(my_task)

    def _count(self, my_task: SpiffTask, name: str, change: int) -> None:
        counts = locals_of(my_task)
        counts[name] = cast("int", counts[name]) + change

    def _hand_out_results(self, my_task: SpiffTask) -> None:
        if self._loop.output_collection:
            results: Any = my_task.internal_data[_RESULTS]
            assign(my_task, self._loop.output_collection, results, from_outside=True)

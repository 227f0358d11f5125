"""SpiffWorkflow's containers of tasks, kept to containing them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from SpiffWorkflow.bpmn.util.subworkflow import BpmnSubWorkflow
from SpiffWorkflow.bpmn.workflow import BpmnWorkflow

from dadm.adapters.engines.embedded.instances.nodes import ProcessSpec
from dadm.adapters.engines.embedded.instances.variables import SpiffTask

# SpiffWorkflow puts what tasks hold into its log records; process variables belong in no log.
for _name in ("spiff", "spiff.task", "spiff.workflow", "spiff.data"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(slots=True)
class StepContext:
    """What nodes need to know while they run: the time, new ids, the instance's business key.

    `thrown` holds the error end events that were reached and not yet dealt with.
    """

    now: datetime
    new_id: Callable[[str], str]
    business_key: str = ""
    thrown: list[SpiffTask] = field(default_factory=list)


class NoScripts:
    """In place of SpiffWorkflow's script engine, which would evaluate models as Python."""

    def evaluate(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        text = "SpiffWorkflow's own expressions are never evaluated."
        raise RuntimeError(text)

    execute = call_service = evaluate


class InstanceWorkflow(BpmnWorkflow):
    """All tasks of a process instance; `data` holds its process variables."""

    def __init__(
        self,
        spec: ProcessSpec,
        scopes: dict[str, ProcessSpec],
        context: StepContext,
        *,
        deserializing: bool = False,
    ) -> None:
        """Put a token on the start event, unless the tasks are to be restored."""
        self.context = context
        super().__init__(spec, scopes, script_engine=NoScripts(), deserializing=deserializing)

    @property
    def parent_task(self) -> None:
        """The process itself is inside no sub-process."""
        return

    def open_scope(self, my_task: SpiffTask, *, is_restored: bool = False) -> "ScopeWorkflow":
        """Begin the sub-process that `my_task` stands for."""
        scope = ScopeWorkflow(
            self.subprocess_specs[my_task.task_spec.element.element_id],
            my_task.id,
            self,
            deserializing=is_restored,
        )
        self.subprocesses[my_task.id] = scope
        return scope

    def forget_scope(self, my_task: SpiffTask) -> None:
        """Take a sub-process away with all that is inside it."""
        scope = self.subprocesses.pop(my_task.id, None)
        if scope is not None:
            for inner in scope.tasks.values():
                self.forget_scope(inner)

    def _task_completed_notify(self, task: SpiffTask) -> None:
        self.last_task = task

    def _task_removed_notify(self, task: SpiffTask) -> None:
        self.forget_scope(task)


class ScopeWorkflow(BpmnSubWorkflow):
    """The tasks inside one sub-process."""

    @property
    def parent_task(self) -> SpiffTask:
        """The task that stands for the sub-process."""
        return self.top_workflow.get_task_from_id(self.parent_task_id)

    def _task_completed_notify(self, task: SpiffTask) -> None:
        self.last_task = task

    def _task_removed_notify(self, task: SpiffTask) -> None:
        self.top_workflow.forget_scope(task)

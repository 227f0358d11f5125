"""An instance's state as text, and back: tokens and variables, never the model."""

import json
from typing import Any

from SpiffWorkflow.task import Task

from dadm.adapters.engines.embedded.instances.building import RunnableModel
from dadm.adapters.engines.embedded.instances.compaction import compact
from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.workflows import InstanceWorkflow, StepContext

FORMAT = 1


def write(workflow: InstanceWorkflow, notes: dict[str, Any]) -> str:
    """Write an instance's state; `notes` are what its owner keeps beside it.

    Raises:
        StepFailed: A variable holds something that is no JSON.
    """
    compact(workflow)
    numbers: dict[Any, int] = {}
    parts = [workflow, *workflow.subprocesses.values()]
    for part in parts:
        for task in part.tasks.values():
            numbers[task.id] = len(numbers) + 1
    content = {
        "format": FORMAT,
        "notes": notes,
        "variables": workflow.data,
        "tasks": _tasks(workflow, numbers),
        "scopes": {
            str(numbers[scope.parent_task_id]): _tasks(scope, numbers)
            for scope in workflow.subprocesses.values()
        },
    }
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        message = f"A process variable holds something that is no JSON: {error}."
        raise StepFailed(message) from error
    return text


def read(
    text: str, model: RunnableModel, context: StepContext
) -> tuple[InstanceWorkflow, dict[str, Any]]:
    """Restore an instance from its state; the notes come back beside it."""
    content = json.loads(text)
    workflow = InstanceWorkflow(model.spec, model.scopes, context, deserializing=True)
    workflow.data = content["variables"]
    _restore(workflow, content["tasks"])
    # A sub-process comes after the one around it, for it was opened later.
    for number, tasks in content["scopes"].items():
        holder = workflow.get_task_from_id(int(number))
        _restore(workflow.open_scope(holder, is_restored=True), tasks)
    return workflow, content["notes"]


def _tasks(part: Any, numbers: dict[Any, int]) -> list[list[Any]]:
    """List a part's tasks, each behind its parent's number; the root comes first."""
    return [
        [
            numbers[task.id],
            numbers.get(task._parent, 0),
            task.task_spec.name,
            task.state,
            int(task.triggered),
            task.internal_data,
        ]
        for task in part.tasks.values()
    ]


def _restore(part: Any, tasks: list[list[Any]]) -> None:
    for number, parent, name, state, triggered, internal in tasks:
        task = Task(part, part.spec.task_specs[name], state=state, id=number)
        task._parent = parent or None
        task.triggered = bool(triggered)
        task.internal_data = internal
        if parent:
            part.tasks[parent]._children.append(number)
        else:
            part.task_tree = task

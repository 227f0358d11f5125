"""Forgetting what lies behind the tokens, so that a loop's thousandth turn costs what its first did.

SpiffWorkflow keeps every task ever finished, each below the one before; past a depth of 1000 its
iterators stop looking and take the process for completed. Here a finished task stays only while
something is attached to it; every token hangs directly below the nearest that stays.
"""

from typing import Any

from dadm.adapters.engines.embedded.instances.nodes import UNFINISHED
from dadm.adapters.engines.embedded.instances.variables import SpiffTask


def compact(workflow: Any) -> None:
    """Drop finished tasks of an instance and of the sub-processes inside it."""
    for part in (workflow, *workflow.subprocesses.values()):
        _compact_part(part)


def _compact_part(part: Any) -> None:
    kept = {part.task_tree.id}
    for task in part.tasks.values():
        if task.has_state(UNFINISHED):
            kept.add(task.id)
            holder = task.parent
            if holder is not None and holder.task_spec.has_attached(task):
                kept.add(holder.id)
    if len(kept) == len(part.tasks):
        return
    anchors = {task.id: _anchor(task, kept) for task in part.tasks.values() if task.id in kept}
    part.tasks = {task.id: task for task in part.tasks.values() if task.id in kept}
    for task in part.tasks.values():
        task._children = []
    for task in part.tasks.values():
        anchor = anchors[task.id]
        task._parent = anchor
        if anchor is not None:
            part.tasks[anchor]._children.append(task.id)


def _anchor(task: SpiffTask, kept: set[Any]) -> Any:
    """Give the id of the nearest ancestor that stays, None for the root."""
    above = task.parent
    while above is not None and above.id not in kept:
        above = above.parent
    return None if above is None else above.id

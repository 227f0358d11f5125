"""InstanceTree: the tokens of one process instance, moved until all of them wait."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dadm.adapters.engines.embedded.instances.building import RunnableModel
from dadm.adapters.engines.embedded.instances.compaction import compact
from dadm.adapters.engines.embedded.instances.documents import read, write
from dadm.adapters.engines.embedded.instances.errors import (
    boundary_catching,
    fire_boundary,
    with_errors_named,
)
from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.gateways import InclusiveGateway
from dadm.adapters.engines.embedded.instances.nodes import CANCELLED, READY, UNFINISHED
from dadm.adapters.engines.embedded.instances.variables import SpiffTask
from dadm.adapters.engines.embedded.instances.workflows import InstanceWorkflow, StepContext
from dadm.domain.json import JsonObject, JsonValue

MOST_MOVES = 10_000
"""Nodes that one step may run; a process that needs more goes in circles without waiting."""
_MOVES_BETWEEN_COMPACTIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class EscapedError:
    """An error that nothing in the instance catches; its caller may."""

    code: str
    message: str
    variables: JsonObject
    element_id: str


class InstanceTree:
    """One instance while it is being moved.

    `notes` are kept with its state. Nothing is durable until `document` is saved; a step that
    fails leaves a tree that must be thrown away.
    """

    def __init__(self, workflow: InstanceWorkflow, notes: dict[str, Any]) -> None:
        """Hold a workflow; use `begin` or `restore`."""
        self.workflow = workflow
        self.notes = notes
        self.escaped: EscapedError | None = None

    @classmethod
    def begin(
        cls, model: RunnableModel, variables: JsonObject, context: StepContext
    ) -> "InstanceTree":
        """Put a token on the start event of `model`."""
        workflow = InstanceWorkflow(model.spec, model.scopes, context)
        workflow.data = dict(variables)
        return cls(workflow, {})

    @classmethod
    def restore(cls, text: str, model: RunnableModel, context: StepContext) -> "InstanceTree":
        """Read an instance back from its document."""
        workflow, notes = read(text, model, context)
        return cls(workflow, notes)

    @property
    def document(self) -> str:
        """The instance's state as text."""
        return write(self.workflow, self.notes)

    @property
    def variables(self) -> dict[str, JsonValue]:
        """The process variables; changes to them count."""
        variables: dict[str, JsonValue] = self.workflow.data
        return variables

    @property
    def has_ended(self) -> bool:
        """Whether no token is left."""
        return not any(task.has_state(UNFINISHED) for task in self.workflow.tasks.values())

    def clear(self) -> None:
        """Take all tokens away; the variables stay."""
        self.workflow.subprocesses.clear()
        root = self.workflow.task_tree
        if root.has_state(UNFINISHED):
            root._set_state(CANCELLED)
        root._children = []
        self.workflow.tasks = {root.id: root}

    def tasks(self) -> Iterator[SpiffTask]:
        """Give all tasks, those inside sub-processes too."""
        for part in self._parts():
            yield from list(part.tasks.values())

    def run(self) -> None:
        """Move tokens until all wait.

        Raises:
            StepFailed: The process cannot go on, or goes in circles without ever waiting.
        """
        moves = since_compaction = 0
        while self.escaped is None:
            ready = [task for task in self.tasks() if task.has_state(READY)]
            if not ready and not self._close_scope() and not self._let_inclusive_go():
                return
            for task in ready:
                # What ran before it may have taken it away.
                if task.has_state(READY) and self.escaped is None:
                    self._move(task)
                    moves += 1
                    since_compaction += 1
            if moves > MOST_MOVES:
                message = f"The process ran {MOST_MOVES} elements without waiting for anything."
                raise StepFailed(message)
            if since_compaction >= _MOVES_BETWEEN_COMPACTIONS:
                since_compaction = 0
                compact(self.workflow)

    def throw(
        self, origin: SpiffTask, code: str, message: str, variables: Mapping[str, JsonValue]
    ) -> None:
        """Let the nearest boundary event around `origin` catch an error, or let it escape."""
        boundary = boundary_catching(origin, code)
        if boundary is None:
            self.escaped = EscapedError(
                code=code,
                message=message,
                variables=variables,
                element_id=origin.task_spec.bpmn_id,
            )
            return
        with_errors_named(boundary, lambda: fire_boundary(boundary, code, message, variables))

    def _move(self, task: SpiffTask) -> None:
        with_errors_named(task, task.run)
        thrown = self.workflow.context.thrown
        while thrown:
            end = thrown.pop()
            code = end.task_spec.element.trigger.code
            self.throw(end, code, f"The process threw the error {code}.", {})

    def _close_scope(self) -> bool:
        """Complete one sub-process in which no token is left."""
        for holder_id, scope in reversed(list(self.workflow.subprocesses.items())):
            if any(task.has_state(UNFINISHED) for task in scope.tasks.values()):
                continue
            holder = scope.parent_task
            with_errors_named(holder, partial(holder.task_spec.finish, holder, {}))
            self.workflow.subprocesses.pop(holder_id, None)
            return True
        return False

    def _let_inclusive_go(self) -> bool:
        """Let one inclusive gateway go on that no further token can reach."""
        return any(
            node.fire_if_complete(part)
            for part in self._parts()
            for node in part.spec.task_specs.values()
            if isinstance(node, InclusiveGateway)
        )

    def _parts(self) -> list[Any]:
        return [self.workflow, *self.workflow.subprocesses.values()]

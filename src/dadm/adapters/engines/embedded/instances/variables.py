"""Variables of an instance: process scope, local scopes, and the mappings between them.

SpiffWorkflow would carry data with each token and merge it where tokens meet, which loses and
mixes values. Here its task data stays empty: process variables live in the workflow, local ones
in the internal data of the task that opened their scope.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, assert_never

from dadm.adapters.engines.embedded.models.elements import (
    Assignment,
    Dialect,
    Element,
    Listed,
    Mapped,
    Value,
)
from dadm.adapters.engines.embedded.models.expressions import Expression
from dadm.domain.json import JsonValue

SpiffTask: TypeAlias = Any
"""A task of SpiffWorkflow: one token at one element. The library has no types."""

Variables: TypeAlias = dict[str, JsonValue]

_LOCALS = "locals"


def locals_of(task: SpiffTask) -> Variables:
    """Give the variables of the scope that this task opens; changes to it count."""
    scope: Variables = task.internal_data.setdefault(_LOCALS, {})
    return scope


def process_variables(task: SpiffTask) -> Variables:
    """Give the variables of the whole instance; changes to it count."""
    variables: Variables = task.workflow.top_workflow.data
    return variables


def visible(task: SpiffTask) -> Variables:
    """Give what an expression at this task sees: inner scopes hide outer ones."""
    seen: Variables = dict(process_variables(task))
    for scope in reversed(list(_scopes(task))):
        seen |= scope
    return seen


def assign(task: SpiffTask, name: str, value: JsonValue, *, from_outside: bool = False) -> None:
    """Set a variable in the innermost scope that has it, else in the process.

    `from_outside` leaves the task's own scope out, as a mapping out of it does.
    """
    for scope in _scopes(task):
        is_own = scope is task.internal_data.get(_LOCALS)
        if name in scope and not (is_own and from_outside):
            scope[name] = value
            return
    process_variables(task)[name] = value


def apply_inputs(task: SpiffTask, element: Element) -> None:
    """Fill the task's own scope from its input mapping.

    Camunda 7 reads all values from outside; Camunda 8 lets a mapping read those before it.
    """
    if element.inputs is None:
        return
    seen = visible(task)
    for assignment in element.inputs:
        value = evaluated(assignment.value, seen)
        locals_of(task)[assignment.name] = value
        if element.dialect is Dialect.CAMUNDA_8:
            seen[assignment.name] = value


def apply_result(task: SpiffTask, element: Element, variables: Mapping[str, JsonValue]) -> None:
    """Take what a task or event brought, and map it out.

    In Camunda 8 an element with output mappings keeps the rest to itself; in Camunda 7 what a
    worker reports goes into the process in any case.
    """
    if element.dialect is Dialect.CAMUNDA_8 and element.outputs:
        locals_of(task).update(variables)
    else:
        for name, value in variables.items():
            assign(task, name, value)
    apply_outputs(task, element.outputs)


def apply_outputs(task: SpiffTask, outputs: tuple[Assignment, ...]) -> None:
    """Map values out of the task's own scope."""
    for assignment in outputs:
        value = evaluated(assignment.value, visible(task))
        assign(task, assignment.name, value, from_outside=True)


def evaluated(value: Value, variables: Mapping[str, JsonValue]) -> JsonValue:
    """Give the value of a mapping.

    Raises:
        ExpressionFailed: An expression in it has no value.
    """
    match value:
        case Expression():
            return value.evaluate(variables)
        case Listed(values=values):
            return [evaluated(inner, variables) for inner in values]
        case Mapped(entries=entries):
            return {key: evaluated(inner, variables) for key, inner in entries}
        case _:
            assert_never(value)


def _scopes(task: SpiffTask) -> Iterator[Variables]:
    """Give the local scopes around a task, innermost first."""
    current = task
    while current is not None:
        scope = current.internal_data.get(_LOCALS)
        if scope:
            yield scope
        holder = current.parent
        if holder is not None and holder.task_spec.has_instance(current):
            current = holder
        else:
            current = current.workflow.parent_task

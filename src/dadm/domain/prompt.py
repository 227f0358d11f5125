"""A task and its variables become what the assistant is asked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from dadm.domain.errors import InvalidTask
from dadm.domain.json import JsonValue, digest_of
from dadm.domain.task import Selecting, ServiceTask

_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_PATH = re.compile(r"[^\W\d]\w*(?:\.\w+|\[\d{1,9}\])*")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")

LONGEST_QUOTE = 80
"""How much of a broken placeholder a message repeats, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the assistant is asked, and which variables the thread will have been shown by it.

    `shown` holds the digests of the newly shown values only; the thread's own map is merged
    with it when the turn settles.
    """

    text: str
    shown: Mapping[str, str]


def render_prompt(task: ServiceTask, *, shown: Mapping[str, str]) -> Prompt:
    """Fill the task's placeholders once and list the variables it shows below.

    A placeholder holds a variable's name or a path into one (`${offer.prices[0]}`). A value
    that itself contains `${…}` stays text. A variable that a placeholder wrote out whole counts
    as shown and is not listed again.

    Args:
        task: The task to ask.
        shown: What the thread has been shown: variable name → digest of the value.

    Raises:
        InvalidTask: A placeholder names a variable that the task does not have, or what would
            be asked is empty or holds a character that no store can keep.
    """
    written: set[str] = set()
    question = _fill(task, written).strip()
    if not question:
        msg = f"The prompt of task {_name_of(task)!r} is empty once its placeholders are filled."
        raise InvalidTask(msg)
    listed = [name for name in _selected(task, shown) if name not in written]
    lines = [f"- {name}: {_as_text(task.variables[name])}" for name in listed]
    text = "\n".join((question, "", "Process variables:", *lines)) if lines else question
    if "\0" in text:
        msg = f"The prompt of task {_name_of(task)!r} would hold a NUL character, which is no text."
        raise InvalidTask(msg)
    newly_shown = {name: digest_of(task.variables[name]) for name in (*sorted(written), *listed)}
    return Prompt(text=text, shown=newly_shown)


def variables_named(question: str) -> frozenset[str]:
    """Give the variables that the placeholders of a question may be filled from.

    A variable may have a whole path as its name, so both that and the path's first name are given.
    """
    held = [found.group(1).strip() for found in _PLACEHOLDER.finditer(question)]
    first = (re.split(r"[.\[]", path, maxsplit=1)[0] for path in held)
    return frozenset((*held, *first)) - {""}


def doubtful_placeholders(question: str) -> tuple[str, ...]:
    """Give what the placeholders of a question hold that is no variable's plain name or path.

    Such a placeholder can be filled only by a variable that has exactly this unusual name.
    """
    held = (found.group(1).strip() for found in _PLACEHOLDER.finditer(question))
    return tuple(_quoted(path) for path in held if not _PATH.fullmatch(path))


def _quoted(path: str) -> str:
    return path if len(path) <= LONGEST_QUOTE else f"{path[: LONGEST_QUOTE - 1]}…"


def _fill(task: ServiceTask, written: set[str]) -> str:
    def replace(found: re.Match[str]) -> str:
        path = found.group(1).strip()
        if path in task.variables:
            written.add(path)
            return _as_text(task.variables[path])
        if not _PATH.fullmatch(path):
            msg = (
                f"The prompt of task {_name_of(task)!r} has the placeholder ${{{_quoted(path)}}}, "
                "which is not a variable or a path into one."
            )
            raise InvalidTask(msg)
        return _as_text(_value_at(task, path))

    return _PLACEHOLDER.sub(replace, task.question)


def _value_at(task: ServiceTask, path: str) -> JsonValue:
    name = re.split(r"[.\[]", path, maxsplit=1)[0]
    undefined = InvalidTask(
        f"The prompt of task {_name_of(task)!r} uses ${{{path}}}, but the process has no such "
        "variable. Set it before the task or take the placeholder out."
    )
    if name not in task.variables:
        raise undefined
    value = task.variables[name]
    for step in _STEP.finditer(path, len(name)):
        key, index = step.groups()
        if key is not None and isinstance(value, Mapping) and key in value:
            value = value[key]
        elif index is not None and isinstance(value, list | tuple) and int(index) < len(value):
            value = value[int(index)]
        else:
            raise undefined
    return value


def _selected(task: ServiceTask, shown: Mapping[str, str]) -> list[str]:
    candidates = _candidates(task)
    match task.selection.selecting:
        case Selecting.NONE:
            return []
        case Selecting.ALL:
            return candidates
        case Selecting.LISTED:
            return [name for name in dict.fromkeys(task.selection.names) if name in task.variables]
        case Selecting.CHANGED:
            return [
                name for name in candidates if shown.get(name) != digest_of(task.variables[name])
            ]
        case _:
            assert_never(task.selection.selecting)


def _candidates(task: ServiceTask) -> list[str]:
    names = task.variables.keys() if task.mapped is None else task.mapped
    return sorted(name for name in names if name in task.variables and name not in task.own_answers)


def _name_of(task: ServiceTask) -> str:
    return task.task_name or task.element_id or task.task_id


def _as_text(value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)

"""A service task from any engine, and the outcome the engine gets for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias

from dadm.domain.errors import InvalidTask
from dadm.domain.json import JsonObject, JsonValue, digest_of
from dadm.domain.thread_scope import ELEMENT, RESERVED, SINGLE_TASK, instance_of
from dadm.domain.turn import TurnKey

DEFAULT_ENGINE = "http"
"""The engine id of tasks that plain HTTP callers bring."""

ID_LIMIT = 255
"""The longest id accepted, in characters."""


class Selecting(StrEnum):
    """How the process variables shown below a prompt are chosen."""

    CHANGED = "changed"
    ALL = "all"
    NONE = "none"
    LISTED = "listed"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableSelection:
    """Which process variables a task shows to its assistant.

    By default those that the thread has not been shown yet or that changed since; `names`
    matters for a list only, and those named are shown whether or not they changed.
    """

    selecting: Selecting = Selecting.CHANGED
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "VariableSelection":
        """Read `changed`, `all`, `none` or a comma-separated list of names; blank is `changed`."""
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        match names:
            case ():
                return cls()
            case ("changed" | "all" | "none" as word,):
                return cls(selecting=Selecting(word))
            case _:
                return cls(selecting=Selecting.LISTED, names=names)

    def __str__(self) -> str:
        """Write the selection as `parse` reads it."""
        if self.selecting is Selecting.LISTED:
            return ",".join(self.names)
        return self.selecting.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTask:
    """One AI task as the assistant service takes it, from an engine or an HTTP caller.

    Attributes:
        engine: The configured id of the engine; `http` for plain callers.
        tenant: `""` where there is none.
        task_id: Names the work: the same over retries, another for other work.
        process_instance_id: `""` where the task belongs to none; then its thread is its own.
        scope: Whose conversation it is where that is not the process instance; `""` normally.
            Engines' tasks alone may have one that begins as `domain.thread_scope` spells them.
        element_id: The task's element in its model, `""` where unknown.
        process_definition: What identifies the model and its version, `""` where unknown.
        description: What to ask where `documentation` is empty.
        documentation: What to ask, with `${…}` placeholders.
        variables: All process variables visible to the task.
        mapped: The names that the task's input mapping provides, or None where it maps none;
            if given, only these are shown, unless a list in `selection` names others.
        own_answers: Names of variables that DADM's own answers were written to; not shown
            unless a list in `selection` or a placeholder names them.
        assistant: The name or alias wanted, `""` for the default.
        selection: Which variables are shown.
        answer_schema: A JSON Schema for the answer that overrides the assistant's.
        content_digest: Stands for everything the caller sent that shapes the question; derived.
    """

    task_id: str
    engine: str = DEFAULT_ENGINE
    tenant: str = ""
    process_instance_id: str = ""
    scope: str = ""
    task_name: str = ""
    element_id: str = ""
    process_definition: str = ""
    description: str = ""
    documentation: str = ""
    variables: JsonObject = field(default_factory=dict)
    mapped: tuple[str, ...] | None = None
    own_answers: frozenset[str] = frozenset()
    assistant: str = ""
    selection: VariableSelection = VariableSelection()
    answer_schema: JsonObject | None = None
    content_digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Refuse ids and texts that no store or log could carry, and a task with nothing to ask.

        Raises:
            InvalidTask: It says which field is wrong and how.
        """
        for name in ("engine", "tenant", "task_id", "assistant", "scope"):
            refuse_unusable_id(name, getattr(self, name))
        refuse_unusable_scope("process_instance_id", self.process_instance_id)
        if self.engine == DEFAULT_ENGINE or self.scope.startswith(SINGLE_TASK):
            refuse_unusable_scope("scope", self.scope)
        if self.scope.startswith(ELEMENT) and instance_of(self.scope) != self.process_instance_id:
            msg = f"scope is {self.scope!r}, which is of another process instance than the task."
            raise InvalidTask(msg)
        if not self.task_id:
            msg = "task_id is empty; give the work a name or leave the field out."
            raise InvalidTask(msg)
        if not self.question.strip():
            msg = "There is nothing to ask: task_description (or task_documentation) is empty."
            raise InvalidTask(msg)
        # Derived once: the variables may be large, and every claim compares it.
        object.__setattr__(self, "content_digest", self._digest_content())

    @property
    def question(self) -> str:
        """The text to ask, with its placeholders unfilled."""
        return self.documentation if self.documentation.strip() else self.description

    @property
    def thread_scope(self) -> str:
        """Whose conversation it is: the scope, else the process instance, else the task itself."""
        return self.scope or self.process_instance_id or f"{SINGLE_TASK}{self.task_id}"

    @property
    def turn_key(self) -> TurnKey:
        """The name of the work in the store."""
        return TurnKey(
            engine=self.engine, tenant=self.tenant, scope=self.thread_scope, task_id=self.task_id
        )

    def _digest_content(self) -> str:
        content: JsonValue = {
            "question": self.question,
            "variables": self.variables,
            "mapped": None if self.mapped is None else sorted(self.mapped),
            "assistant": self.assistant,
            "selection": str(self.selection),
            "answer_schema": self.answer_schema,
        }
        try:
            return digest_of(content)
        except UnicodeEncodeError as error:
            msg = (
                "The task's text or a variable contains half of a surrogate pair, which is no text."
            )
            raise InvalidTask(msg) from error
        except RecursionError as error:
            msg = "A variable is nested too deeply."
            raise InvalidTask(msg) from error


def parse_answer_schema(text: str) -> JsonObject | None:
    """Read a JSON Schema that a model writes out; None for a blank text.

    Raises:
        InvalidTask: It is no JSON, or no object.
    """
    if not text.strip():
        return None
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"answerSchema is no JSON: {error}."
        raise InvalidTask(msg) from error
    if not isinstance(schema, dict):
        msg = "answerSchema must be a JSON object that describes the answer."
        raise InvalidTask(msg)
    return schema


def refuse_unusable_id(name: str, value: str) -> None:
    """Refuse an id of over 255 characters or with control characters.

    Raises:
        InvalidTask: `value` cannot serve as `name`.
    """
    if len(value) > ID_LIMIT:
        msg = f"{name} has {len(value)} characters; at most {ID_LIMIT} are allowed."
        raise InvalidTask(msg)
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in value):
        msg = f"{name} contains control characters, which no id may have."
        raise InvalidTask(msg)
    if any("\ud800" <= character <= "\udfff" for character in value):
        msg = f"{name} contains half of a surrogate pair, which is not text."
        raise InvalidTask(msg)


def refuse_unusable_scope(name: str, value: str) -> None:
    """Refuse what is no id, and what could be taken for a scope of a kind of its own.

    Raises:
        InvalidTask: `value` cannot serve as `name`.
    """
    refuse_unusable_id(name, value)
    for reserved in RESERVED:
        if value.startswith(reserved):
            msg = f"{name} begins with {reserved!r}, which is kept for what DADM names itself."
            raise InvalidTask(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The task is done; `variables` go into the process."""

    variables: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The task failed for now; the engine tries again after `retry_after`, `retries` more times."""

    message: str
    details: str
    retries: int
    retry_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class BpmnError:
    """The model's own error path takes over; only where the model catches `error_code`."""

    error_code: str
    message: str
    variables: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """No retry can help; a person must act, and `message` says how."""

    message: str
    details: str


Outcome: TypeAlias = Completed | Failed | BpmnError | Incident
"""What the engine is told about a task."""

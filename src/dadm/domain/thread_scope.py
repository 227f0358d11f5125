"""Scopes: what shares a thread with an assistant, and how that is spelled in a thread's key."""

from enum import StrEnum
from typing import assert_never

from dadm.domain.errors import InvalidTask

SINGLE_TASK = "task:"
"""What the scope of a task without a process instance begins with, and no other scope may."""

ELEMENT = "element:"
"""What scopes within a process instance begin with; the instance's id and a colon follow."""

BUSINESS_KEY = "business-key:"
"""What the scope of a business key begins with; the key follows."""

RESERVED = (SINGLE_TASK, ELEMENT, BUSINESS_KEY)
"""What no id of a process instance may begin with."""

SETTING = "thread.scope"
"""The setting of a task, or of its process, that names the scope wanted."""


class ThreadScope(StrEnum):
    """What shares one thread with each assistant."""

    PROCESS_INSTANCE = "process-instance"
    """All tasks of a process instance; called processes are instances of their own."""
    ROOT_INSTANCE = "root-instance"
    """They take part in the thread of the instance at the root of a chain of calls."""
    ELEMENT = "element"
    """All executions of one element of a process instance: a loop's rounds, multiple instances."""
    ELEMENT_INSTANCE = "element-instance"
    """One execution of an element alone, with its retries."""
    BUSINESS_KEY = "business-key"
    """All tasks of all process instances of a tenant that have the same business key."""

    @classmethod
    def parse(cls, text: str) -> "ThreadScope":
        """Read the setting; blank is the process instance.

        Raises:
            InvalidTask: It is no scope.
        """
        written = text.strip()
        if not written:
            return cls.PROCESS_INSTANCE
        try:
            return cls(written)
        except ValueError:
            known = ", ".join(cls)
            msg = f"{SETTING} is {written!r}, which is no scope; write one of {known}."
            raise InvalidTask(msg) from None


def scope_name(
    wanted: ThreadScope,
    *,
    process_instance_id: str,
    root_process_instance_id: str | None,
    business_key: str,
    element_id: str,
    task_id: str,
) -> str:
    """Spell the scope of an engine's task, `""` for that of its own process instance.

    A root instance is spelled as itself, so that called processes join the thread that its own
    tasks share. Two scopes are never spelled alike.

    Raises:
        InvalidTask: The engine does not tell what the scope is made of; the message says what to
            do.
    """
    match wanted:
        case ThreadScope.PROCESS_INSTANCE:
            return ""
        case ThreadScope.ROOT_INSTANCE:
            if not root_process_instance_id:
                msg = (
                    f"{SETTING} is {wanted}, and the engine does not tell which instance is the "
                    "root of this one. Take another scope, or an engine that tells it."
                )
                raise InvalidTask(msg)
            is_own = root_process_instance_id == process_instance_id
            return "" if is_own else root_process_instance_id
        case ThreadScope.BUSINESS_KEY:
            if not business_key:
                msg = (
                    f"{SETTING} is {wanted}, and the process instance has no business key. Start "
                    "instances with one and let call activities hand it on, or take another scope."
                )
                raise InvalidTask(msg)
            return f"{BUSINESS_KEY}{business_key}"
        case ThreadScope.ELEMENT:
            return _within(process_instance_id, element_id)
        case ThreadScope.ELEMENT_INSTANCE:
            return f"{_within(process_instance_id, element_id)}:{task_id}"
        case _:
            assert_never(wanted)


def scopes_within(process_instance_id: str) -> str:
    """Give what the scopes of an instance's elements begin with, and no others; `""` for none.

    None are within an instance whose id has a colon: where it ends could not be told.
    """
    return "" if ":" in process_instance_id else f"{ELEMENT}{process_instance_id}:"


def instance_of(scope: str) -> str:
    """Give the process instance that a scope ends with, `""` where it outlives every one.

    A business key may return with another instance; a task without an instance has none.
    """
    if scope.startswith(ELEMENT):
        return scope.removeprefix(ELEMENT).partition(":")[0]
    return "" if scope.startswith(RESERVED) else scope


def _within(process_instance_id: str, element_id: str) -> str:
    for what, value in (("process instance", process_instance_id), ("element", element_id)):
        if not value or ":" in value:
            msg = f"The {what} has the id {value!r}: no scope is made of an empty one or a colon."
            raise InvalidTask(msg)
    return f"{scopes_within(process_instance_id)}{element_id}"

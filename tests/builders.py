"""Domain values for tests, with every field defaulted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dadm.domain.assistant import Assistant
from dadm.domain.task import ServiceTask
from dadm.domain.thread import (
    BackendIdentity,
    ConversationId,
    Generation,
    GenerationReason,
    GenerationState,
    Thread,
    ThreadKey,
    ThreadRef,
    ThreadState,
)
from dadm.domain.transcript import Exchange
from dadm.domain.turn import Turn, TurnKey, TurnRef, TurnState
from dadm.ports.engine import LeasedTask

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def make_task(task_id: str = "t1", /, **changes: Any) -> ServiceTask:
    """Give a task of an engine, in the process instance p1."""
    fields: dict[str, Any] = {
        "task_id": task_id,
        "engine": "embedded",
        "process_instance_id": "p1",
        "element_id": "Task_1",
        "process_definition": "decision",
        "documentation": f"What about {task_id}?",
    }
    return ServiceTask(**(fields | changes))


def make_leased_task(task_id: str = "t1", /, **changes: Any) -> LeasedTask:
    """Give a task as an engine leases it, in the process instance p1."""
    fields: dict[str, Any] = {
        "task_id": task_id,
        "topic": "dadm",
        "element_id": "Task_1",
        "process_instance_id": "p1",
        "process_definition_id": "decision:1",
        "process_definition_key": "decision",
        "lease_expires_at": NOON + timedelta(minutes=1),
        "documentation": f"What about {task_id}?",
    }
    return LeasedTask(**(fields | changes))


def make_assistant(name: str = "analyst", /, **changes: Any) -> Assistant:
    """Give an assistant without aliases."""
    return Assistant(**({"name": name, "instructions": "Be brief."} | changes))


def make_key(**changes: str) -> ThreadKey:
    """Give the key of the thread of p1 with the analyst."""
    key = ThreadKey(engine="embedded", tenant="", scope="p1", assistant="analyst")
    return replace(key, **changes)


def make_generation(number: int = 1, /, **changes: Any) -> Generation:
    """Give a live conversation at the scripted backend."""
    fields: dict[str, Any] = {
        "thread": ThreadRef(1),
        "number": number,
        "identity": BackendIdentity(adapter="scripted"),
        "conversation_id": ConversationId(f"conv_{number}"),
        "state": GenerationState.LIVE,
        "reason": GenerationReason.FIRST,
        "created_at": NOON,
    }
    return Generation(**(fields | changes))


def make_thread(**changes: Any) -> Thread:
    """Give an open thread that has no conversation yet."""
    fields: dict[str, Any] = {
        "ref": ThreadRef(1),
        "key": make_key(),
        "state": ThreadState.OPEN,
        "turn_count": 0,
        "created_at": NOON,
    }
    return Thread(**(fields | changes))


def make_turn(task_id: str = "t1", /, **changes: Any) -> Turn:
    """Give a planned turn."""
    fields: dict[str, Any] = {
        "ref": TurnRef(1),
        "thread": ThreadRef(1),
        "key": TurnKey(engine="embedded", tenant="", scope="p1", task_id=task_id),
        "state": TurnState.PLANNED,
        "content_digest": "content",
        "created_at": NOON,
    }
    return Turn(**(fields | changes))


def make_exchange(sequence: int, *, size: int = 10) -> Exchange:
    """Give an exchange of `size` characters, half of them the prompt's."""
    return Exchange(sequence=sequence, prompt="?" * (size // 2), answer="!" * (size - size // 2))

"""GET /threads: whose conversations there are, and what was said in them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from dadm.domain.errors import ThreadErased, UnknownThread
from dadm.domain.thread import Generation, Thread, ThreadRef, ThreadState
from dadm.domain.turn import Turn
from dadm.entrypoints.openai_service.messages import written
from dadm.entrypoints.openai_service.parts import ServiceParts
from dadm.entrypoints.openai_service.problems import MALFORMED, RequestRefused
from dadm.ports.store_values import ThreadFilter

OF_INSTANCE = (
    "Those of this process instance and of its elements, or of a scope that is spelled out."
)
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]


def thread_routes(parts: ServiceParts) -> APIRouter:
    """Give the addresses at which threads are read."""
    router = APIRouter(tags=["threads"])

    @router.get(
        "/threads",
        summary="List threads, newest first.",
        description="`next` is the value of `before` that gives the following page, or null.",
    )
    async def threads(
        *,
        process_instance_id: Annotated[str | None, Query(description=OF_INSTANCE)] = None,
        assistant: Annotated[str | None, Query(description="With whom, by name or alias.")] = None,
        tenant: Annotated[str | None, Query(description="Of this tenant.")] = None,
        engine: Annotated[str | None, Query(description="Of this engine's instances.")] = None,
        before: Annotated[str | None, Query(description="`next` of the page before.")] = None,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        wanted = ThreadFilter(
            engine=engine,
            tenant=tenant,
            process_instance_id=process_instance_id,
            assistant=None if assistant is None else parts.catalogue.resolve(assistant).name,
            before=None if before is None else _ref(before),
            limit=limit,
        )
        found = await parts.directory.threads(wanted)
        return {
            "threads": [thread_json(thread) for thread in found],
            "next": f"{found[-1].ref:x}" if len(found) == limit else None,
        }

    @router.get(
        "/threads/{thread_id}",
        summary="Read a thread with its turns, by any id it ever had.",
        description="`next` is the value of `after` that gives the following turns, or null.",
    )
    async def thread(
        thread_id: str,
        after: Annotated[int, Query(ge=0, description="Turns behind this sequence.")] = 0,
        limit: Limit = 100,
    ) -> dict[str, Any]:
        found = await parts.directory.find_thread(thread_id)
        if found is None:
            msg = f"There is no thread {thread_id}, and there never was one."
            raise UnknownThread(msg)
        if found.state in {ThreadState.ERASING, ThreadState.ERASED}:
            msg = f"Thread {thread_id} was erased; nothing of it is left to be read."
            raise ThreadErased(msg)
        turns = await parts.directory.turns(found.ref, after_sequence=after, limit=limit)
        return {
            **thread_json(found),
            "turns": [turn_json(turn) for turn in turns],
            "next": turns[-1].sequence if len(turns) == limit else None,
        }

    return router


def thread_json(thread: Thread) -> dict[str, Any]:
    """Write a thread as callers read it."""
    key = thread.key
    return {
        "thread_id": thread.thread_id,
        "engine": key.engine,
        "tenant": key.tenant,
        "process_instance_id": key.process_instance_id or None,
        "scope": key.scope,
        "assistant_id": key.assistant,
        "state": thread.state.value,
        "turn_count": thread.turn_count,
        "usage": thread.usage.as_json(),
        "created_at": written(thread.created_at),
        "last_turn_at": written(thread.last_turn_at) if thread.last_turn_at else None,
        "conversation": generation_json(thread.live) if thread.live else None,
    }


def generation_json(generation: Generation) -> dict[str, Any]:
    """Write the thread's present conversation as callers read it."""
    return {
        "generation": generation.number,
        "backend": generation.identity.adapter,
        "reason": generation.reason.value,
        "copied_messages": generation.copied_messages,
        "created_at": written(generation.created_at),
    }


def turn_json(turn: Turn) -> dict[str, Any]:
    """Write a turn as callers read it."""
    refusal = turn.refusal
    return {
        "turn_id": str(turn.ref),
        "sequence": turn.sequence,
        "task_id": turn.key.task_id,
        "element_id": turn.element_id,
        "state": turn.state.value,
        "prompt": turn.prompt,
        "answer": turn.answer,
        "refusal": {"code": refusal.code, "reason": refusal.reason} if refusal else None,
        "assistant_version": turn.assistant_version,
        "usage": turn.usage.as_json(),
        "generation": turn.generation,
        "attempts": turn.attempts,
        "recovered": turn.recovered,
        "reported": turn.is_reported,
        "created_at": written(turn.created_at),
        "settled_at": written(turn.settled_at) if turn.settled_at else None,
    }


def _ref(cursor: str) -> ThreadRef:
    try:
        return ThreadRef(int(cursor, 16))
    except ValueError:
        detail = "before: give the value of `next` as it was received."
        raise RequestRefused(MALFORMED, detail) from None

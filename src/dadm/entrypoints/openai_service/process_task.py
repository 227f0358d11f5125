"""POST /process_task: a task in, its answer out; and what orchestrators report about it."""

import logging

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from dadm.domain.errors import BackendRefused, DadmError, StoreError
from dadm.domain.task import DEFAULT_ENGINE, ServiceTask, refuse_unusable_id
from dadm.entrypoints.openai_service.bodies import read_json_object
from dadm.entrypoints.openai_service.leaving_callers import CallerLeft, unless_left
from dadm.entrypoints.openai_service.messages import (
    ProcessTaskReply,
    ProcessTaskRequest,
    TurnNamedRequest,
)
from dadm.entrypoints.openai_service.parts import ServiceParts
from dadm.entrypoints.openai_service.problems import problem_of_error
from dadm.ports.assistant_service import TaskAnswer

CLIENT_CLOSED_REQUEST = 499

LOGGER = logging.getLogger("dadm.openai_service")


def task_routes(parts: ServiceParts) -> APIRouter:
    """Give the addresses at which tasks are answered."""
    router = APIRouter(tags=["tasks"])

    @router.post(
        "/process_task",
        summary="Answer a task on the thread of its process instance.",
        description=(
            "The same `task_id` again with the same content gives the recorded answer; with other "
            "content it is refused with 409; while the first is in flight, the second waits for "
            "the same answer. The header `Idempotency-Key` serves where there is no `task_id`. "
            "A caller that disconnects does not stop the turn: coming again with the same "
            "`task_id` gives its answer."
        ),
        responses={200: {"model": ProcessTaskReply, "description": "The answer."}},
        openapi_extra=_body(ProcessTaskRequest),
    )
    async def process_task(request: Request) -> Response:
        body = await read_json_object(request, limit=parts.max_body_bytes)
        wanted = ProcessTaskRequest.read(body)
        if wanted.ignored_fields:
            LOGGER.warning("A task has fields nobody reads: %s", ", ".join(wanted.ignored_fields))
        task = wanted.as_task(task_id=_task_id(wanted, request, parts))
        try:
            answer = await _answered(parts, task, request)
        except CallerLeft:
            # Nobody reads this; it is what servers write into their access logs.
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except DadmError as error:
            problem = problem_of_error(error, task_id=task.task_id)
            return problem.response(instance=request.url.path, scrub=parts.scrub)
        reply = ProcessTaskReply.of(answer, now=parts.clock.now(), ignored=wanted.ignored_fields)
        return JSONResponse(reply.model_dump(mode="json", exclude=_empty(reply)))

    @router.post(
        "/turns/reported",
        summary="Record that the engine has a task's outcome.",
        description=(
            "For orchestrators, after the engine took the outcome. A refused task that comes "
            "again afterwards was released by a person and is asked again. Plain callers need "
            "not: for them the reply itself is the report."
        ),
        openapi_extra=_body(TurnNamedRequest),
        status_code=204,
    )
    async def turn_reported(request: Request) -> Response:
        body = await read_json_object(request, limit=parts.max_body_bytes)
        await parts.service.outcome_reported(TurnNamedRequest.read(body).as_task())
        return Response(status_code=204)

    @router.post(
        "/turns/withdrawn",
        summary="Say that a task is gone from its engine.",
        description=(
            "For orchestrators, when the engine says that the task or its instance no longer "
            "exists. Its place in the line is given up, and the model's run is stopped where the "
            "backend can, whichever replica waits for it. A turn that nobody is asking is left as "
            "it is."
        ),
        openapi_extra=_body(TurnNamedRequest),
        status_code=204,
    )
    async def turn_withdrawn(request: Request) -> Response:
        body = await read_json_object(request, limit=parts.max_body_bytes)
        await parts.service.withdraw_task(TurnNamedRequest.read(body).as_task())
        return Response(status_code=204)

    return router


async def _answered(parts: ServiceParts, task: ServiceTask, request: Request) -> TaskAnswer:
    """Answer the task; for a plain caller, who hears it now, that is also the report."""
    try:
        answer = await unless_left(request, parts.service.process_task(task))
    except BackendRefused:
        await _report(parts, task, request)
        raise
    await _report(parts, task, request)
    return answer


async def _report(parts: ServiceParts, task: ServiceTask, request: Request) -> None:
    if task.engine != DEFAULT_ENGINE or await request.is_disconnected():
        return
    try:
        await parts.service.outcome_reported(task)
    except StoreError as error:
        # The turn is settled; unreported, it is only told again.
        LOGGER.warning("Task %s is not marked as reported: %s", task.task_id, error.message)


def _task_id(wanted: ProcessTaskRequest, request: Request, parts: ServiceParts) -> str:
    if "task_id" in wanted.model_fields_set:
        return wanted.task_id
    key = request.headers.get("idempotency-key", "").strip()
    # A structured header writes its text in quotes; both ways name the same work.
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    refuse_unusable_id("Idempotency-Key", key)
    return key or parts.identifiers.new_id("task")


def _empty(reply: ProcessTaskReply) -> set[str]:
    return set() if reply.ignored_fields else {"ignored_fields"}


def _body(model: type[BaseModel]) -> dict[str, object]:
    """Describe a body that the handler reads itself, within its limit."""
    schema = model.model_json_schema()
    # Fields beside the known ones are taken and told of, not invited.
    schema.pop("additionalProperties", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}

"""The simulated API as an ASGI application, with the vendor's paths below `/v1`."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from itertools import count
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dadm.adapters.simulators.openai import conversations, endpoints, errors, responses
from dadm.adapters.simulators.openai.admin import admin_routes
from dadm.adapters.simulators.openai.responders import Responder
from dadm.adapters.simulators.openai.simulated import SimulatedOpenAI
from dadm.adapters.simulators.openai.streaming import (
    BrokenReply,
    CallerGone,
    EventStream,
    NoReply,
    attended,
)
from dadm.adapters.simulators.openai.switched_faults import SwitchedFaults
from dadm.adapters.simulators.openai.wire import (
    Call,
    ConnectionDropped,
    JsonObject,
    JsonReply,
    PageReply,
    Reply,
)

Operation: TypeAlias = Callable[[SimulatedOpenAI, Call], Awaitable[Reply]]

OPERATIONS: dict[str, dict[str, Operation]] = {
    endpoints.CONVERSATIONS: {"POST": conversations.create},
    endpoints.CONVERSATION: {
        "GET": conversations.retrieve,
        "POST": conversations.update,
        "DELETE": conversations.delete,
    },
    endpoints.ITEMS: {
        "GET": conversations.list_items,
        "POST": conversations.create_items,
    },
    endpoints.ITEM: {
        "GET": conversations.retrieve_item,
        "DELETE": conversations.delete_item,
    },
    endpoints.RESPONSES: {"POST": responses.create},
    endpoints.RESPONSE: {"GET": responses.retrieve, "DELETE": responses.delete},
    endpoints.CANCEL: {"POST": responses.cancel},
    endpoints.INPUT_ITEMS: {"GET": responses.list_input_items},
    endpoints.MODELS: {"GET": responses.list_models},
    endpoints.MODEL: {"GET": responses.retrieve_model},
}


def create_app(simulated: SimulatedOpenAI) -> Starlette:
    """Give the application that serves `simulated` below `/v1`, and its back door `/simulator`.

    A server's lifespan events enter and leave `simulated`, unless it was entered before.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        if simulated.is_entered:
            yield
            return
        async with simulated:
            yield

    door = _Door(simulated)
    routes = [
        Route(path, partial(door.serve, operations), methods=list(operations))
        for path, operations in OPERATIONS.items()
    ]
    return Starlette(
        routes=[*routes, *admin_routes(simulated, authenticate=door.authenticate)],
        lifespan=lifespan,
        exception_handlers={HTTPException: _in_the_vendors_form, errors.ApiError: _refusal},
    )


def simulate(
    responder: Responder,
    switches: Mapping[str, object],
    api_keys: Sequence[str],
    faults: Sequence[str],
    *,
    seed: int,
) -> Starlette:
    """Give the application of an API set up in words, as on a command line.

    Args:
        responder: Answers in the model's place.
        switches: Open questions that are answered otherwise.
        api_keys: The keys that are taken; any where none is named.
        faults: Rules of what goes wrong, as texts.
        seed: Decides what goes wrong by chance.

    Raises:
        UnknownAnswer: there is no such question, or no such answer to it.
        WrongFault: a text is no rule.
    """
    simulated = SimulatedOpenAI(
        responder, api_keys=api_keys or None, faults=SwitchedFaults(faults, seed=seed)
    )
    simulated.switch(**switches)
    return create_app(simulated)


class _Door:
    """Reads requests, lets them through to their operation, and sends what comes back."""

    def __init__(self, simulated: SimulatedOpenAI) -> None:
        self._simulated = simulated
        self._arrivals = count(1)

    async def serve(self, operations: dict[str, Operation], request: Request) -> Response:
        operation = operations["GET" if request.method == "HEAD" else request.method]
        call = self._call(request)
        self._simulated.ledger.request_arrived(call)
        headers = {"x-request-id": self._simulated.mint("req")}
        response, outcome = await self._answer(operation, request, call, headers)
        self._simulated.ledger.request_ended(call, outcome)
        return response

    def authenticate(self, request: Request) -> None:
        """Let a request pass that brings a key.

        Raises:
            ApiError: it brings none, or one that is not taken.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise errors.api_key_missing()
        taken = self._simulated.api_keys
        if taken is not None and key not in taken:
            raise errors.api_key_wrong(key)

    async def _answer(
        self, operation: Operation, request: Request, call: Call, headers: dict[str, str]
    ) -> tuple[Response, str]:
        faults = self._simulated.faults
        try:
            self.authenticate(request)
            call = await _with_body(call, request)
            perform = partial(operation, self._simulated, call)
            reply = await attended(faults.around(call, perform), request.receive)
        except errors.ApiError as error:
            return _error(error, headers), str(error.status)
        except ConnectionDropped:
            return BrokenReply(), "dropped"
        except (CallerGone, ClientDisconnect):
            return NoReply(), "caller gone"
        if isinstance(reply, JsonReply):
            sent = JSONResponse(reply.body, status_code=reply.status, headers=headers)
            return sent, str(reply.status)
        if isinstance(reply, PageReply):
            page = HTMLResponse(reply.html, reply.status, headers | dict(reply.headers))
            return page, str(reply.status)
        stream = replace(reply, events=faults.on_the_way(call, reply.events))
        return EventStream(stream, headers=headers), "streamed"

    def _call(self, request: Request) -> Call:
        retries = request.headers.get("x-stainless-retry-count", "0")
        return Call(
            number=next(self._arrivals),
            method=request.method,
            path=request.url.path,
            named=dict(request.path_params),
            query=dict(request.query_params),
            idempotency_key=request.headers.get("idempotency-key"),
            retry_count=int(retries) if retries.isdecimal() else 0,
        )


async def _with_body(call: Call, request: Request) -> Call:
    return replace(call, body=_json_object(await request.body()))


def _json_object(content: bytes) -> JsonObject:
    if not content:
        return {}
    try:
        body = json.loads(content)
    except ValueError as error:
        raise errors.not_json() from error
    if not isinstance(body, dict):
        raise errors.not_json()
    return body


def _error(error: errors.ApiError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    headers = dict(headers or {}) | error.headers
    return JSONResponse(error.body(), status_code=error.status, headers=headers)


async def _refusal(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, errors.ApiError):
        raise error
    return _error(error)


async def _in_the_vendors_form(request: Request, error: Exception) -> Response:
    path = request.url.path
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _error(errors.method_not_allowed(request.method, path))
    return _error(errors.unknown_url(request.method, path))

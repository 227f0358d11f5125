"""The back door over HTTP: switches, faults, time, ledger and conversations, for other processes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dadm.adapters.simulators.openai import errors
from dadm.adapters.simulators.openai.fault_reading import read_rule, rule_as_json
from dadm.adapters.simulators.openai.fault_rules import WrongFault
from dadm.adapters.simulators.openai.fault_switch import SwitchSeen
from dadm.adapters.simulators.openai.ledger import KINDS_OF_ENTRY
from dadm.adapters.simulators.openai.simulated import SimulatedOpenAI
from dadm.adapters.simulators.openai.switched_faults import SwitchedFaults, UnknownRule
from dadm.adapters.simulators.openai.wire import JsonObject


def admin_routes(
    simulated: SimulatedOpenAI, *, authenticate: Callable[[Request], None]
) -> list[Route]:
    """Give the routes below `/simulator`; they take the same keys as the API.

    - `GET` and `PATCH /simulator/behaviour`: the answers to the open questions.
    - `GET /simulator/ledger`: everything that happened; `?kind=ModelCall` of one kind.
    - `GET /simulator/conversations`: the ids of all conversations.
    - `GET` and `DELETE /simulator/conversations/{id}`: its items, oldest first; delete it unseen.
    - `POST` and `DELETE /simulator/conversations/{id}/lock`: hold and release its lock.
    - `GET /simulator/faults`: the rules, how often each struck, and how many it holds now.
    - `POST /simulator/faults`: add a rule or a list of them, as text or as JSON.
    - `DELETE /simulator/faults` and `/simulator/faults/{id}`: switch them off, let go of all held.
    - `POST /simulator/faults/{id}/let-go`: let go of what it holds; `{"at_most": 1}` the oldest.
    - `GET` and `POST /simulator/clock`: the time; `{"forward_seconds": 2592000}` lets it pass.
    """
    admin = _Admin(simulated, authenticate)
    conversation = "/simulator/conversations/{conversation_id}"
    return [
        Route("/simulator/behaviour", admin.behaviour, methods=["GET", "PATCH"]),
        Route("/simulator/ledger", admin.ledger, methods=["GET"]),
        Route("/simulator/conversations", admin.conversations, methods=["GET"]),
        Route(conversation, admin.conversation, methods=["GET", "DELETE"]),
        Route(f"{conversation}/lock", admin.lock, methods=["POST", "DELETE"]),
        Route("/simulator/faults", admin.faults, methods=["GET", "POST", "DELETE"]),
        Route("/simulator/faults/{rule_id}", admin.fault, methods=["DELETE"]),
        Route("/simulator/faults/{rule_id}/let-go", admin.let_go, methods=["POST"]),
        Route("/simulator/clock", admin.clock, methods=["GET", "POST"]),
    ]


class _Admin:
    def __init__(self, simulated: SimulatedOpenAI, authenticate: Callable[[Request], None]) -> None:
        self._simulated = simulated
        self._authenticate = authenticate

    async def behaviour(self, request: Request) -> Response:
        self._authenticate(request)
        if request.method == "PATCH":
            try:
                answers = json.loads(await request.body())
                self._simulated.switch(**answers)
            except (ValueError, TypeError) as error:
                raise errors.ApiError(str(error)) from error
        return JSONResponse(asdict(self._simulated.behaviour))

    async def ledger(self, request: Request) -> Response:
        self._authenticate(request)
        kind = request.query_params.get("kind")
        if kind not in {None, *KINDS_OF_ENTRY}:
            raise errors.ApiError(f"'kind' is one of: {', '.join(KINDS_OF_ENTRY)}.")
        return JSONResponse({"entries": self._simulated.ledger.as_json(kind)})

    async def conversations(self, request: Request) -> Response:
        self._authenticate(request)
        return JSONResponse({"conversations": self._simulated.conversation_ids()})

    async def conversation(self, request: Request) -> Response:
        self._authenticate(request)
        conversation_id = request.path_params["conversation_id"]
        items = self._simulated.items_of(conversation_id)
        if request.method == "DELETE":
            self._simulated.delete_conversation(conversation_id)
        return JSONResponse({"conversation_id": conversation_id, "items": items})

    async def lock(self, request: Request) -> Response:
        self._authenticate(request)
        conversation_id = request.path_params["conversation_id"]
        if request.method == "POST":
            self._simulated.hold_lock(conversation_id)
        else:
            self._simulated.release_lock(conversation_id)
        is_locked = self._simulated.state.conversation(conversation_id).is_locked
        return JSONResponse({"conversation_id": conversation_id, "is_locked": is_locked})

    async def faults(self, request: Request) -> Response:
        self._authenticate(request)
        faults = self._switched()
        if request.method == "POST":
            given = await _json(request)
            try:
                added = faults.add(*map(read_rule, given if isinstance(given, list) else [given]))
            except WrongFault as error:
                raise errors.ApiError(str(error)) from error
            told = [_told(seen) for seen in faults.seen() if seen.id in added]
            return JSONResponse({"faults": told}, status_code=HTTPStatus.CREATED)
        if request.method == "DELETE":
            faults.clear()
        return JSONResponse({"faults": [_told(seen) for seen in faults.seen()]})

    async def fault(self, request: Request) -> Response:
        self._authenticate(request)
        faults = self._switched()
        try:
            faults.remove(request.path_params["rule_id"])
        except UnknownRule as error:
            raise errors.ApiError(str(error), status=HTTPStatus.NOT_FOUND) from error
        return JSONResponse({"faults": [_told(seen) for seen in faults.seen()]})

    async def let_go(self, request: Request) -> Response:
        self._authenticate(request)
        rule_id = request.path_params["rule_id"]
        at_most = (await _fields(request, "at_most")).get("at_most")
        if at_most is not None and (type(at_most) is not int or at_most < 1):
            raise errors.ApiError(f"'at_most' is a whole number from 1, not {at_most!r}.")
        try:
            count = self._switched().let_go(rule_id, at_most=at_most)
        except UnknownRule as error:
            raise errors.ApiError(str(error), status=HTTPStatus.NOT_FOUND) from error
        return JSONResponse({"id": rule_id, "let_go": count})

    async def clock(self, request: Request) -> Response:
        self._authenticate(request)
        if request.method == "POST":
            seconds = (await _fields(request, "forward_seconds")).get("forward_seconds")
            if isinstance(seconds, bool) or not isinstance(seconds, int | float):
                raise errors.ApiError('Send {"forward_seconds": NUMBER}.')
            try:
                self._simulated.clock.forward(seconds)
            except ValueError as error:
                raise errors.ApiError(str(error)) from error
        return JSONResponse({"now": self._simulated.clock()})

    def _switched(self) -> SwitchedFaults:
        faults = self._simulated.faults
        if not isinstance(faults, SwitchedFaults):
            message = (
                "The faults of this simulator are its owner's own and cannot be switched here."
            )
            raise errors.ApiError(message, status=HTTPStatus.CONFLICT)
        return faults


def _told(seen: SwitchSeen) -> JsonObject:
    counts = {"matched": seen.matched, "struck": seen.struck, "holding": seen.holding}
    return {"id": seen.id} | rule_as_json(seen.rule) | counts


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise errors.ApiError("The body of this request is no JSON.") from error


async def _fields(request: Request, name: str) -> Mapping[str, Any]:
    if not await request.body():
        return {}
    given = await _json(request)
    if not isinstance(given, dict) or set(given) - {name}:
        raise errors.ApiError(f"An object is taken, with '{name}' alone.")
    return given

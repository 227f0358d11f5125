"""The back door over HTTP: switches, ledger and conversations, for tests in other processes."""

import json
from collections.abc import Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dadm.adapters.simulators.openai import errors
from dadm.adapters.simulators.openai.simulated import SimulatedOpenAI


def admin_routes(
    simulated: SimulatedOpenAI, *, authenticate: Callable[[Request], None]
) -> list[Route]:
    """Give the routes below `/simulator`; they take the same keys as the API.

    - `GET` and `PATCH /simulator/behaviour`: the answers to the open questions.
    - `GET /simulator/ledger`: everything that happened.
    - `GET /simulator/conversations`: the ids of all conversations.
    - `GET` and `DELETE /simulator/conversations/{id}`: its items, oldest first; delete it unseen.
    - `POST` and `DELETE /simulator/conversations/{id}/lock`: hold and release its lock.
    """
    admin = _Admin(simulated, authenticate)
    conversation = "/simulator/conversations/{conversation_id}"
    return [
        Route("/simulator/behaviour", admin.behaviour, methods=["GET", "PATCH"]),
        Route("/simulator/ledger", admin.ledger, methods=["GET"]),
        Route("/simulator/conversations", admin.conversations, methods=["GET"]),
        Route(conversation, admin.conversation, methods=["GET", "DELETE"]),
        Route(f"{conversation}/lock", admin.lock, methods=["POST", "DELETE"]),
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
        return JSONResponse({"entries": self._simulated.ledger.as_json()})

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

"""What an engine of the Camunda 7 family means by a reply that is no success."""

import json
from dataclasses import dataclass

import httpx2

OPTIMISTIC_LOCKING, DEADLOCK, VALUE_TOO_LONG = 1, 10_000, 10_002
"""Codes that the engine gives with a status 500; others are faults of a model or a request."""

COMES_BACK = frozenset({429, 502, 503, 504})
NO_ENTRY = frozenset({401, 403})
NOT_THE_ENGINE = "NotFoundException"
"""The type of a 404 that the web framework gave, and no engine: there is nothing at this path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A definite no: its status, and what the engine says with it. `code` is None for bad requests."""

    status: int
    kind: str
    message: str
    code: int | None

    @property
    def is_gone(self) -> bool:
        """Whether what was asked about is not there, any more or at all."""
        return self.status == httpx2.codes.NOT_FOUND

    @property
    def is_about_the_lock(self) -> bool:
        """Whether somebody else has the task, its lock ran out, or it is suspended; not which."""
        return self.status == httpx2.codes.BAD_REQUEST and self.code == 0

    @property
    def is_of_the_moment(self) -> bool:
        """Whether two changes met, so that the same request is sent again at once."""
        return self.code in (OPTIMISTIC_LOCKING, DEADLOCK) and self.is_fault

    @property
    def is_too_long(self) -> bool:
        """Whether the engine's database did not take a value; it does not say which or why."""
        return self.code == VALUE_TOO_LONG

    @property
    def is_fault(self) -> bool:
        """Whether the engine failed at it rather than refused it."""
        return self.status >= httpx2.codes.INTERNAL_SERVER_ERROR


class Refused(Exception):
    """The engine refused a request; its caller knows what that means."""

    def __init__(self, refusal: Refusal) -> None:
        """Carry what the engine said."""
        super().__init__(refusal.message)
        self.refusal = refusal


def refusal_in(response: httpx2.Response) -> Refusal | None:
    """Read a reply that is no success, None where no engine wrote it: its body is not parsed blindly."""
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "type" not in body:
        if response.status_code == httpx2.codes.BAD_REQUEST:
            # A body that is no JSON is refused in plain text.
            return Refusal(status=400, kind="", message=response.text[:500], code=None)
        return None
    if body["type"] == NOT_THE_ENGINE:
        return None
    code = body.get("code")
    return Refusal(
        status=response.status_code,
        kind=str(body["type"]),
        message=str(body.get("message") or "").strip() or f"{body['type']}, without a message",
        code=code if isinstance(code, int) else None,
    )

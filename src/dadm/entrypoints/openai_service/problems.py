"""Problem documents (RFC 9457): every error becomes one, through one table."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from fastapi.responses import JSONResponse

from dadm.domain import errors
from dadm.domain.errors import (
    BackendUnavailable,
    DadmError,
    OutcomeUnknown,
    ServiceUnavailable,
    UnknownAssistant,
)

LOGGER = logging.getLogger("dadm.openai_service")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
"""What callers are told to wait where nobody knows better."""

STATUS_OF: Mapping[type[DadmError], int] = MappingProxyType(
    {
        errors.DadmError: 500,
        errors.RequestError: 400,
        errors.UnknownAssistant: 400,
        errors.UnknownThread: 404,
        errors.UnknownProcess: 404,
        errors.ThreadClosed: 409,
        errors.ThreadErased: 410,
        errors.InvalidTask: 400,
        errors.InvalidModel: 400,
        errors.InvalidAssistant: 502,
        errors.TaskContentChanged: 409,
        errors.TaskIdentityConflict: 409,
        errors.BackendError: 502,
        errors.BackendUnavailable: 503,
        errors.BackendResting: 503,
        errors.OutcomeUnknown: 503,
        errors.ConversationBusy: 503,
        errors.BackendRefused: 422,
        errors.AnswerCutShort: 422,
        errors.BackendMisconfigured: 502,
        errors.ConversationLost: 503,
        errors.TooManyLost: 502,
        errors.ConversationBroken: 503,
        errors.ConversationTooLong: 422,
        errors.EngineError: 502,
        errors.EngineUnavailable: 503,
        errors.EngineAccessRefused: 502,
        errors.EngineRejected: 502,
        errors.TaskGone: 410,
        errors.LeaseLost: 409,
        errors.StoreError: 503,
        errors.StoreUnavailable: 503,
        errors.StoreMisconfigured: 503,
        errors.ThreadConflict: 503,
        errors.ServiceUnavailable: 503,
        errors.TooManyWaiting: 503,
        errors.ShuttingDown: 503,
        errors.SettingsError: 500,
    }
)
"""The status of every error in the tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProblem:
    """Something wrong that only HTTP knows of: its code, its status and what it means."""

    code: str
    status: int
    title: str


MALFORMED = HttpProblem(
    code="malformed_request", status=400, title="The request is not what this address takes."
)
UNAUTHORIZED = HttpProblem(code="unauthorized", status=401, title="A valid token is needed.")
CROSS_SITE = HttpProblem(
    code="cross_site", status=403, title="Browsers may not call from other sites."
)
NOT_FOUND = HttpProblem(code="not_found", status=404, title="There is nothing at this address.")
METHOD_NOT_ALLOWED = HttpProblem(
    code="method_not_allowed", status=405, title="This address does not take this method."
)
BODY_TOO_LARGE = HttpProblem(
    code="body_too_large", status=413, title="The body is larger than this service accepts."
)
INTERNAL_ERROR = HttpProblem(
    code="internal_error", status=500, title="Something unforeseen went wrong here."
)

HTTP_PROBLEMS = (
    MALFORMED,
    UNAUTHORIZED,
    CROSS_SITE,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    BODY_TOO_LARGE,
    INTERNAL_ERROR,
)


PROBLEM_REPLY: dict[str, Any] = {
    "description": "A problem document; its `code` says which of those that /docs lists.",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail", "instance", "code", "retryable"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "instance": {"type": "string"},
                    "code": {"type": "string"},
                    "retryable": {"type": "boolean"},
                    "retry_after_seconds": {"type": "integer"},
                    "task_id": {"type": "string"},
                },
            }
        }
    },
}
"""How the service's OpenAPI document describes every reply that is not the wanted one."""


class RequestRefused(Exception):
    """A request that never became a task; it is answered with `problem`."""

    def __init__(self, problem: HttpProblem, detail: str, **more: Any) -> None:
        """Say in `detail` what was wrong this time; `more` are fields of the document."""
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.more = more


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem document before it is written."""

    code: str
    status: int
    title: str
    detail: str
    retryable: bool = False
    retry_after_seconds: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def _key(self) -> dict[str, str]:
        return {"action": "request_failed", "code": self.code}

    def response(self, *, instance: str, scrub: Callable[[str], str]) -> JSONResponse:
        """Write the document for the request to `instance`."""
        document = {
            # Resolves to the list of problems on this service's own page.
            "type": f"/docs#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": scrub(self.detail),
            "instance": instance,
            "code": self.code,
            "retryable": self.retryable,
            **self.more,
        }
        if self.status >= INTERNAL_ERROR.status:
            LOGGER.warning(
                "%s is answered with %d: %s", instance, self.status, self.detail, extra=self._key
            )
        headers = {}
        if self.retry_after_seconds is not None:
            document["retry_after_seconds"] = self.retry_after_seconds
            headers["Retry-After"] = str(self.retry_after_seconds)
        if self.status == UNAUTHORIZED.status:
            headers["WWW-Authenticate"] = 'Bearer realm="dadm"'
        return JSONResponse(document, self.status, headers, media_type=MEDIA_TYPE)


def problem_of_error(error: DadmError, **more: Any) -> Problem:
    """Say what a caller is told about `error`; `more` are fields of the document."""
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS_OF)
    if isinstance(error, UnknownAssistant):
        more["known_assistants"] = list(error.known)
    return Problem(
        code=error.code,
        status=STATUS_OF[kind],
        title=title_of(kind),
        detail=error.message,
        retryable=error.retryable,
        retry_after_seconds=_retry_after_seconds(error) if error.retryable else None,
        more=more,
    )


def problem_of_refusal(refused: RequestRefused) -> Problem:
    """Say what a caller is told about a request that never became a task."""
    return Problem(
        code=refused.problem.code,
        status=refused.problem.status,
        title=refused.problem.title,
        detail=refused.detail,
        more=refused.more,
    )


def title_of(kind: type[DadmError]) -> str:
    """Give the sentence that stands for every error of `kind`."""
    return (kind.__doc__ or "").strip().splitlines()[0]


def _retry_after_seconds(error: DadmError) -> int:
    match error:
        case (
            BackendUnavailable(retry_after=timedelta() as wait)
            | OutcomeUnknown(retry_after=timedelta() as wait)
            | ServiceUnavailable(retry_after=timedelta() as wait)
        ):
            return max(1, math.ceil(wait.total_seconds()))
        case _:
            return RETRY_AFTER_SECONDS

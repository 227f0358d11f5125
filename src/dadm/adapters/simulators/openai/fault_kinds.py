"""The faults that can be switched on: one frozen value for each, with what can be set about it."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from dadm.adapters.simulators.openai.faults import Phase

LOWEST_STATUS = 400
HIGHEST_STATUS = 599


class Side(StrEnum):
    """Whether a fault strikes before a request has its effect, or after it."""

    BEFORE = "before"
    AFTER = "after"


class Which(StrEnum):
    """Which of two replies its caller gets."""

    FIRST = "first"
    SECOND = "second"


class FailureCode(StrEnum):
    """Why a response failed."""

    SERVER_ERROR = "server_error"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    INVALID_PROMPT = "invalid_prompt"


class IncompleteReason(StrEnum):
    """Why a response is incomplete."""

    MAX_OUTPUT_TOKENS = "max_output_tokens"
    CONTENT_FILTER = "content_filter"


def at_least(name: str, value: float | None, lowest: int) -> None:
    """Refuse a number below its limit, or none at all.

    Raises:
        ValueError: it is.
    """
    if value is not None and not (math.isfinite(value) and value >= lowest):
        message = f"'{name}' is at least {lowest}, not {value}."
        raise ValueError(message)


# Faults of a request and of its reply


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRequest:
    """The connection breaks before the request has any effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropReply:
    """The request has its effect, its response ends and is appended; then the connection breaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpError:
    """An error is answered in the API's form, or as a proxy's HTML page; `after`: with the effect.

    Without `code` and `message` they are the usual ones of that status. `retry_after` is in
    seconds.
    """

    status: int
    when: Side = Side.BEFORE
    retry_after: int | None = None
    code: str | None = None
    message: str | None = None
    html: bool = False

    def __post_init__(self) -> None:
        if not LOWEST_STATUS <= self.status <= HIGHEST_STATUS:
            message = f"'status' is from {LOWEST_STATUS} to {HIGHEST_STATUS}, not {self.status}."
            raise ValueError(message)
        at_least("retry_after", self.retry_after, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """The request is performed twice, again when its response has ended, or `at_once`."""

    reply: Which = Which.SECOND
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """The connection breaks at once; the request is performed `seconds` later, or when let go."""

    seconds: float | None = None

    def __post_init__(self) -> None:
        at_least("seconds", self.seconds, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest:
    """The request waits before its effect, for `seconds` or until let go.

    If its caller leaves meanwhile it is never performed, unless it `outlives_caller`.
    """

    seconds: float | None = None
    outlives_caller: bool = False

    def __post_init__(self) -> None:
        at_least("seconds", self.seconds, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReply:
    """The request is performed, and its reply (all of a stream) waits for `seconds` or let go."""

    seconds: float | None = None

    def __post_init__(self) -> None:
        at_least("seconds", self.seconds, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockConversation:
    """Someone else holds the conversation from before the request, for `seconds` or until let go."""

    seconds: float | None = None

    def __post_init__(self) -> None:
        at_least("seconds", self.seconds, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteConversation:
    """The conversation is deleted before the request, or after it and the response it began."""

    when: Side = Side.BEFORE


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireResponse:
    """The response that the request names is kept no longer, as after thirty days."""


# Faults of a run


@dataclass(frozen=True, slots=True, kw_only=True)
class FailRun:
    """The response ends as `failed`, with nothing put out."""

    code: FailureCode = FailureCode.SERVER_ERROR
    at: Phase = Phase.ANSWERED


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRun:
    """The response ends as `incomplete`, with what was said by then."""

    reason: IncompleteReason = IncompleteReason.MAX_OUTPUT_TOKENS
    at: Phase = Phase.SPEAKING


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRun:
    """The response ends as `cancelled`; no event tells so."""

    at: Phase = Phase.SPEAKING


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRun:
    """The run waits, and holds the conversation's lock, for `seconds` or until let go."""

    at: Phase = Phase.ANSWERED
    seconds: float | None = None

    def __post_init__(self) -> None:
        at_least("seconds", self.seconds, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanRun:
    """The conversation is deleted under the run, which goes on and appends nowhere."""

    at: Phase = Phase.ANSWERED


# Faults of a stream on its way


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetStream:
    """The connection breaks after so many events, at the latest before the last."""

    events: int = 1

    def __post_init__(self) -> None:
        at_least("events", self.events, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndStream:
    """The stream ends properly after so many events, by default with all but the last."""

    events: int | None = None

    def __post_init__(self) -> None:
        at_least("events", self.events, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInStream:
    """An `error` event ends the stream; `nested` puts its fields into an `error` object."""

    events: int = 1
    nested: bool = False

    def __post_init__(self) -> None:
        at_least("events", self.events, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldStream:
    """The stream falls silent after so many events, for `seconds` or until let go."""

    events: int = 1
    seconds: float | None = None

    def __post_init__(self) -> None:
        at_least("events", self.events, 0)
        at_least("seconds", self.seconds, 0)


RequestFault: TypeAlias = (
    DropRequest
    | DropReply
    | HttpError
    | Duplicate
    | Late
    | HoldRequest
    | HoldReply
    | LockConversation
    | DeleteConversation
    | ExpireResponse
)
RunFault: TypeAlias = FailRun | CutRun | CancelRun | HoldRun | OrphanRun
StreamFault: TypeAlias = ResetStream | EndStream | ErrorInStream | HoldStream
Fault: TypeAlias = RequestFault | RunFault | StreamFault

KINDS: dict[str, type[Fault]] = {
    "drop-request": DropRequest,
    "drop-reply": DropReply,
    "http-error": HttpError,
    "duplicate": Duplicate,
    "late": Late,
    "hold-request": HoldRequest,
    "hold-reply": HoldReply,
    "lock-conversation": LockConversation,
    "delete-conversation": DeleteConversation,
    "expire-response": ExpireResponse,
    "fail-run": FailRun,
    "cut-run": CutRun,
    "cancel-run": CancelRun,
    "hold-run": HoldRun,
    "orphan-run": OrphanRun,
    "reset-stream": ResetStream,
    "end-stream": EndStream,
    "error-in-stream": ErrorInStream,
    "hold-stream": HoldStream,
}
"""Every fault by the name that rules and ledger call it."""

NAMES: dict[type[Fault], str] = {kind: name for name, kind in KINDS.items()}

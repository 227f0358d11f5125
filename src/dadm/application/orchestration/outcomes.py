"""What the engine is told about a task: one table from answers and errors to outcomes."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from dadm.domain.errors import (
    BackendRefused,
    BackendResting,
    BackendUnavailable,
    DadmError,
    OutcomeUnknown,
    ServiceUnavailable,
    ShuttingDown,
    StoreUnavailable,
    TooManyWaiting,
)
from dadm.domain.json import JsonValue
from dadm.domain.task import BpmnError, Completed, Failed, Incident, Outcome
from dadm.ports.assistant_service import TaskAnswer
from dadm.ports.engine import LeasedTask

RESULT_VARIABLE = "resultVariable"
"""The task property that names the process variable the answer goes to."""

DEFAULT_RESULT_VARIABLE = "recommendation"

ERROR_CODE = "errorCode"
"""The task property that names the BPMN error code of a refusal; default `backend_refused`."""

GIVEN_BACK = (ServiceUnavailable, ShuttingDown, TooManyWaiting)
"""Errors that have nothing to do with the task: another worker may have it at once."""

AT_NO_COST = (BackendResting, StoreUnavailable, *GIVEN_BACK)
"""Errors that say nothing about the task, so that they cost none of its retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How failures are tried again: how often, and with which pauses, doubled each time."""

    retries: int = 3
    first_pause: timedelta = timedelta(seconds=5)
    longest_pause: timedelta = timedelta(minutes=5)


def completed(task: LeasedTask, answer: TaskAnswer) -> Completed:
    """Put the answer where the process expects it: its result variable, and `<task id>_result`.

    A structured answer becomes a JSON value, any other stays text; so does one that should be
    JSON and is not, since not every backend holds its model to a schema.
    """
    value: JsonValue = answer.recommendation
    if answer.has_structure:
        with suppress(ValueError):
            value = json.loads(answer.recommendation)
    name = task.properties.get(RESULT_VARIABLE, "").strip() or DEFAULT_RESULT_VARIABLE
    variables: Mapping[str, JsonValue] = {name: value, f"{task.element_id}_result": value}
    return Completed(variables=variables)


def outcome_of(error: DadmError, task: LeasedTask, policy: RetryPolicy) -> Outcome:
    """Say what the engine is told about `error`.

    Retryable errors are failures with one retry less and a growing pause; the last one leaves
    an incident. A backend that is left alone for a while and a database that is not there cost
    no retry. A refusal takes the model's error path, but only where the model catches its code:
    an uncaught BPMN error would end some engines' instances silently. Everything else waits for
    a person.
    """
    if error.retryable:
        return _failure(error, task, policy)
    if isinstance(error, BackendRefused):
        code = _caught_code(error, task)
        if code is not None:
            return BpmnError(error_code=code, message=error.message)
    return Incident(message=error.message, details=_details(error.code, task))


def _caught_code(error: BackendRefused, task: LeasedTask) -> str | None:
    """Choose the code that the model catches a refusal by: the narrower one where it names it."""
    if error.code != BackendRefused.code and error.code in task.caught_errors:
        return error.code
    code = task.properties.get(ERROR_CODE, "").strip() or BackendRefused.code
    return code if task.caught_errors & {code, ""} else None


def unexpected(error: Exception, task: LeasedTask) -> Incident:
    """Say what the engine is told about a fault in DADM itself: what kind, not its words."""
    message = (
        f"Something unexpected went wrong in DADM ({type(error).__name__}); its log has the "
        "details. Mend the cause, then retry the incident."
    )
    return Incident(message=message, details=_details(type(error).__name__, task))


def _failure(error: DadmError, task: LeasedTask, policy: RetryPolicy) -> Failed | Incident:
    left = policy.retries if task.retries is None else task.retries - 1
    if isinstance(error, AT_NO_COST):
        left += 1
    if left <= 0:
        message = f"{error.message} No retries are left; mend the cause, then retry the incident."
        return Incident(message=message, details=_details(error.code, task))
    failed_before = min(max(0, policy.retries - left), 16)
    pause = min(policy.longest_pause, policy.first_pause * 2**failed_before)
    if isinstance(error, BackendUnavailable | OutcomeUnknown) and error.retry_after is not None:
        pause = max(pause, error.retry_after)
    return Failed(
        message=error.message, details=_details(error.code, task), retries=left, retry_after=pause
    )


def _details(code: str, task: LeasedTask) -> str:
    return (
        f"code: {code}\ntask: {task.task_id}\nelement: {task.element_id}\n"
        f"process instance: {task.process_instance_id}"
    )

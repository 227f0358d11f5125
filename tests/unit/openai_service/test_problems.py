"""Every error has its status, and callers are told what they can do about it."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from dadm.domain import errors
from dadm.domain.errors import (
    BackendMisconfigured,
    BackendRefused,
    BackendUnavailable,
    ConversationTooLong,
    DadmError,
    InvalidAssistant,
    OutcomeUnknown,
    ShuttingDown,
    StoreUnavailable,
    ThreadClosed,
    ThreadConflict,
    ThreadErased,
    TooManyWaiting,
    UnknownAssistant,
)
from dadm.domain.task import ServiceTask
from dadm.entrypoints.openai_service.problems import (
    HTTP_PROBLEMS,
    STATUS_OF,
    problem_of_error,
)
from dadm.ports.assistant_service import TaskAnswer
from dadm.telemetry import Scrubber
from tests.unit.openai_service.world import running_service


def every(kind: type[DadmError] = DadmError) -> Iterator[type[DadmError]]:
    yield kind
    for narrower in kind.__subclasses__():
        if narrower.__module__ == errors.__name__:
            yield from every(narrower)


class Failing:
    """A service that fails every task in one way."""

    def __init__(self, error: DadmError) -> None:
        self.error = error

    async def process_task(self, task: ServiceTask) -> TaskAnswer:
        raise self.error

    async def knows_assistant(self, name: str) -> bool:
        raise self.error

    async def refuse_if_away(self) -> None:
        raise self.error

    async def outcome_reported(self, task: ServiceTask) -> None:
        raise self.error

    async def withdraw_task(self, task: ServiceTask) -> None:
        raise self.error


def test_the_table_has_every_error_and_no_other() -> None:
    assert set(STATUS_OF) == set(every())


def test_no_two_problems_share_a_code() -> None:
    codes = [kind.code for kind in STATUS_OF] + [each.code for each in HTTP_PROBLEMS]

    assert len(codes) == len(set(codes))


def test_what_is_worth_retrying_is_told_by_the_status_too() -> None:
    for kind, status in STATUS_OF.items():
        assert (status == 503) is kind.retryable or not kind.retryable, kind


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ThreadClosed(), 409),
        (ThreadErased(), 410),
        (BackendUnavailable(), 503),
        (OutcomeUnknown(), 503),
        (BackendRefused("Not about this."), 422),
        (ConversationTooLong(), 422),
        (BackendMisconfigured("The key is wrong."), 502),
        (InvalidAssistant("The parameter colour is unknown."), 502),
        (StoreUnavailable(), 503),
        (ThreadConflict(), 503),
        (TooManyWaiting(), 503),
        (ShuttingDown(), 503),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_error_is_answered_with_its_status_and_what_to_do(
    error: DadmError, status: int
) -> None:
    async with running_service(service=Failing(error)) as service:
        response = await service.ask(task_id="t1")

    assert response.status_code == status
    document = response.json()
    assert document["code"] == error.code
    assert document["detail"] == error.message
    assert document["retryable"] is error.retryable
    assert document["task_id"] == "t1"
    assert ("retry-after" in response.headers) is error.retryable


async def test_a_minted_task_id_is_told_with_the_problem_so_that_the_task_can_come_again() -> None:
    async with running_service(service=Failing(OutcomeUnknown())) as service:
        response = await service.ask()

    assert response.json()["task_id"].startswith("task_")


async def test_a_backend_that_says_how_long_to_wait_is_quoted() -> None:
    error = BackendUnavailable(retry_after=timedelta(seconds=41.2))
    async with running_service(service=Failing(error)) as service:
        response = await service.ask()

    assert response.headers["retry-after"] == "42"
    assert response.json()["retry_after_seconds"] == 42


async def test_no_secret_is_told() -> None:
    error = BackendMisconfigured("Incorrect API key provided: sk-abcdefghijklmnopqrstuvwxyz.")
    async with running_service(service=Failing(error), scrub=Scrubber()) as service:
        response = await service.ask()

    assert "sk-abc" not in response.text
    assert "Incorrect API key" in response.json()["detail"]


async def test_a_report_that_cannot_be_recorded_is_answered_with_its_problem() -> None:
    async with running_service(service=Failing(StoreUnavailable())) as service:
        response = await service.client.post("/turns/reported", json={"task_id": "t1"})

    assert response.status_code == 503
    assert response.json()["code"] == "store_unavailable"


def test_an_unknown_assistant_comes_with_those_known() -> None:
    problem = problem_of_error(UnknownAssistant("nobody", ("a", "b")))

    assert problem.more == {"known_assistants": ["a", "b"]}


async def test_what_went_wrong_here_is_logged_and_what_callers_did_wrong_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_service(service=Failing(StoreUnavailable("The disk is full."))) as service:
        await service.ask()
        await service.ask(task_description="")

    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "The disk is full." in record.getMessage()
    assert vars(record)["action"] == "request_failed"

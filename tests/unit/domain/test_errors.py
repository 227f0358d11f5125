"""Errors: each has a sentence, a code, and says whether to come back."""

from datetime import timedelta

import pytest

from dadm.domain import errors
from dadm.domain.errors import BackendUnavailable, DadmError, RequestError, UnknownAssistant


def every_error() -> list[type[DadmError]]:
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, DadmError)]


def test_codes_are_unique() -> None:
    codes = [each.code for each in every_error()]

    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", [each for each in every_error() if each is not UnknownAssistant])
def test_error_without_a_message_says_what_its_class_says(kind: type[DadmError]) -> None:
    error = kind()

    assert error.message == (kind.__doc__ or "").splitlines()[0]
    assert error.message.endswith(".")
    assert str(kind("Other words.")) == "Other words."


def test_coming_back_never_helps_a_request_that_must_change() -> None:
    assert not [each for each in every_error() if issubclass(each, RequestError) and each.retryable]


def test_what_is_retryable_is_listed_here() -> None:
    assert {each.__name__ for each in every_error() if each.retryable} == {
        "BackendUnavailable",
        "BackendResting",
        "OutcomeUnknown",
        "ConversationBusy",
        "ConversationLost",
        "ConversationBroken",
        "EngineUnavailable",
        "StoreUnavailable",
        "ServiceUnavailable",
        "ThreadConflict",
        "TooManyWaiting",
        "ShuttingDown",
    }


def test_unavailable_backend_may_say_when_to_come_back() -> None:
    assert BackendUnavailable().retry_after is None
    assert BackendUnavailable(retry_after=timedelta(seconds=7)).retry_after == timedelta(seconds=7)


def test_unknown_assistant_says_so_where_there_are_none() -> None:
    assert UnknownAssistant("x").message.endswith("Known assistants: none.")

"""What the engine is told: one table from answers and errors, tested to be total."""

from datetime import timedelta
from typing import Any

import pytest

from dadm.application.orchestration.outcomes import (
    AT_NO_COST,
    RetryPolicy,
    completed,
    outcome_of,
    unexpected,
)
from dadm.domain import errors
from dadm.domain.errors import (
    AnswerCutShort,
    BackendRefused,
    BackendResting,
    BackendUnavailable,
    DadmError,
    OutcomeUnknown,
    ServiceUnavailable,
    StoreUnavailable,
    UnknownAssistant,
)
from dadm.domain.task import BpmnError, Completed, Failed, Incident
from dadm.domain.thread import NO_USAGE
from dadm.ports.assistant_service import TaskAnswer, ThreadChange
from tests.builders import NOON, make_leased_task

POLICY = RetryPolicy()


def answer(recommendation: str = "Buy.", **changes: Any) -> TaskAnswer:
    fields: dict[str, Any] = {
        "task_id": "t1",
        "turn_id": "1",
        "recommendation": recommendation,
        "assistant_id": "analyst",
        "assistant_version": "v1",
        "thread_id": "conv_1",
        "generation": 1,
        "change": ThreadChange.REUSED,
        "sequence": 1,
        "is_replayed": False,
        "is_recovered": False,
        "usage": NO_USAGE,
        "processed_at": NOON,
        "processed_by": "dadm",
    }
    return TaskAnswer(**(fields | changes))


def every_error() -> list[DadmError]:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, DadmError)
    ]
    return [UnknownAssistant("x") if kind is UnknownAssistant else kind() for kind in kinds]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_every_error_has_an_outcome_with_its_words(error: DadmError) -> None:
    outcome = outcome_of(error, make_leased_task(caught_errors=frozenset({""})), POLICY)

    if error.retryable:
        assert isinstance(outcome, Failed)
        assert outcome.retries == (4 if isinstance(error, AT_NO_COST) else 3)
        assert outcome.retry_after > timedelta(0)
    elif isinstance(error, BackendRefused):
        assert isinstance(outcome, BpmnError)
    else:
        assert isinstance(outcome, Incident)
    assert outcome.message == error.message


def test_answer_goes_to_recommendation_and_to_the_result_of_its_task() -> None:
    assert completed(make_leased_task(), answer()) == Completed(
        variables={"recommendation": "Buy.", "Task_1_result": "Buy."}
    )


@pytest.mark.parametrize(
    ("name", "variable"), [("advice", "advice"), (" advice ", "advice"), (" ", "recommendation")]
)
def test_property_names_the_variable_of_the_answer(name: str, variable: str) -> None:
    outcome = completed(make_leased_task(properties={"resultVariable": name}), answer())

    assert outcome.variables == {variable: "Buy.", "Task_1_result": "Buy."}


def test_structured_answer_becomes_a_value_and_any_other_stays_text() -> None:
    task = make_leased_task()

    structured = completed(task, answer('{"buy": true}', has_structure=True))
    plain = completed(task, answer('{"buy": true}'))
    broken = completed(task, answer("I would buy.", has_structure=True))

    assert structured.variables["recommendation"] == {"buy": True}
    assert plain.variables["recommendation"] == '{"buy": true}'
    assert broken.variables["recommendation"] == "I would buy."


@pytest.mark.parametrize(
    ("before", "retries", "pause_seconds"), [(None, 3, 5), (3, 2, 10), (2, 1, 20), (9, 8, 5)]
)
def test_retries_and_pauses_follow_the_engines_own_count(
    before: int | None, retries: int, pause_seconds: int
) -> None:
    outcome = outcome_of(OutcomeUnknown(), make_leased_task(retries=before), POLICY)

    assert isinstance(outcome, Failed)
    assert (outcome.retries, outcome.retry_after) == (retries, timedelta(seconds=pause_seconds))


@pytest.mark.parametrize("before", [1, 0])
def test_last_retry_leaves_an_incident_that_says_what_to_do(before: int) -> None:
    outcome = outcome_of(OutcomeUnknown("No answer."), make_leased_task(retries=before), POLICY)

    assert isinstance(outcome, Incident)
    assert outcome.message.startswith("No answer. No retries are left")


def test_policy_without_retries_leaves_an_incident_at_once() -> None:
    outcome = outcome_of(OutcomeUnknown(), make_leased_task(), RetryPolicy(retries=0))

    assert isinstance(outcome, Incident)


def test_pause_is_never_longer_than_the_policy_allows() -> None:
    policy = RetryPolicy(retries=100)
    outcome = outcome_of(OutcomeUnknown(), make_leased_task(retries=10), policy)

    assert isinstance(outcome, Failed)
    assert outcome.retry_after == policy.longest_pause


@pytest.mark.parametrize(("asked", "paused"), [(None, 5), (2, 5), (900, 900)])
def test_pause_is_at_least_what_the_backend_asked_for(asked: int | None, paused: int) -> None:
    wait = None if asked is None else timedelta(seconds=asked)
    outcome = outcome_of(BackendUnavailable(retry_after=wait), make_leased_task(), POLICY)

    assert isinstance(outcome, Failed)
    assert outcome.retry_after == timedelta(seconds=paused)


@pytest.mark.parametrize("error", [BackendResting(), StoreUnavailable(), ServiceUnavailable()])
def test_what_says_nothing_about_the_task_costs_no_retry(error: DadmError) -> None:
    outcome = outcome_of(error, make_leased_task(retries=1), POLICY)

    assert isinstance(outcome, Failed)
    assert outcome.retries == 1


@pytest.mark.parametrize(
    ("caught", "properties", "code"),
    [
        ({"answer_cut_short", "backend_refused", ""}, {}, "answer_cut_short"),
        ({"answer_cut_short", "no_advice"}, {"errorCode": "no_advice"}, "answer_cut_short"),
        ({"backend_refused"}, {}, "backend_refused"),
        ({""}, {}, "backend_refused"),
        ({"no_advice"}, {"errorCode": "no_advice"}, "no_advice"),
    ],
)
def test_answer_cut_short_is_caught_by_its_own_code_else_as_a_refusal(
    caught: set[str], properties: dict[str, str], code: str
) -> None:
    task = make_leased_task(caught_errors=frozenset(caught), properties=properties)

    outcome = outcome_of(AnswerCutShort("Too long."), task, POLICY)

    assert outcome == BpmnError(error_code=code, message="Too long.")


@pytest.mark.parametrize(
    ("caught", "properties", "code"),
    [
        ({"backend_refused"}, {}, "backend_refused"),
        ({""}, {}, "backend_refused"),
        ({"no_advice"}, {"errorCode": " no_advice "}, "no_advice"),
        ({""}, {"errorCode": "no_advice"}, "no_advice"),
    ],
)
def test_refusal_takes_the_error_path_that_catches_it(
    caught: set[str], properties: dict[str, str], code: str
) -> None:
    task = make_leased_task(caught_errors=frozenset(caught), properties=properties)

    outcome = outcome_of(BackendRefused("Against policy."), task, POLICY)

    assert outcome == BpmnError(error_code=code, message="Against policy.")


@pytest.mark.parametrize(
    ("caught", "properties"),
    [(set(), {}), ({"other"}, {}), ({"backend_refused"}, {"errorCode": "no_advice"})],
)
def test_refusal_that_nothing_catches_is_an_incident(
    caught: set[str], properties: dict[str, str]
) -> None:
    task = make_leased_task(caught_errors=frozenset(caught), properties=properties)

    assert isinstance(outcome_of(BackendRefused(), task, POLICY), Incident)


def test_only_a_refusal_takes_an_error_path() -> None:
    task = make_leased_task(caught_errors=frozenset({""}))
    outcomes = {type(error): outcome_of(error, task, POLICY) for error in every_error()}

    assert [kind for kind, each in outcomes.items() if isinstance(each, BpmnError)] == [
        BackendRefused,
        AnswerCutShort,
    ]


def test_details_say_where_it_happened() -> None:
    outcome = outcome_of(OutcomeUnknown(), make_leased_task("t7"), POLICY)

    assert isinstance(outcome, Failed)
    assert outcome.details.splitlines() == [
        "code: outcome_unknown",
        "task: t7",
        "element: Task_1",
        "process instance: p1",
    ]


def test_unexpected_fault_is_an_incident_that_names_its_kind_and_not_its_words() -> None:
    outcome = unexpected(KeyError("secret"), make_leased_task())

    assert "KeyError" in outcome.message
    assert "secret" not in outcome.message + outcome.details

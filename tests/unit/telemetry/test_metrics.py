"""What happened is counted, and Prometheus reads it."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dadm.domain.errors import StoreUnavailable
from dadm.domain.thread import ThreadState
from dadm.domain.turn import TurnState
from dadm.ports.observer import EngineTrouble, Event, OutcomeReported, ServiceTrouble, TurnUnsettled
from dadm.ports.store_values import StoreStatistics
from dadm.telemetry import CachedStatistics, Metrics
from tests.unit.telemetry.events import ONE_OF_EACH, PROCESS, TASK, THREAD

FOUND = StoreStatistics(
    threads_by_state={ThreadState.OPEN: 3, ThreadState.CLOSED: 1},
    turns_by_state={TurnState.SUBMITTED: 2, TurnState.UNKNOWN: 1, TurnState.COMPLETED: 9},
    unreported_turns=4,
    retired_conversations=5,
    oldest_open_seconds=12.5,
)


async def found() -> StoreStatistics:
    return FOUND


async def nothing() -> StoreStatistics:
    raise StoreUnavailable


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def told(*events: Event) -> Metrics:
    metrics = Metrics(backend="scripted", statistics=found)
    for event in events:
        metrics.notify(event)
    return metrics


def test_turns_are_counted_by_backend_and_result() -> None:
    metrics = told(*ONE_OF_EACH)

    for result in ("completed", "refused", "unknown"):
        assert value(metrics, "dadm_turns_total", backend="scripted", result=result) == 1
    assert value(metrics, "dadm_turns_replayed_total", content="changed") == 1


def test_a_request_that_surely_did_not_arrive_is_not_called_unknown() -> None:
    metrics = told(
        TurnUnsettled(
            process_instance_id="p",
            task_id="t",
            thread_id="th",
            code="backend_unavailable",
            reason="",
            is_unknown=False,
        )
    )

    assert value(metrics, "dadm_turns_total", backend="scripted", result="not_applied") == 1
    assert (
        value(metrics, "dadm_turn_failures_total", backend="scripted", code="backend_unavailable")
        == 1
    )


def test_threads_are_counted_by_what_became_of_them() -> None:
    metrics = told(*ONE_OF_EACH)

    assert value(metrics, "dadm_threads_created_total") == 1
    assert value(metrics, "dadm_threads_reused_total") == 1
    assert value(metrics, "dadm_threads_rebuilt_total", reason="lost") == 1
    assert value(metrics, "dadm_messages_given_back_total") == 6
    assert value(metrics, "dadm_threads_closed_total") == 2


def test_tokens_and_times_are_summed() -> None:
    metrics = told(*ONE_OF_EACH, *ONE_OF_EACH)

    assert value(metrics, "dadm_tokens_total", kind="input") == 60
    assert value(metrics, "dadm_tokens_total", kind="output") == 8
    assert value(metrics, "dadm_turn_backend_seconds_sum") == 3.0
    assert value(metrics, "dadm_turn_waiting_seconds_count") == 2


def test_trouble_with_an_engine_shows_until_it_is_over() -> None:
    metrics = told(EngineTrouble(engine="embedded", reason="", is_over=False))
    assert value(metrics, "dadm_engine_trouble", engine="embedded", about="tasks") == 1

    metrics.notify(EngineTrouble(engine="embedded", about="history", reason="", is_over=True))
    assert value(metrics, "dadm_engine_trouble", engine="embedded", about="tasks") == 1

    metrics.notify(EngineTrouble(engine="embedded", reason="", is_over=True))
    assert value(metrics, "dadm_engine_trouble", engine="embedded", about="tasks") == 0


def test_trouble_with_the_service_is_shown_while_it_lasts() -> None:
    metrics = told(ServiceTrouble(engine="embedded", reason="It restarts.", is_over=False))
    assert value(metrics, "dadm_service_trouble", engine="embedded") == 1

    metrics.notify(ServiceTrouble(engine="embedded", reason="", is_over=True))
    assert value(metrics, "dadm_service_trouble", engine="embedded") == 0


def test_what_happens_at_one_engine_is_not_counted_at_another() -> None:
    (reported,) = (each for each in ONE_OF_EACH if isinstance(each, OutcomeReported))
    elsewhere = replace(reported, engine="sales")

    metrics = told(reported, elsewhere, elsewhere)

    counted = "dadm_outcomes_reported_total"
    assert value(metrics, counted, engine="embedded", outcome="completed") == 1
    assert value(metrics, counted, engine="sales", outcome="completed") == 2


async def test_the_page_holds_what_the_store_counts() -> None:
    metrics = told()

    page = (await metrics.page()).decode()

    assert 'dadm_threads{state="open"} 3.0' in page
    assert 'dadm_stored_turns{state="completed"} 9.0' in page
    assert 'dadm_stored_turns{state="refused"} 0.0' in page
    assert "dadm_open_turns 3.0" in page
    assert "dadm_oldest_open_turn_seconds 12.5" in page
    assert "dadm_store_up 1.0" in page


async def test_the_page_is_there_without_the_store() -> None:
    metrics = Metrics(backend="scripted", statistics=nothing)
    metrics.notify(ONE_OF_EACH[0])

    page = (await metrics.page()).decode()

    assert "dadm_store_up 0.0" in page
    assert 'dadm_tasks_received_total{assistant="a",engine="http"} 1.0' in page


async def test_the_page_can_be_parsed_and_no_label_names_an_instance() -> None:
    page = (await told(*ONE_OF_EACH).page()).decode()

    families = list(text_string_to_metric_families(page))

    assert len(families) > 20
    for hidden in (PROCESS, TASK, THREAD):
        assert hidden not in page


async def test_counts_are_asked_for_again_only_when_they_are_old() -> None:
    asked_at: list[float] = []
    now = 100.0

    async def ask() -> StoreStatistics:
        asked_at.append(now)
        return FOUND

    statistics = CachedStatistics(ask, lambda: now, seconds=5.0)

    for now in (100.0, 104.9, 105.0, 109.9):  # noqa: B007 - the clock's hand
        assert await statistics() is FOUND

    assert asked_at == [100.0, 105.0]


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_event_can_be_counted(event: Event) -> None:
    told(event)

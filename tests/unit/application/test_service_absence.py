"""An assistant service that is not there for a while costs no task anything but time."""

import asyncio
from collections import Counter

import httpx2
import pytest

from dadm.adapters.services.remote import RemoteAssistantService
from dadm.domain.errors import (
    BackendMisconfigured,
    DadmError,
    ServiceUnavailable,
    ShuttingDown,
    StoreUnavailable,
)
from dadm.domain.task import Failed
from dadm.ports.observer import OutcomeReported, ServiceTrouble
from tests.builders import make_leased_task
from tests.unit.application.stage import Stage
from tests.unit.application.test_service_orchestrator import Work, seconds


@pytest.fixture
async def work(forgetful: Stage) -> Work:
    return Work(forgetful, await forgetful.replica())


def trouble(work: Work) -> list[tuple[bool, str]]:
    return [(each.is_over, each.reason) for each in work.told(ServiceTrouble)]


async def test_tasks_are_left_at_the_engine_while_the_service_is_away_and_answered_afterwards(
    work: Work,
) -> None:
    manager = work.replica.manager
    requests = 0

    def refuse(request: httpx2.Request) -> httpx2.Response:
        nonlocal requests
        requests += 1
        msg = "connection refused"
        raise httpx2.ConnectError(msg)

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(refuse))
    work.service.target = RemoteAssistantService("http://service", client=client)
    task_ids = [f"t{number}" for number in range(40)]
    work.offer(*(make_leased_task(each, process_instance_id=each, retries=1) for each in task_ids))
    running = work.run()
    await asyncio.sleep(300)

    assert work.reported == [], "nothing was failed, nothing is an incident"
    assert sorted(work.waiting) == sorted(task_ids)
    assert requests < 40 + 30, "every task once, then the service alone, more and more rarely"
    assert [over for over, _ in trouble(work)] == [False]
    assert "http://service is not reachable" in trouble(work)[0][1]

    work.service.target = manager
    back_at = seconds()
    await work.until_reported(40)

    assert seconds() - back_at < 60
    assert Counter(each.outcome for each in work.told(OutcomeReported)) == {"completed": 40}
    assert [over for over, _ in trouble(work)] == [False, True]
    work.stop.set()
    await running


@pytest.mark.parametrize("error", [ServiceUnavailable("Away."), StoreUnavailable("Away.")])
async def test_absence_is_told_once_and_asked_about_more_and_more_rarely(
    work: Work, error: DadmError
) -> None:
    work.service.fail_next("process_task", error)
    work.service.fail_next("refuse_if_away", error, times=6)
    work.offer_ids("t1")
    running = work.run()

    await work.until_reported(1 if isinstance(error, ServiceUnavailable) else 2)

    assert trouble(work) == [(False, "Away."), (True, "")]
    assert work.service.calls["refuse_if_away"] == 7
    assert 45 < seconds() < 120
    work.stop.set()
    await running


async def test_database_that_is_not_there_costs_no_retry(work: Work) -> None:
    work.service.fail_next("process_task", StoreUnavailable("Away."), times=5)

    await work.do(make_leased_task("t1", retries=1), count=6)

    *failures, _ = work.outcomes("t1")
    assert [each.retries for each in failures if isinstance(each, Failed)] == [1] * 5
    assert work.told(OutcomeReported)[-1].outcome == "completed"


async def test_absence_that_others_met_late_is_not_told_again(work: Work) -> None:
    arrived, let_go = work.service.hold_next("process_task")
    work.offer_ids("late")
    running = work.run()
    await arrived.wait()
    work.service.fail_next("process_task", ServiceUnavailable("Away."))
    work.offer_ids("early")
    await work.until_reported(1)

    work.service.fail_next("process_task", ServiceUnavailable("It broke off."))
    let_go.set()
    await work.until_reported(2)

    assert trouble(work) == [(False, "Away."), (True, "")]
    work.stop.set()
    await running


async def test_service_that_shuts_down_is_waited_for_too(work: Work) -> None:
    work.service.fail_next("process_task", ServiceUnavailable("Away."))
    work.service.fail_next("refuse_if_away", ShuttingDown(), times=2)

    await work.do(make_leased_task("t1"))

    assert trouble(work) == [(False, "Away."), (True, "")]
    assert work.service.calls["refuse_if_away"] == 3


async def test_service_that_refuses_us_is_there_and_its_tasks_are_told(work: Work) -> None:
    work.service.fail_next("process_task", ServiceUnavailable("Away."))
    work.service.fail_next("refuse_if_away", BackendMisconfigured("Wrong token."))
    work.service.fail_next("process_task", BackendMisconfigured("Wrong token."))

    await work.do(make_leased_task("t1"))

    assert [each.message for each in work.told(OutcomeReported)] == ["Wrong token."]


async def test_pauses_grow_until_a_task_was_answered(work: Work) -> None:
    work.service.fail_next("process_task", ServiceUnavailable("Away."), times=6)

    await work.do(make_leased_task("t1"))

    # Its replicas are behind a balancer, say, and the one that is asked is not the one that fails.
    assert len(trouble(work)) == 12
    assert seconds() > 45


async def test_stopping_waits_for_no_service(work: Work) -> None:
    work.service.fail_next("process_task", ServiceUnavailable("Away."))
    work.service.fail_next("refuse_if_away", ServiceUnavailable("Away."), times=99)
    work.offer_ids("t1")
    running = work.run()
    await asyncio.sleep(100)
    stopped_at = seconds()

    work.stop.set()
    await running

    assert seconds() - stopped_at < 1
    assert work.waiting == ["t1"]


async def test_beat_that_finds_the_task_gone_while_it_is_given_back_stops_no_run(
    work: Work,
) -> None:
    work.service.fail_next("process_task", ServiceUnavailable("Away."))
    arrived, let_go = work.engine.hold_next("unlease")
    work.offer_ids("t1")
    running = work.run()
    await arrived.wait()
    (given_back,), _ = work.engine.given["unlease"][0]
    await work.board.complete(given_back, variables={})
    await asyncio.sleep(70)
    assert work.engine.calls["extend"] > 0
    let_go.set()
    await asyncio.sleep(70)

    assert work.service.calls["withdraw_task"] == 0
    work.stop.set()
    await running

"""The orchestrator: every task of the engine gets its outcome, once, whatever else happens."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from dadm.adapters.engines.memory import MemoryEngine
from dadm.application.orchestration.outcomes import RetryPolicy
from dadm.application.orchestration.service_orchestrator import (
    OrchestratorLimits,
    ServiceOrchestrator,
)
from dadm.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    EngineRejected,
    EngineUnavailable,
    StoreUnavailable,
    TaskGone,
    TooManyWaiting,
)
from dadm.domain.task import BpmnError, Completed, Failed, Outcome, ServiceTask
from dadm.domain.turn import TurnState
from dadm.ports.assistant_service import AssistantService, TaskAnswer
from dadm.ports.engine import LeasedTask, ProcessModels, ServiceTasks
from dadm.ports.observer import (
    EngineTrouble,
    Event,
    OutcomeReported,
    ReportLost,
    TurnCompleted,
)
from dadm.ports.store_values import ThreadFilter
from tests.builders import make_leased_task, make_task
from tests.clocks import LoopClock, Numbers
from tests.unit.application.stage import Replica, Stage, Wire, settled

LIMITS = OrchestratorLimits(
    lease_seconds=60.0,
    tasks_in_hand=1000,
    tasks_per_fetch=50,
    poll_seconds=2.0,
    models_seconds=5.0,
    longest_pause_seconds=30.0,
    retry=RetryPolicy(),
)


class Work:
    """One orchestrator between a memory engine and an assistant service."""

    def __init__(self, stage: Stage, replica: Replica, limits: OrchestratorLimits = LIMITS) -> None:
        self.stage = stage
        self.replica = replica
        self.board = MemoryEngine(LoopClock(), Numbers(), engine_id="embedded")
        self.engine = Wire(self.board)
        self.service = Wire(replica.manager, latency_seconds=0)
        self.events: list[Event] = []
        self.stop = asyncio.Event()
        self.orchestrator = self.orchestrate(limits)

    def orchestrate(self, limits: OrchestratorLimits) -> ServiceOrchestrator:
        return ServiceOrchestrator(
            tasks=cast("ServiceTasks", self.engine),
            models=cast("ProcessModels", self.engine),
            service=cast("AssistantService", self.service),
            observer=self,
            clock=LoopClock(),
            identifiers=Numbers(),
            limits=limits,
        )

    def notify(self, event: Event) -> None:
        self.events.append(event)

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def run(self, *, drain_seconds: float = 0.0) -> asyncio.Task[None]:
        return self.stage.begin(self.orchestrator.run(self.stop, drain_seconds=drain_seconds))

    def offer(self, *tasks: LeasedTask) -> None:
        """Have AI tasks wait for a worker."""
        for task in tasks:
            properties = {"service.type": "assistant", **task.properties}
            self.board.offer(replace(task, properties=properties))

    def offer_ids(self, *task_ids: str) -> None:
        """Have AI tasks of these ids wait for a worker."""
        self.offer(*(make_leased_task(task_id) for task_id in task_ids))

    @property
    def reported(self) -> list[str]:
        """The tasks whose outcomes the engine took, in order."""
        return [report.task_id for report in self.board.reports]

    def outcomes(self, task_id: str) -> list[Outcome]:
        """Give what the engine was told of a task."""
        return [each.outcome for each in self.board.reports if each.task_id == task_id]

    @property
    def subscribed(self) -> list[tuple[str, tuple[str, ...]]]:
        """The topics of the latest fetch, and of which definitions."""
        (subscriptions,), _ = self.engine.given["fetch_and_lease"][-1]
        return [(each.topic, each.process_definition_keys) for each in subscriptions]

    @property
    def most_tasks(self) -> list[int]:
        """How many tasks each fetch wanted at most."""
        return [named["max_tasks"] for _, named in self.engine.given["fetch_and_lease"]]

    @property
    def waiting(self) -> list[str]:
        """The tasks that no worker has."""
        return [task_id for task_id, offer in self.board._offers.items() if not offer.worker]

    async def until_reported(self, count: int) -> None:
        async with asyncio.timeout(1000):
            while len(self.board.reports) < count:
                self.engine.called.clear()
                await self.engine.called.wait()

    async def do(self, *tasks: Any, count: int | None = None) -> None:
        """Offer tasks, wait until they are reported, and stop."""
        self.offer(*tasks)
        running = self.run(drain_seconds=30)
        await self.until_reported(len(tasks) if count is None else count)
        self.stop.set()
        await running


@pytest.fixture
async def work(forgetful: Stage) -> Work:
    return Work(forgetful, await forgetful.replica())


def seconds() -> float:
    return asyncio.get_running_loop().time()


async def test_task_is_answered_on_the_thread_of_its_instance_and_completed(work: Work) -> None:
    await work.do(make_leased_task("t1"), make_leased_task("t2"))

    expected = Completed(variables={"recommendation": "ok", "Task_1_result": "ok"})
    assert work.reported == ["t1", "t2"]
    assert work.outcomes("t1") == work.outcomes("t2") == [expected]
    thread = await work.stage.thread()
    assert (thread.key.engine, thread.key.scope) == ("embedded", "p1")
    assert [(each.task_id, each.outcome) for each in work.told(OutcomeReported)] == [
        ("t1", "completed"),
        ("t2", "completed"),
    ]
    assert (await work.stage.turn()).is_reported
    assert work.orchestrator.in_hand_count == 0


async def test_task_carries_what_the_engine_knows_of_it(work: Work) -> None:
    asked: list[ServiceTask] = []
    process_task = work.replica.manager.process_task

    class Service:
        async def process_task(self, task: ServiceTask) -> TaskAnswer:
            asked.append(task)
            return await process_task(task)

        async def knows_assistant(self, name: str) -> bool:
            return False

        async def outcome_reported(self, task: ServiceTask) -> None:
            return None

    work.service.target = Service()

    await work.do(
        make_leased_task(
            "t1",
            element_name="Frame",
            tenant="acme",
            variables={"a": 1, "b": 2, "recommendation": "x"},
            mapped=("a",),
            own_answers=frozenset({"recommendation"}),
            properties={"variables": "all", "answerSchema": '{"type": "object"}'},
        )
    )

    (task,) = asked
    assert task == make_task(
        "t1",
        tenant="acme",
        task_name="Frame",
        description="Frame",
        variables={"a": 1, "b": 2, "recommendation": "x"},
        mapped=("a",),
        own_answers=frozenset({"recommendation"}),
        selection=task.selection,
        answer_schema={"type": "object"},
    )
    assert str(task.selection) == "all"


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"documentation": "Doc", "properties": {"prompt": "Prop"}}, "Doc"),
        ({"documentation": "", "properties": {"prompt": "Prop"}}, "Prop"),
        ({"documentation": "", "element_name": "Name"}, "Name"),
    ],
)
async def test_prompt_is_the_documentation_else_the_property_else_the_name(
    work: Work, fields: dict[str, Any], asked: str
) -> None:
    await work.do(make_leased_task("t1", **fields))

    assert work.stage.asked == [asked]


@pytest.mark.parametrize(
    ("properties", "assistant"),
    [
        ({}, "analyst"),
        ({"assistant": "critic"}, "critic"),
        ({"assistant": " ", "service.name": "critic"}, "critic"),
        ({"assistant": "ann", "service.name": "critic"}, "analyst"),
        ({"service.name": "ann"}, "analyst"),
        ({"service.name": "some-service"}, "analyst"),
    ],
)
async def test_assistant_is_chosen_by_property_then_service_name_then_default(
    work: Work, properties: dict[str, str], assistant: str
) -> None:
    await work.do(make_leased_task("t1", properties=properties))

    assert (await work.stage.thread()).key.assistant == assistant


async def test_unknown_assistant_is_an_incident_that_lists_those_known(work: Work) -> None:
    await work.do(make_leased_task("t1", properties={"assistant": "nobody"}))

    (outcome,) = work.outcomes("t1")
    assert isinstance(outcome, Failed)
    assert (outcome.retries, "analyst, critic" in outcome.message) == (0, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"documentation": "", "element_name": ""},
        {"properties": {"answerSchema": "{'type': 'object'}"}},
        {"properties": {"answerSchema": "[]"}},
    ],
)
async def test_task_that_cannot_be_asked_is_an_incident(work: Work, fields: dict[str, Any]) -> None:
    await work.do(make_leased_task("t1", **fields))

    (outcome,) = work.outcomes("t1")
    assert isinstance(outcome, Failed)
    assert (outcome.retries, outcome.retry_after) == (0, timedelta(0))
    assert [each.outcome for each in work.told(OutcomeReported)] == ["incident"]


async def test_failure_uses_up_one_of_the_engines_retries(work: Work) -> None:
    work.stage.backend.fail_turn(BackendUnavailable("Away."))

    await work.do(make_leased_task("t1", retries=2))

    (outcome,) = work.outcomes("t1")
    assert isinstance(outcome, Failed)
    assert (outcome.message, outcome.retries) == ("Away.", 1)
    assert not (await work.stage.turn()).is_reported


async def test_refusal_takes_the_models_error_path_where_it_is_caught(work: Work) -> None:
    work.stage.backend.fail_turn(BackendRefused("No."))

    await work.do(make_leased_task("t1", caught_errors=frozenset({"backend_refused"})))

    assert work.outcomes("t1") == [BpmnError(error_code="backend_refused", message="No.")]
    assert (await work.stage.turn()).is_reported


async def test_refusal_is_an_incident_where_nothing_catches_it_and_retrying_asks_again(
    work: Work,
) -> None:
    work.stage.backend.fail_turn(BackendRefused("No."))
    running = work.run()
    work.offer_ids("t1")
    await work.until_reported(1)
    await asyncio.sleep(1)
    work.offer(make_leased_task("t1", documentation="Better words?", retries=1))
    await work.until_reported(2)
    work.stop.set()
    await running

    assert [type(each).__name__ for each in work.outcomes("t1")] == ["Failed", "Completed"]
    assert work.stage.asked == ["Better words?"]


async def test_unexpected_fault_is_an_incident_and_stops_no_other_task(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    work.service.fail_next("process_task", KeyError("secret"))

    with caplog.at_level(logging.ERROR):
        await work.do(make_leased_task("t1"), make_leased_task("t2"))

    (incident,), (completed,) = work.outcomes("t1"), work.outcomes("t2")
    assert isinstance(incident, Failed)
    assert "KeyError" in incident.message
    assert isinstance(completed, Completed)
    assert "Task t1 failed unexpectedly" in caplog.text


# Leases


async def test_task_lease_is_extended_as_long_as_its_turn_lasts(work: Work) -> None:
    hold = work.stage.backend.hold_turn()
    running = work.run()
    work.offer_ids("t1")
    await hold.asked.wait()
    await asyncio.sleep(65)
    assert work.engine.calls["extend"] == 3
    hold.let_go()
    await work.until_reported(1)
    await asyncio.sleep(100)

    assert work.engine.calls["extend"] == 3
    work.stop.set()
    await running


@pytest.mark.parametrize("error", [EngineUnavailable(), EngineRejected()])
async def test_lease_that_could_not_be_extended_once_is_extended_by_the_next_beat(
    work: Work, error: Exception
) -> None:
    hold = work.stage.backend.hold_turn()
    running = work.run()
    work.offer_ids("t1")
    await hold.asked.wait()
    work.engine.fail_next("extend", error)
    await asyncio.sleep(50)
    hold.let_go()
    await work.until_reported(1)

    assert isinstance(work.outcomes("t1")[0], Completed)
    work.stop.set()
    await running


async def test_lost_task_lease_ends_the_reporting_and_not_the_turn(work: Work) -> None:
    hold = work.stage.backend.hold_turn()
    running = work.run()
    work.offer_ids("t1")
    await hold.asked.wait()
    work.board._offers["t1"].worker = "somebody else"
    await asyncio.sleep(30)

    assert [(each.code, each.task_id) for each in work.told(ReportLost)] == [("lease_lost", "t1")]
    assert work.orchestrator.in_hand_count == 0
    assert work.replica.manager.in_flight_count == 1
    hold.let_go()
    await asyncio.sleep(1)
    assert (await work.stage.turn()).state is TurnState.COMPLETED
    assert not work.reported
    assert len(work.replica.told(TurnCompleted)) == 1
    work.stop.set()
    await running


async def test_task_that_is_gone_ends_the_reporting_and_not_the_turn(work: Work) -> None:
    hold = work.stage.backend.hold_turn()
    running = work.run()
    work.offer_ids("t1")
    await hold.asked.wait()
    del work.board._offers["t1"]
    hold.let_go()
    await asyncio.sleep(1)

    assert [each.code for each in work.told(ReportLost)] == ["task_gone"]
    assert (await work.stage.turn()).state is TurnState.COMPLETED
    assert not (await work.stage.turn()).is_reported
    work.stop.set()
    await running


async def test_beat_that_finds_the_task_ended_by_its_own_report_is_no_loss(work: Work) -> None:
    hold = work.stage.backend.hold_turn()
    running = work.run()
    work.offer_ids("t1")
    await hold.asked.wait()
    # The engine takes the report, and its reply is slow: a beat comes before it.
    complete = work.board.complete

    async def complete_slowly(task: Any, *, variables: Any) -> None:
        await complete(task, variables=variables)
        await asyncio.sleep(25)

    work.board.complete = complete_slowly  # type: ignore[method-assign]
    hold.let_go()
    await asyncio.sleep(30)

    assert work.engine.calls["extend"] == 1
    assert not work.told(ReportLost)
    assert [each.outcome for each in work.told(OutcomeReported)] == ["completed"]
    assert (await work.stage.turn()).is_reported
    work.stop.set()
    await running


# Reports


async def test_report_is_repeated_without_the_model(work: Work) -> None:
    work.engine.fail_next("complete", EngineUnavailable(), times=4)

    await work.do(make_leased_task("t1"))

    assert work.engine.calls["complete"] == 5
    assert work.service.calls["process_task"] == 1
    assert len(work.stage.asked) == 1
    assert seconds() > 1


async def test_report_whose_reply_was_lost_has_arrived(work: Work) -> None:
    work.engine.fail_next("complete", EngineUnavailable(), is_done=True)

    await work.do(make_leased_task("t1"))
    await asyncio.sleep(1)

    assert not work.told(ReportLost)
    assert [each.outcome for each in work.told(OutcomeReported)] == ["completed"]
    assert (await work.stage.turn()).is_reported


async def test_outcome_that_never_arrives_is_told_and_its_task_left_to_its_lease(
    work: Work,
) -> None:
    work.engine.fail_next("complete", EngineUnavailable("Away."), times=99)
    running = work.run()
    work.offer_ids("t1")
    await asyncio.sleep(140)

    assert work.engine.calls["complete"] == 12
    assert [(each.code, each.reason) for each in work.told(ReportLost)] == [
        ("engine_unavailable", "Away.")
    ]
    assert not (await work.stage.turn()).is_reported
    # The engine offers it again; the recorded answer is reported, and the model is not asked.
    work.engine._before.clear()
    await work.until_reported(1)
    assert len(work.stage.asked) == 1
    assert work.service.calls["process_task"] == 2
    work.stop.set()
    await running


async def test_answer_that_the_engine_refuses_becomes_an_incident_with_its_reason(
    work: Work,
) -> None:
    work.engine.fail_next("complete", EngineRejected("No gateway condition holds."))

    await work.do(make_leased_task("t1"))

    (outcome,) = work.outcomes("t1")
    assert isinstance(outcome, Failed)
    assert outcome.retries == 0
    assert "No gateway condition holds." in outcome.message
    assert "recorded" in outcome.details


async def test_task_that_is_gone_after_its_report_was_refused_is_not_taken_for_reported(
    work: Work,
) -> None:
    work.engine.fail_next("complete", EngineRejected())
    work.engine.fail_next("fail", TaskGone())
    running = work.run()
    work.offer_ids("t1")
    await asyncio.sleep(1)

    assert [each.code for each in work.told(ReportLost)] == ["task_gone"]
    assert not work.told(OutcomeReported)
    work.stop.set()
    await running


async def test_failure_of_a_task_that_others_have_ended_is_not_taken_for_reported(
    work: Work,
) -> None:
    work.stage.backend.fail_turn(BackendUnavailable())
    work.engine.fail_next("fail", EngineUnavailable())
    work.engine.fail_next("fail", TaskGone())
    running = work.run()
    work.offer_ids("t1")
    await asyncio.sleep(1)

    assert [each.code for each in work.told(ReportLost)] == ["task_gone"]
    assert not work.told(OutcomeReported)
    work.stop.set()
    await running


async def test_incident_that_the_engine_refuses_is_told_and_given_up(work: Work) -> None:
    work.engine.fail_next("complete", EngineRejected("No."))
    work.engine.fail_next("fail", EngineRejected("No, really."))
    running = work.run()
    work.offer_ids("t1")
    await asyncio.sleep(1)

    assert [(each.code, each.reason) for each in work.told(ReportLost)] == [
        ("engine_rejected", "No, really.")
    ]
    assert work.orchestrator.in_hand_count == 0
    work.stop.set()
    await running


@pytest.mark.parametrize("error", [StoreUnavailable(), TooManyWaiting()])
async def test_report_that_could_not_be_noted_costs_a_replay_and_nothing_else(
    work: Work, error: Exception
) -> None:
    work.service.fail_next("outcome_reported", error)

    await work.do(make_leased_task("t1"), make_leased_task("t2"))

    assert len(work.reported) == 2
    assert len(work.told(ReportLost)) == 1


# Fetching


async def test_topics_come_from_the_models_and_are_read_again_after_a_while(work: Work) -> None:
    work.offer(
        make_leased_task("t1"),
        make_leased_task("t2", process_definition_key="another"),
        make_leased_task("t3", topic="advice"),
    )
    running = work.run()
    await asyncio.sleep(14)

    assert work.most_tasks[0] == LIMITS.tasks_per_fetch
    assert work.subscribed == [("advice", ("decision",)), ("dadm", ("another", "decision"))]
    assert work.engine.calls["assistant_tasks"] == 3
    work.stop.set()
    await running


async def test_a_topic_without_a_process_is_taken_from_any(work: Work) -> None:
    work.offer(make_leased_task("t1", process_definition_key="", topic="by hand"))
    running = work.run()
    await asyncio.sleep(1)

    assert work.subscribed == [("by hand", ())]
    assert work.reported == ["t1"]
    work.stop.set()
    await running


async def test_engine_without_ai_tasks_is_asked_for_models_now_and_then(work: Work) -> None:
    running = work.run()
    await asyncio.sleep(20)
    assert not work.engine.calls["fetch_and_lease"]
    assert work.engine.calls["assistant_tasks"] <= 5
    work.offer_ids("t1")

    await work.until_reported(1)

    work.stop.set()
    await running


async def test_no_more_tasks_are_taken_than_may_be_in_hand(work: Work) -> None:
    limits = replace(LIMITS, tasks_in_hand=3, tasks_per_fetch=2)
    work.orchestrator = work.orchestrate(limits)
    holds = [work.stage.backend.hold_turn() for _ in range(5)]
    work.offer(
        *(make_leased_task(f"t{number}", process_instance_id=f"p{number}") for number in range(5))
    )
    running = work.run()
    await asyncio.sleep(10)

    assert work.orchestrator.in_hand_count == 3
    assert work.most_tasks == [2, 1]
    for hold in holds:
        hold.let_go()
    await work.until_reported(5)
    work.stop.set()
    await running


@pytest.mark.parametrize("error", [EngineUnavailable("Away."), StoreUnavailable("Away.")])
@pytest.mark.parametrize("method", ["fetch_and_lease", "assistant_tasks"])
async def test_engine_that_is_away_is_told_once_and_tried_again_more_and_more_rarely(
    work: Work, method: str, error: Exception
) -> None:
    work.engine.fail_next(method, error, times=8)
    running = work.run()
    work.offer_ids("t1")

    await work.until_reported(1)

    assert [(each.is_over, each.reason) for each in work.told(EngineTrouble)] == [
        (False, "Away."),
        (True, ""),
    ]
    assert 60 < seconds() < 150
    work.stop.set()
    await running


# Draining


async def test_draining_finishes_tasks_in_hand_and_takes_no_more(work: Work) -> None:
    hold = work.stage.backend.hold_turn()
    running = work.run(drain_seconds=30)
    work.offer_ids("t1")
    await hold.asked.wait()
    work.stop.set()
    await asyncio.sleep(3)
    work.offer_ids("t2")
    await asyncio.sleep(3)
    hold.let_go()
    await running

    assert work.reported == ["t1"]
    assert work.waiting == ["t2"]


async def test_tasks_of_a_fetch_under_way_are_given_back(work: Work) -> None:
    running = work.run(drain_seconds=30)
    work.offer_ids("t1")
    await work.until_reported(1)
    await asyncio.sleep(0.5)
    fetches = work.engine.calls["fetch_and_lease"]
    work.stop.set()
    work.offer_ids("t2")
    await running

    assert work.engine.calls["fetch_and_lease"] == fetches
    assert work.engine.calls["unlease"] == 1
    assert work.waiting == ["t2"]
    assert len(work.stage.asked) == 1


async def test_full_hands_do_not_keep_it_from_stopping(work: Work) -> None:
    work.orchestrator = work.orchestrate(replace(LIMITS, tasks_in_hand=1))
    hold = work.stage.backend.hold_turn()
    running = work.run(drain_seconds=5)
    work.offer_ids("t1", "t2")
    await hold.asked.wait()
    begun_at, fetches = seconds(), work.engine.calls["fetch_and_lease"]
    work.stop.set()
    await running

    assert seconds() - begun_at == pytest.approx(5, abs=0.5)
    assert work.engine.calls["fetch_and_lease"] == fetches
    assert work.waiting == ["t2"]


async def test_task_that_takes_too_long_is_left_to_its_lease_and_its_turn_runs_on(
    work: Work,
) -> None:
    hold = work.stage.backend.hold_turn()
    running = work.run(drain_seconds=5)
    work.offer_ids("t1")
    await hold.asked.wait()
    work.stop.set()
    await running

    assert not work.waiting
    assert not work.reported
    hold.let_go()
    await asyncio.sleep(1)
    assert (await work.stage.turn()).state is TurnState.COMPLETED


async def test_task_that_the_service_takes_no_more_is_given_back_and_not_fetched_at_once(
    work: Work,
) -> None:
    await work.replica.manager.drain(seconds=0)
    running = work.run()
    work.offer_ids("t1")
    await asyncio.sleep(30)

    assert 10 <= work.engine.calls["unlease"] <= 16
    assert not work.reported
    work.stop.set()
    await running
    assert work.waiting == ["t1"]


async def test_task_that_cannot_even_be_given_back_is_left_to_its_lease(work: Work) -> None:
    await work.replica.manager.drain(seconds=0)
    work.engine.fail_next("unlease", EngineUnavailable("Away."))
    running = work.run()
    work.offer_ids("t1")
    await asyncio.sleep(1)

    assert [each.code for each in work.told(ReportLost)] == ["engine_unavailable"]
    work.stop.set()
    await running


async def test_orchestrator_that_is_cancelled_stops_at_once(work: Work) -> None:
    hold = work.stage.backend.hold_turn()
    running = work.run(drain_seconds=30)
    work.offer_ids("t1")
    await hold.asked.wait()
    running.cancel()
    begun_at = seconds()
    await settled(running)

    assert running.cancelled()
    assert seconds() - begun_at < 0.1
    assert work.orchestrator.in_hand_count == 0


async def test_200_tasks_of_one_instance_delay_no_other_instance(work: Work) -> None:
    hold = work.stage.backend.hold_turn()
    running = work.run()
    work.offer_ids(*(f"t{number}" for number in range(200)))
    await hold.asked.wait()
    await asyncio.sleep(5)
    work.offer(make_leased_task("other", process_instance_id="p2"))
    begun_at = seconds()

    await work.until_reported(1)

    assert seconds() - begun_at < 1
    assert work.reported == ["other"]
    hold.let_go()
    await work.until_reported(201)
    assert set(work.reported[1:]) == {f"t{number}" for number in range(200)}
    work.stop.set()
    await running


@pytest.mark.parametrize(
    ("wanted", "scope"),
    [
        ("", "p1"),
        ("process-instance", "p1"),
        ("root-instance", "p0"),
        ("element", "element:p1:Task_1"),
        ("element-instance", "element:p1:Task_1:t1"),
        ("business-key", "business-key:order-7"),
    ],
)
async def test_a_task_continues_the_thread_of_the_scope_it_names(
    work: Work, wanted: str, scope: str
) -> None:
    task = make_leased_task(
        "t1",
        root_process_instance_id="p0",
        business_key="order-7",
        properties={"thread.scope": wanted},
    )

    await work.do(task)

    (thread,) = await work.stage.store.threads(ThreadFilter())
    assert thread.key.scope == scope
    assert isinstance(work.outcomes("t1")[-1], Completed)
    (turn,) = await work.stage.store.turns(thread.ref)
    assert turn.is_reported


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("root-instance", "root"), ("business-key", "business key"), ("instance", "no scope")],
)
async def test_a_scope_that_cannot_be_is_an_incident_and_no_thread(
    work: Work, wanted: str, said: str
) -> None:
    await work.do(make_leased_task("t1", properties={"thread.scope": wanted}))

    (outcome,) = work.outcomes("t1")
    assert isinstance(outcome, Failed)
    assert (outcome.retries, said in outcome.message) == (0, True)
    assert not await work.stage.store.threads(ThreadFilter())

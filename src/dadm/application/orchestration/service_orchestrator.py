"""ServiceOrchestrator: passes an engine's service tasks to the assistant service and back."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from dadm.application.orchestration.outcomes import (
    GIVEN_BACK,
    RetryPolicy,
    completed,
    outcome_of,
    unexpected,
)
from dadm.application.orchestration.service_absence import ServiceAbsence, wait_for
from dadm.application.orchestration.task_intake import TaskIntake
from dadm.application.orchestration.task_reporting import TaskReporting
from dadm.domain.errors import (
    BackendRefused,
    DadmError,
    EngineError,
    EngineRejected,
    EngineUnavailable,
    LeaseLost,
    ServiceUnavailable,
    StoreError,
    StoreUnavailable,
    TaskGone,
)
from dadm.domain.task import Outcome, ServiceTask
from dadm.ports.assistant_service import AssistantService
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.engine import LeasedTask, ProcessModels, ServiceTasks, TopicSubscription
from dadm.ports.observer import EngineTrouble, Observer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorLimits:
    """Bounds of one orchestrator; seconds unless the name says otherwise.

    Attributes:
        lease_seconds: How long a task is leased at a time; extended while its turn lasts.
        tasks_in_hand: Tasks that may be in hand at once, those waiting for threads included.
        tasks_per_fetch: Tasks taken with one request.
        poll_seconds: How long one request for tasks waits at the engine.
        models_seconds: How long what was read from the deployed models is believed.
        longest_pause_seconds: The longest wait between two tries of an engine or a service that
            is not there.
        retry: How failed tasks are tried again.
    """

    lease_seconds: float = 60.0
    tasks_in_hand: int = 1000
    tasks_per_fetch: int = 50
    poll_seconds: float = 2.0
    models_seconds: float = 5.0
    longest_pause_seconds: float = 30.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class ServiceOrchestrator:
    """Works the AI tasks of one engine.

    Every task goes to the assistant service with its `process_instance_id`; its outcome goes
    back to the engine. A task's lease is kept by heartbeat. Losing it ends only our reporting:
    the turn runs on and is settled for whoever comes next. Only where the engine says that the
    task is gone is its model's run stopped.
    """

    def __init__(
        self,
        *,
        tasks: ServiceTasks,
        models: ProcessModels,
        service: AssistantService,
        observer: Observer,
        clock: Clock,
        identifiers: Identifiers,
        limits: OrchestratorLimits,
    ) -> None:
        """Take tasks from `tasks`, learn topics from `models`, ask `service`."""
        self._tasks = tasks
        self._models = models
        self._service = service
        self._observer = observer
        self._clock = clock
        self._identifiers = identifiers
        self._limits = limits
        self._intake = TaskIntake(tasks.engine_id, service)
        self._reporting = TaskReporting(tasks, service, observer, clock, identifiers)
        self._absence = ServiceAbsence(
            service,
            observer,
            clock,
            identifiers,
            engine_id=tasks.engine_id,
            longest_pause_seconds=limits.longest_pause_seconds,
        )
        self._subscriptions: tuple[TopicSubscription, ...] = ()
        self._subscriptions_until = float("-inf")
        self._in_hand: set[asyncio.Task[None]] = set()
        self._is_service_leaving = False

    @property
    def in_hand_count(self) -> int:
        """How many tasks are leased and not yet reported."""
        return len(self._in_hand)

    async def run(self, stop: asyncio.Event, *, drain_seconds: float) -> None:
        """Work tasks until `stop` is set, then let those in hand end within `drain_seconds`.

        A fetch under way is not cancelled but waited for, since the engine may already have
        leased tasks to it; those are given back. Tasks still in hand after the time are left to
        their leases.
        """
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(stop.wait())
            troubles = 0
            while not stop.is_set():
                try:
                    await self._room(stopping)
                    await self._absence.wait(stop)
                    fetched = await self._fetch(stop)
                except (EngineError, StoreError) as error:
                    troubles += 1
                    await self._pause_after(error, troubles, stop)
                    continue
                if troubles:
                    self._tell_trouble("", is_over=True)
                    troubles = 0
                is_working = not (stop.is_set() or self._absence.is_known)
                work = self._work if is_working else self._reporting.give_back
                for task in fetched:
                    self._take_in_hand(group, work(task))
                if self._is_service_leaving or not (fetched or self._subscriptions):
                    self._is_service_leaving = False
                    await wait_for(stop, self._limits.poll_seconds)
            await self._drain(drain_seconds)

    async def _fetch(self, stop: asyncio.Event) -> Sequence[LeasedTask]:
        """Lease as many tasks as there is room for."""
        subscriptions = await self._topics()
        if not subscriptions or stop.is_set():
            return ()
        room = self._limits.tasks_in_hand - len(self._in_hand)
        return await self._tasks.fetch_and_lease(
            subscriptions,
            max_tasks=min(room, self._limits.tasks_per_fetch),
            request_timeout=timedelta(seconds=self._limits.poll_seconds),
        )

    async def _room(self, stopping: asyncio.Task[Literal[True]]) -> None:
        """Wait until one more task may be taken in hand, or until stopping."""
        while len(self._in_hand) >= self._limits.tasks_in_hand and not stopping.done():
            await asyncio.wait({*self._in_hand, stopping}, return_when=asyncio.FIRST_COMPLETED)

    async def _topics(self) -> tuple[TopicSubscription, ...]:
        """Read which topics hold AI tasks, unless that was read a moment ago."""
        now = self._clock.monotonic()
        if now >= self._subscriptions_until:
            keys: dict[str, set[str]] = {}
            for task in await self._models.assistant_tasks():
                keys.setdefault(task.topic, set()).add(task.process_definition_key)
            self._subscriptions = tuple(
                TopicSubscription(
                    topic=topic,
                    lease_duration=timedelta(seconds=self._limits.lease_seconds),
                    # A topic that was set by hand is taken from whatever process.
                    process_definition_keys=tuple(sorted(of_topic - {""})),
                )
                for topic, of_topic in sorted(keys.items())
            )
            self._subscriptions_until = now + self._limits.models_seconds
        return self._subscriptions

    def _take_in_hand(self, group: asyncio.TaskGroup, work: Coroutine[None, None, None]) -> None:
        working = group.create_task(work)
        self._in_hand.add(working)
        working.add_done_callback(self._in_hand.discard)

    async def _work(self, task: LeasedTask) -> None:
        """Bring one task to its outcome and report it, keeping its lease meanwhile."""
        settled: ServiceTask | None = None
        reporting = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(self._keep_lease(task, reporting))
                settled = await self._answer_and_report(task, reporting)
                beating.cancel()
        except* (LeaseLost, TaskGone) as lost:
            self._reporting.tell_lost(task, lost.exceptions[0])
            if isinstance(lost.exceptions[0], TaskGone):
                await self._withdraw(task)
        if settled is not None:
            await self._reporting.note_reported(task, settled)

    async def _withdraw(self, task: LeasedTask) -> None:
        """Stop what is under way for a task that is gone; its turn is found out as ever."""
        try:
            await self._service.withdraw_task(await self._intake.service_task(task))
        except DadmError as error:
            self._reporting.tell_lost(task, error)
        except Exception:
            # As with answers: a fault of ours in one task must not stop all others.
            logger.exception("Task %s could not be withdrawn", task.task_id)

    async def _keep_lease(self, task: LeasedTask, reporting: asyncio.Event) -> None:
        """Extend the task's lease for ever; LeaseLost or TaskGone end the work on it.

        Not while its outcome is being reported: the report may be what ended the task, and finds
        out itself.
        """
        duration = timedelta(seconds=self._limits.lease_seconds)
        while True:
            jitter = 0.8 + 0.4 * self._identifiers.fraction()
            await self._clock.sleep(self._limits.lease_seconds / 3 * jitter)
            try:
                await self._tasks.extend(task, lease_duration=duration)
            except (EngineUnavailable, EngineRejected):
                # The next beat comes well before the lease ends; a late report is still taken.
                continue
            except (LeaseLost, TaskGone):
                if reporting.is_set():
                    return
                raise

    async def _answer_and_report(
        self, task: LeasedTask, reporting: asyncio.Event
    ) -> ServiceTask | None:
        """Give what was asked if its turn is settled and the engine has the outcome."""
        asked: ServiceTask | None = None
        passed_at = self._clock.monotonic()
        try:
            asked = await self._intake.service_task(task)
            outcome: Outcome = completed(task, await self._service.process_task(asked))
            settled: ServiceTask | None = asked
            self._absence.note_answer()
        except GIVEN_BACK as error:
            self._note_absence(error, passed_at)
            # From here on a heartbeat that finds the task ours no more is right.
            reporting.set()
            await self._reporting.give_back(task)
            return None
        except DadmError as error:
            self._note_absence(error, passed_at)
            outcome = outcome_of(error, task, self._limits.retry)
            settled = asked if isinstance(error, BackendRefused) else None
        except Exception as error:
            # A fault of ours in one task must neither stop all others nor come back for ever.
            logger.exception("Task %s failed unexpectedly", task.task_id)
            outcome, settled = unexpected(error, task), None
        reporting.set()
        return settled if await self._reporting.report(task, outcome) else None

    def _note_absence(self, error: DadmError, passed_at: float) -> None:
        """Hold fetching back after an error that would bring the task back to meet it again."""
        if isinstance(error, ServiceUnavailable | StoreUnavailable):
            self._absence.note(error, passed_at=passed_at)
        elif isinstance(error, GIVEN_BACK):
            self._is_service_leaving = True
        else:
            self._absence.note_answer()

    async def _drain(self, seconds: float) -> None:
        """Let tasks in hand end; stop reporting those that take too long, their turns run on."""
        if not self._in_hand:
            return
        _, left = await asyncio.wait(set(self._in_hand), timeout=seconds)
        for working in left:
            working.cancel()

    async def _pause_after(
        self, error: EngineError | StoreError, troubles: int, stop: asyncio.Event
    ) -> None:
        """Wait before the next try, longer each time; tell people once, not at every try."""
        if troubles == 1:
            self._tell_trouble(error.message, is_over=False)
        pause = min(self._limits.longest_pause_seconds, 0.5 * 2 ** min(troubles, 8))
        await wait_for(stop, pause * (0.5 + self._identifiers.fraction() / 2))

    def _tell_trouble(self, reason: str, *, is_over: bool) -> None:
        self._observer.notify(
            EngineTrouble(engine=self._tasks.engine_id, reason=reason, is_over=is_over)
        )

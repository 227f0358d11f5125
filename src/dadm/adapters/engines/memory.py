"""MemoryEngine: tasks offered from Python instead of a process, for tests and simulation."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dadm.domain.errors import LeaseLost, TaskGone, UnknownProcess
from dadm.domain.json import JsonObject
from dadm.domain.task import BpmnError, Completed, Failed, Outcome
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.engine import (
    AssistantTask,
    EndedInstance,
    InstanceState,
    LeasedTask,
    TopicSubscription,
)
from dadm.ports.engine_features import Feature

FEATURES = frozenset(
    {
        Feature.MULTI_TOPIC,
        Feature.UNLOCK,
        Feature.PRIORITY,
        Feature.FENCED_LEASE,
        Feature.LEASE_ENDS_WITH_FAILURE,
        Feature.PROCESS_FILTER,
        Feature.ALL_VARIABLES,
        Feature.MODELS_TOLD,
        Feature.CANCELLED_ENDS,
        Feature.SHARED_ENDS,
        Feature.OUTBOX,
        Feature.INSTANCE_STATES,
        Feature.ROOT_INSTANCE,
        Feature.BUSINESS_KEY,
    }
)
_NO_LEASE = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """What a worker reported, as it was taken. A failure that leaves an incident has retries 0."""

    task_id: str
    process_instance_id: str
    outcome: Outcome


@dataclass(slots=True, kw_only=True)
class _Offer:
    """A task that waits, and who has it until when."""

    task: LeasedTask
    available_at: datetime
    worker: str = ""
    lease_expires_at: datetime | None = None


class MemoryEngine:
    """ServiceTasks, ProcessModels and ProcessHistory without processes.

    A task is offered, leased, reported and gone; nothing follows from it. `reports` holds all
    reports in order. Everything happens on one event loop; tasks, leases and reports follow the
    port's contract.
    """

    def __init__(
        self, clock: Clock, identifiers: Identifiers, *, engine_id: str = "memory"
    ) -> None:
        """Begin without tasks; leases are judged by `clock`."""
        self._clock = clock
        self._identifiers = identifiers
        self._engine_id = engine_id
        self._offers: dict[str, _Offer] = {}
        self._declared: dict[AssistantTask, None] = {}
        self._states: dict[str, InstanceState] = {}
        self._ended: list[EndedInstance] = []
        self._last_position = 0
        self._changed = asyncio.Event()
        self.reports: list[TaskReport] = []

    @property
    def engine_id(self) -> str:
        """The configured id of this engine."""
        return self._engine_id

    @property
    def features(self) -> frozenset[Feature]:
        """What this engine can do."""
        return FEATURES

    def offer(self, task: LeasedTask) -> None:
        """Let a task wait for a worker; what it says of a lease does not matter."""
        self._offers[task.task_id] = _Offer(task=task, available_at=self._clock.now())
        self._states[task.process_instance_id] = InstanceState.ACTIVE
        if task.properties.get("service.type") == "assistant":
            declared = AssistantTask(
                topic=task.topic,
                element_id=task.element_id,
                process_definition_key=task.process_definition_key,
                assistant=task.properties.get("assistant", ""),
            )
            self._declared[declared] = None
        self._wake()

    def retry(self, task_id: str, *, retries: int = 3) -> None:
        """Offer a task that ran out of retries again, as a person does.

        Raises:
            UnknownProcess: No such task waits.
        """
        offer = self._offers.get(task_id)
        if offer is None:
            text = f"There is no task {task_id!r}."
            raise UnknownProcess(text)
        offer.task = replace(offer.task, retries=retries)
        self._release(offer)

    def end_instance(
        self, instance_id: str, *, state: InstanceState = InstanceState.COMPLETED, tenant: str = ""
    ) -> None:
        """Let a process instance be over: its tasks are gone, and its end is told."""
        for task_id, offer in list(self._offers.items()):
            if offer.task.process_instance_id == instance_id:
                del self._offers[task_id]
        self._states[instance_id] = state
        self._last_position += 1
        ended = EndedInstance(
            position=self._last_position,
            instance_id=instance_id,
            tenant=tenant,
            state=state,
            ended_at=self._clock.now(),
        )
        self._ended.append(ended)

    async def assistant_tasks(self) -> Sequence[AssistantTask]:
        """Give the AI tasks among all that was ever offered."""
        return tuple(self._declared)

    async def fetch_and_lease(
        self,
        subscriptions: Sequence[TopicSubscription],
        *,
        max_tasks: int,
        request_timeout: timedelta,
    ) -> Sequence[LeasedTask]:
        """Lease tasks, waiting up to `request_timeout` for the first."""
        if max_tasks < 1 or not subscriptions:
            return ()
        deadline = self._clock.monotonic() + request_timeout.total_seconds()
        while True:
            changed = self._changed
            leased = self._lease(subscriptions, max_tasks)
            left = deadline - self._clock.monotonic()
            if leased or left <= 0:
                return leased
            await self._wait_for(changed, self._until_next(left))

    async def complete(self, task: LeasedTask, *, variables: JsonObject) -> None:
        """Take the task away, and remember its outcome."""
        self._held(task)
        self._report(task, Completed(variables=variables))
        del self._offers[task.task_id]

    async def fail(
        self,
        task: LeasedTask,
        *,
        message: str,
        details: str,
        retries: int,
        retry_after: timedelta,
    ) -> None:
        """Offer the task again later; with `retries` 0 it waits for `retry`."""
        offer = self._held(task)
        outcome = Failed(
            message=message, details=details, retries=max(0, retries), retry_after=retry_after
        )
        self._report(task, outcome)
        offer.task = replace(offer.task, retries=outcome.retries)
        self._release(offer, after=retry_after)

    async def bpmn_error(
        self, task: LeasedTask, *, error_code: str, message: str, variables: JsonObject
    ) -> None:
        """Take the task away if its code is caught; else it waits for `retry`."""
        offer = self._held(task)
        if offer.task.caught_errors & {error_code, ""}:
            outcome = BpmnError(error_code=error_code, message=message, variables=variables)
            self._report(task, outcome)
            del self._offers[task.task_id]
            return
        text = f"The model catches no error {error_code!r} here: {message}"
        await self.fail(task, message=text, details="", retries=0, retry_after=_NO_LEASE)

    async def extend(self, task: LeasedTask, *, lease_duration: timedelta) -> None:
        """Let the lease last that long from now."""
        offer = self._held(task)
        now = self._clock.now()
        if offer.lease_expires_at is None or offer.lease_expires_at <= now:
            raise LeaseLost
        offer.lease_expires_at = now + lease_duration

    async def unlease(self, task: LeasedTask) -> None:
        """Give the task back, to be offered again at once."""
        offer = self._offers.get(task.task_id)
        if offer is not None and offer.worker == task.lease:
            self._release(offer)

    async def is_active(self, task: LeasedTask) -> bool:
        """Say whether the task still waits, whoever holds it."""
        return task.task_id in self._offers

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        """Give instances that ended behind a position, in order."""
        return tuple(ended for ended in self._ended if ended.position > after)[:limit]

    async def forget_ended(self, *, up_to: int) -> None:
        """Drop what was handled, up to and including that position."""
        self._ended = [ended for ended in self._ended if ended.position > up_to]

    async def instance_states(self, instance_ids: Collection[str]) -> Mapping[str, InstanceState]:
        """Give the states of those that had a task here, or whose end was told."""
        return {name: self._states[name] for name in instance_ids if name in self._states}

    def _lease(
        self, subscriptions: Sequence[TopicSubscription], max_tasks: int
    ) -> Sequence[LeasedTask]:
        now = self._clock.now()
        worker = self._identifiers.new_id("worker")
        waiting = sorted(
            (offer for offer in self._offers.values() if _is_on_offer(offer, now)),
            key=lambda offer: -offer.task.priority,
        )
        leased: list[LeasedTask] = []
        for offer in waiting:
            wanted = next((each for each in subscriptions if _wants(each, offer.task)), None)
            if wanted is None or len(leased) == max_tasks:
                continue
            offer.worker, offer.lease_expires_at = worker, now + wanted.lease_duration
            leased.append(
                replace(offer.task, lease=worker, lease_expires_at=offer.lease_expires_at)
            )
        return tuple(leased)

    def _held(self, task: LeasedTask) -> _Offer:
        """Find what a report is about. A lease that ran out counts while nobody else took it."""
        offer = self._offers.get(task.task_id)
        if offer is None:
            raise TaskGone
        if offer.worker != task.lease:
            raise LeaseLost
        return offer

    def _report(self, task: LeasedTask, outcome: Outcome) -> None:
        report = TaskReport(
            task_id=task.task_id,
            process_instance_id=task.process_instance_id,
            outcome=outcome,
        )
        self.reports.append(report)

    def _release(self, offer: _Offer, *, after: timedelta = _NO_LEASE) -> None:
        offer.worker, offer.lease_expires_at = "", None
        offer.available_at = self._clock.now() + after
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _until_next(self, seconds: float) -> float:
        """Give how long to wait at most: until time alone puts a task on offer."""
        now = self._clock.now()
        moments = [
            max(offer.available_at, offer.lease_expires_at or offer.available_at)
            for offer in self._offers.values()
            if offer.task.retries != 0
        ]
        ahead = [(moment - now).total_seconds() for moment in moments if moment > now]
        return min([seconds, *ahead])

    async def _wait_for(self, changed: asyncio.Event, seconds: float) -> None:
        async with asyncio.TaskGroup() as group:
            heard = group.create_task(changed.wait())
            slept = group.create_task(self._clock.sleep(seconds))
            heard.add_done_callback(lambda _: slept.cancel())
            slept.add_done_callback(lambda _: heard.cancel())


def _is_on_offer(offer: _Offer, now: datetime) -> bool:
    return (
        (offer.lease_expires_at is None or offer.lease_expires_at <= now)
        and offer.available_at <= now
        and offer.task.retries != 0
    )


def _wants(subscription: TopicSubscription, task: LeasedTask) -> bool:
    keys, tenants = subscription.process_definition_keys, subscription.tenants
    return (
        subscription.topic == task.topic
        and (not keys or task.process_definition_key in keys)
        and (not tenants or task.tenant in tenants)
    )

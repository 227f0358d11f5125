"""A board that offers tasks as an engine does, and remembers every report."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from dadm.domain.errors import LeaseLost, TaskGone
from dadm.domain.json import JsonObject
from dadm.domain.task import BpmnError, Completed, Failed, Outcome
from dadm.ports.engine import (
    AssistantTask,
    EndedInstance,
    Feature,
    LeasedTask,
    TopicSubscription,
)
from tests.builders import make_leased_task


@dataclass
class TaskBoard:
    """Tasks that wait, and what became of them.

    `reports` holds the outcomes that were taken, in order, with their tasks' ids.
    """

    engine_id: str = "embedded"
    features: frozenset[Feature] = frozenset()
    topics: list[AssistantTask] = field(default_factory=list)
    waiting: list[LeasedTask] = field(default_factory=list)
    leased: dict[str, LeasedTask] = field(default_factory=dict)
    reports: list[tuple[str, Outcome]] = field(default_factory=list)
    ended: list[EndedInstance] = field(default_factory=list)
    fetches: list[tuple[Sequence[TopicSubscription], int]] = field(default_factory=list)
    offered: asyncio.Event = field(default_factory=asyncio.Event)
    reported: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.topics.append(
            AssistantTask(
                topic="dadm", element_id="Task_1", process_definition_key="decision", assistant=""
            )
        )

    def offer(self, *tasks: LeasedTask) -> None:
        """Have tasks wait for a worker."""
        self.waiting.extend(tasks)
        self.offered.set()

    def offer_ids(self, *task_ids: str) -> None:
        """Have tasks of these ids wait for a worker."""
        self.offer(*(make_leased_task(task_id) for task_id in task_ids))

    def take_away(self, task_id: str) -> None:
        """Lease a task to somebody else."""
        self.leased[task_id] = replace(self.leased[task_id], lease="somebody else")

    def outcomes(self, task_id: str) -> list[Outcome]:
        """Give what was reported of a task."""
        return [outcome for reported, outcome in self.reports if reported == task_id]

    async def assistant_tasks(self) -> Sequence[AssistantTask]:
        return tuple(self.topics)

    async def fetch_and_lease(
        self,
        subscriptions: Sequence[TopicSubscription],
        *,
        max_tasks: int,
        request_timeout: timedelta,
    ) -> Sequence[LeasedTask]:
        self.fetches.append((subscriptions, max_tasks))
        try:
            async with asyncio.timeout(request_timeout.total_seconds()):
                while not self.waiting:
                    self.offered.clear()
                    await self.offered.wait()
        except TimeoutError:
            return ()
        taken, self.waiting = self.waiting[:max_tasks], self.waiting[max_tasks:]
        given = [replace(task, lease=f"lease {len(self.fetches)}") for task in taken]
        self.leased |= {task.task_id: task for task in given}
        return given

    async def complete(self, task: LeasedTask, *, variables: JsonObject) -> None:
        self._end(task, Completed(variables=variables))

    async def fail(
        self,
        task: LeasedTask,
        *,
        message: str,
        details: str,
        retries: int,
        retry_after: timedelta,
    ) -> None:
        outcome = Failed(message=message, details=details, retries=retries, retry_after=retry_after)
        self._end(task, outcome)

    async def bpmn_error(
        self, task: LeasedTask, *, error_code: str, message: str, variables: JsonObject
    ) -> None:
        assert task.caught_errors & {error_code, ""}
        self._end(task, BpmnError(error_code=error_code, message=message, variables=variables))

    async def extend(self, task: LeasedTask, *, lease_duration: timedelta) -> None:
        assert lease_duration > timedelta(0)
        self._check(task)

    async def unlease(self, task: LeasedTask) -> None:
        self._check(task)
        self.offer(self.leased.pop(task.task_id))

    async def is_active(self, task: LeasedTask) -> bool:
        return task.task_id in self.leased

    async def ended_instances(self, *, after: int, limit: int) -> Sequence[EndedInstance]:
        return [each for each in self.ended if each.position > after][:limit]

    async def forget_ended(self, *, up_to: int) -> None:
        self.ended = [each for each in self.ended if each.position > up_to]

    def _end(self, task: LeasedTask, outcome: Outcome) -> None:
        self._check(task)
        del self.leased[task.task_id]
        self.reports.append((task.task_id, outcome))
        self.reported.set()

    def _check(self, task: LeasedTask) -> None:
        held = self.leased.get(task.task_id)
        if held is None:
            raise TaskGone(f"There is no task {task.task_id}.")
        if held.lease != task.lease:
            raise LeaseLost(f"Task {task.task_id} is leased to another worker.")

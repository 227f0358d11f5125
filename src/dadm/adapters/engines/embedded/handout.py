"""TaskHandout: waiting tasks are leased to workers, with all that a worker needs to know."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from dadm.adapters.engines.embedded.bell import wait_for
from dadm.adapters.engines.embedded.instances.variables import visible
from dadm.adapters.engines.embedded.instances.waits import find_identified
from dadm.adapters.engines.embedded.member import Member
from dadm.adapters.engines.embedded.stepping import Stepping
from dadm.adapters.engines.embedded.timers import Timers
from dadm.adapters.engines.process_scope import with_scope
from dadm.domain.errors import EngineUnavailable, RequestError, StoreUnavailable
from dadm.ports.engine import LeasedTask, TopicSubscription
from dadm.ports.process_store import WaitingTask

LONGEST_PAUSE_SECONDS = 0.5
"""The longest a waiting fetch goes without asking the store, for what other processes change."""


class TaskHandout:
    """Leases tasks; while it waits for some, it lets due timers come."""

    def __init__(self, stepping: Stepping, timers: Timers) -> None:
        """Work on `stepping`."""
        self._stepping = stepping
        self._timers = timers
        self._timers_at = float("-inf")

    async def fetch_and_lease(
        self,
        subscriptions: Sequence[TopicSubscription],
        *,
        max_tasks: int,
        request_timeout: timedelta,
    ) -> Sequence[LeasedTask]:
        """Lease up to `max_tasks` tasks, waiting up to `request_timeout` for the first.

        Subscriptions with one lease duration are served together, by priority and age; those
        with another come after them.

        Raises:
            EngineUnavailable: The store does not answer.
        """
        if max_tasks < 1 or not subscriptions:
            return ()
        clock = self._stepping.clock
        deadline = clock.monotonic() + request_timeout.total_seconds()
        while True:
            ringing = self._stepping.bell.listen()
            try:
                await self._let_timers_come()
                leased = await self._lease(subscriptions, max_tasks)
            except StoreUnavailable as error:
                raise EngineUnavailable(error.message) from error
            left = deadline - clock.monotonic()
            if leased or left <= 0:
                return leased
            await wait_for(ringing, clock, min(left, LONGEST_PAUSE_SECONDS))

    async def _let_timers_come(self) -> None:
        now = self._stepping.clock.monotonic()
        if now >= self._timers_at:
            self._timers_at = now + LONGEST_PAUSE_SECONDS
            await self._timers.run_due()

    async def _lease(
        self, subscriptions: Sequence[TopicSubscription], max_tasks: int
    ) -> Sequence[LeasedTask]:
        by_duration: dict[timedelta, list[TopicSubscription]] = {}
        for subscription in subscriptions:
            by_duration.setdefault(subscription.lease_duration, []).append(subscription)
        waiting: list[WaitingTask] = []
        for duration, wanted in by_duration.items():
            if len(waiting) < max_tasks:
                waiting += await self._stepping.store.lease_tasks(
                    topics=[
                        (
                            subscription.topic,
                            frozenset(subscription.process_definition_keys),
                            frozenset(subscription.tenants),
                        )
                        for subscription in wanted
                    ],
                    # New for every fetch: even this process cannot report for a lease it lost.
                    worker=self._stepping.identifiers.new_id("worker"),
                    lease=duration,
                    limit=max_tasks - len(waiting),
                )
        return await self._filled_in(waiting)

    async def _filled_in(self, waiting: Iterable[WaitingTask]) -> Sequence[LeasedTask]:
        """Tell what the instances say about their tasks; a task that is gone by now is left out."""
        family = self._stepping.family()
        described: list[LeasedTask] = []
        for task in waiting:
            try:
                member = await family.load(task.instance_id)
            except RequestError:
                continue
            leased = _leased_task(member, task)
            if leased is not None:
                described.append(leased)
        return tuple(described)


def _leased_task(member: Member, waiting: WaitingTask) -> LeasedTask | None:
    task = find_identified(member.tree, waiting.task_id)
    if task is None or waiting.lease_expires_at is None:
        return None
    stored, model = member.stored, member.deployed.runnable.model
    element = task.task_spec.element
    inputs = element.inputs
    return LeasedTask(
        task_id=waiting.task_id,
        topic=waiting.topic,
        element_id=element.element_id,
        element_name=element.name,
        process_instance_id=stored.instance_id,
        root_process_instance_id=stored.root_id,
        process_definition_id=stored.definition_id,
        process_definition_key=stored.definition_key,
        business_key=stored.business_key,
        tenant=stored.tenant,
        priority=waiting.priority,
        retries=waiting.retries,
        lease_expires_at=waiting.lease_expires_at,
        variables=visible(task),
        mapped=None if inputs is None else tuple(assignment.name for assignment in inputs),
        properties=with_scope(element.work.properties, model.thread_scope),
        documentation=element.documentation,
        caught_errors=member.caught_around(element.element_id),
        own_answers=model.own_answers,
        lease=waiting.worker,
    )

"""JobActivation: waiting jobs of many types are gathered, one standing request for each type."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import httpx2

from dadm.adapters.engines.camunda8.connection import Camunda8Connection, Refused
from dadm.adapters.engines.camunda8.jobs import NO_TENANT, ActivatedJob, read_jobs
from dadm.adapters.engines.camunda8.leased_jobs import leased_task
from dadm.adapters.engines.camunda8.library import JobLibrary
from dadm.adapters.engines.camunda8.models import DefinitionModel, JobModel
from dadm.adapters.engines.camunda8.needs import Needs, needs_of
from dadm.adapters.engines.camunda8.reports import TOKEN, JobReports, milliseconds
from dadm.domain.errors import EngineError, EngineRejected, LeaseLost, TaskGone
from dadm.ports.clock import Clock
from dadm.ports.engine import LeasedTask, TopicSubscription

LOGGER = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(seconds=20)
"""Above 30 s the gateway answers 503, and the dead request still takes the next job."""

MOST_OPEN = 32
"""Requests that wait at the gateway at once; with more types they take turns."""

FOREIGN_PAUSE = timedelta(seconds=10)
"""How long a job that is not ours is left to others after it was given back."""

MODEL_PAUSE = timedelta(seconds=2)
"""How long a job waits whose model is not there yet."""

MODEL_PATIENCE = timedelta(seconds=30)
"""How long a model is waited for before its jobs are worked without it."""


@dataclass(slots=True)
class _Known:
    """What is known of a type: what its tasks need, and whether one of them was seen."""

    needs: Needs = field(default_factory=Needs)
    is_seen: bool = False


class JobActivation:
    """Activates jobs. A request is never cancelled, since a dead one still takes jobs.

    So one that is open when a fetch returns is left open; what it brings belongs to the next
    fetch. Which variables a type's tasks need is learnt from its first job, activated alone and
    without variables, and given back when it turns out to need some.

    Attributes:
        gets_tokens: Whether the latest job came with a lease token, by which the gateway judges.
    """

    def __init__(
        self,
        connection: Camunda8Connection,
        library: JobLibrary,
        reports: JobReports,
        clock: Clock,
        worker: str,
    ) -> None:
        """Activate over `connection` as `worker`."""
        self._connection = connection
        self._library = library
        self._reports = reports
        self._clock = clock
        self._worker = worker
        self._group = asyncio.TaskGroup()
        self._open: dict[str, asyncio.Task[None]] = {}
        self._gathered: list[LeasedTask] = []
        self._troubles: list[EngineError] = []
        self._known: dict[str, _Known] = {}
        self._turn = 0
        self._lease_count = 0
        self._has_lease_tokens = True
        self.gets_tokens = False
        self._told: set[str] = set()
        self._missing_since: dict[str, datetime] = {}

    async def __aenter__(self) -> Self:
        """Be ready to hold requests open."""
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the requests that are open, and give back what they bring."""
        await self._group.__aexit__(None, None, None)
        left, self._gathered = self._gathered, []
        for task in left:
            try:
                await self._reports.unlease(task)
            except EngineError as trouble:
                LOGGER.debug("Job %s is left to its timeout: %s", task.task_id, trouble)

    async def fetch_and_lease(
        self,
        subscriptions: Sequence[TopicSubscription],
        *,
        max_tasks: int,
        request_timeout: timedelta,
    ) -> Sequence[LeasedTask]:
        """Lease up to `max_tasks` tasks, waiting up to `request_timeout` for the first.

        Raises:
            EngineUnavailable: It does not answer.
            EngineRejected: It cannot do with the subscriptions.
        """
        if max_tasks < 1 or not subscriptions:
            return ()
        if len({each.topic for each in subscriptions}) < len(subscriptions):
            raise EngineRejected("A topic can be subscribed to once in a request.")
        if not self._gathered:
            waiting = self._opened(subscriptions, max_tasks, request_timeout)
            is_at_once = request_timeout <= timedelta(0)
            when = asyncio.ALL_COMPLETED if is_at_once else asyncio.FIRST_COMPLETED
            while waiting and not (self._gathered and not is_at_once):
                _, waiting = await asyncio.wait(waiting, return_when=when)
                if not (is_at_once or self._gathered or self._troubles):
                    # One ended in vain. Its type must not go unasked until the others have ended
                    # too: the next fetch asks again.
                    break
        return self._taken(max_tasks)

    def _taken(self, most: int) -> Sequence[LeasedTask]:
        now = self._clock.now()
        current = [each for each in self._gathered if each.lease_expires_at > now]
        # By age: keys are given in the order in which jobs came to be.
        current.sort(key=lambda each: (-each.priority, int(each.task_id)))
        self._gathered = current[most:]
        troubles, self._troubles = self._troubles, []
        if troubles and not current:
            raise troubles[0]
        return tuple(current[:most])

    def _opened(
        self, subscriptions: Sequence[TopicSubscription], most: int, wait: timedelta
    ) -> set[asyncio.Task[None]]:
        """Hold a request open for as many types as there is room for, in turns."""
        begin = self._turn % len(subscriptions)
        in_turn = [*subscriptions[begin:], *subscriptions[:begin]]
        missing = [each for each in in_turn if each.topic not in self._open]
        room = max(0, min(most, MOST_OPEN) - len(self._open))
        chosen = missing[:room]
        self._turn += len(chosen)
        # Where there are fewer permits than types, each request may take one.
        share = max(1, most // max(1, len(self._open) + len(chosen)))
        for each in chosen:
            opened = self._group.create_task(self._activate(each, share, min(wait, LONGEST_WAIT)))
            self._open[each.topic] = opened
        return set(self._open.values())

    async def _activate(self, wanted: TopicSubscription, most: int, wait: timedelta) -> None:
        found: list[LeasedTask] = []
        try:
            await self._fill(found, wanted, most, wait)
        except EngineError as error:
            self._troubles.append(error)
        finally:
            # Those taken before the trouble are ours all the same.
            self._gathered += found
            self._open.pop(wanted.topic, None)

    async def _fill(
        self, found: list[LeasedTask], wanted: TopicSubscription, most: int, wait: timedelta
    ) -> None:
        """Activate jobs of a type, and put into `found` what can be worked."""
        known = self._known.setdefault(wanted.topic, _Known())
        while True:
            asked = known.needs
            begun = self._clock.now()
            jobs = list(
                await self._ask(wanted, asked, most - len(found) if known.is_seen else 1, wait)
            )
            is_again = False
            for job in jobs:
                definition = await self._definition(job)
                if definition is None:
                    await self._give_back_for_a_while(job, begun + wanted.lease_duration)
                    continue
                model = definition.tasks.get(job.element_id) or JobModel(element_id=job.element_id)
                until = begun + wanted.lease_duration
                task = leased_task(job, definition, model, self._lease(job), until)
                if _is_foreign(task, wanted):
                    await self._give_to_others(task)
                    continue
                needed = needs_of(
                    task.properties,
                    task.documentation or task.properties.get("prompt", ""),
                    task.mapped,
                )
                if asked.covers(needed):
                    found.append(task)
                else:
                    known.needs |= needed
                    is_again = True
                    await self._reports.unlease(task)
            # After the first of a type the others follow at once.
            is_again = is_again or (bool(jobs) and not known.is_seen)
            known.is_seen = known.is_seen or bool(jobs)
            if not is_again or len(found) >= most:
                return
            wait = timedelta(0)

    async def _ask(
        self, wanted: TopicSubscription, needs: Needs, most: int, wait: timedelta
    ) -> list[ActivatedJob]:
        body: dict[str, Any] = {
            "type": wanted.topic,
            "worker": self._worker,
            "timeout": milliseconds(wanted.lease_duration),
            "maxJobsToActivate": most,
            # Zero would mean the gateway's own ten seconds.
            "requestTimeout": milliseconds(wait) if wait > timedelta(0) else -1,
        }
        names = needs.written()
        if names is not None:
            body["fetchVariable"] = names
        if wanted.tenants:
            body["tenantIds"] = [each or NO_TENANT for each in wanted.tenants]
        seconds = max(0.0, wait.total_seconds())
        if self._has_lease_tokens:
            try:
                return await self._jobs(body | {"withLease": True}, seconds)
            except Refused as refused:
                if refused.status != httpx2.codes.BAD_REQUEST:
                    raise EngineRejected(refused.detail) from refused
        try:
            jobs = await self._jobs(body, seconds)
        except Refused as refused:
            raise EngineRejected(refused.detail) from refused
        # What was refused a moment ago was the field: a gateway before 8.10 may not know it.
        self._has_lease_tokens = False
        return jobs

    async def _jobs(self, body: dict[str, Any], seconds: float) -> list[ActivatedJob]:
        return list(
            read_jobs(await self._connection.post("/jobs/activation", body, wait_seconds=seconds))
        )

    def _lease(self, job: ActivatedJob) -> str:
        self._lease_count += 1
        self.gets_tokens = bool(job.lease_token)
        return TOKEN + job.lease_token if job.lease_token else f"{self._worker}-{self._lease_count}"

    async def _definition(self, job: ActivatedJob) -> DefinitionModel | None:
        """Give the model of a job, None as long as it is worth waiting for.

        A job must not be worked before: its model may say whose thread it continues.
        """
        if not job.definition_key:
            return DefinitionModel()
        model = await self._library.definition(job.definition_key, job.process_id)
        if model is None:
            now = self._clock.now()
            if now - self._missing_since.setdefault(job.definition_key, now) >= MODEL_PATIENCE:
                self._tell_once(
                    f"The engine has jobs of {job.process_id!r} but not its model; they are worked "
                    "by their headers alone."
                )
                return DefinitionModel()
        return model

    async def _give_back_for_a_while(self, job: ActivatedJob, until: datetime) -> None:
        nothing = DefinitionModel(), JobModel(element_id=job.element_id)
        task = leased_task(job, *nothing, self._lease(job), until)
        with suppress(TaskGone, LeaseLost):
            await self._reports.fail(
                task,
                message="Its model cannot be read yet.",
                details="",
                retries=max(1, job.retries),
                retry_after=MODEL_PAUSE,
            )

    def _tell_once(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            LOGGER.warning("%s", sentence)

    async def _give_to_others(self, task: LeasedTask) -> None:
        sentence = (
            f"A job of type {task.topic!r} came from the process {task.process_definition_key!r}, "
            "whose tasks are not worked; it is given back. Give its tasks another type."
        )
        self._tell_once(sentence)
        await self._reports.fail(
            task,
            message=sentence,
            details="",
            retries=max(1, task.retries or 1),
            retry_after=FOREIGN_PAUSE,
        )


def _is_foreign(task: LeasedTask, wanted: TopicSubscription) -> bool:
    keys = wanted.process_definition_keys
    return bool(keys) and task.process_definition_key not in keys

"""TaskReports: what workers say about the tasks they hold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from dadm.adapters.engines.embedded.instances.errors import with_errors_named
from dadm.adapters.engines.embedded.instances.failures import StepFailed
from dadm.adapters.engines.embedded.instances.waits import find_identified
from dadm.adapters.engines.embedded.member import Member
from dadm.adapters.engines.embedded.stepping import Stepping
from dadm.domain.errors import (
    EngineRejected,
    EngineUnavailable,
    StoreUnavailable,
    TaskGone,
    UnknownProcess,
)
from dadm.domain.json import JsonObject
from dadm.ports.engine import EngineIncident, LeasedTask
from dadm.ports.process_store import WaitingTask

LONGEST_MESSAGE = 666
"""Characters of an incident's message, as long as Camunda 7 keeps; the details hold the rest."""


class _Uncaught(Exception):
    """Nothing catches the error that was reported."""


class TaskReports:
    """Takes reports. One that comes after its lease ran out counts while nobody else has the task."""

    def __init__(self, stepping: Stepping) -> None:
        """Work on `stepping`."""
        self._stepping = stepping

    async def complete(self, task: LeasedTask, *, variables: JsonObject) -> None:
        """Let the process go on with `variables`; EngineRejected if it cannot, and nothing changed."""

        def finish(waiting: WaitingTask, member: Member) -> None:
            found = find_identified(member.tree, waiting.task_id)
            if found is None:
                raise TaskGone
            # A task with an incident has no lease, so this one has none.
            member.clean_tasks.add(waiting.task_id)
            with_errors_named(found, partial(found.task_spec.finish, found, variables))

        async with _reporting():
            waiting = await self._stepping.store.check_lease(task.task_id, worker=task.lease)
            await self._stepping.step(waiting.instance_id, partial(finish, waiting))

    async def fail(
        self,
        task: LeasedTask,
        *,
        message: str,
        details: str,
        retries: int,
        retry_after: timedelta,
    ) -> None:
        """Give the task back for later, or leave an incident when no retries are left."""
        incident = None
        if retries <= 0:
            incident = EngineIncident(
                incident_id=self._stepping.identifiers.new_id("incident"),
                instance_id=task.process_instance_id,
                element_id=task.element_id,
                task_id=task.task_id,
                message=message[:LONGEST_MESSAGE],
                details=details,
                created_at=self._stepping.clock.now(),
            )
        async with _reporting():
            await self._stepping.store.fail_task(
                task.task_id,
                worker=task.lease,
                retries=max(0, retries),
                retry_after=retry_after,
                incident=incident,
            )
        self._stepping.bell.ring()

    async def bpmn_error(
        self, task: LeasedTask, *, error_code: str, message: str, variables: JsonObject
    ) -> None:
        """Take the model's error path; an error that nothing catches leaves an incident."""

        def throw(waiting: WaitingTask, member: Member) -> None:
            found = find_identified(member.tree, waiting.task_id)
            if found is None:
                raise TaskGone
            if not member.caught_around(waiting.element_id) & {error_code, ""}:
                raise _Uncaught
            member.clean_tasks.add(waiting.task_id)
            member.tree.throw(found, error_code, message, variables)

        try:
            async with _reporting():
                waiting = await self._stepping.store.check_lease(task.task_id, worker=task.lease)
                await self._stepping.step(waiting.instance_id, partial(throw, waiting))
        except _Uncaught:
            await self.fail(
                task,
                message=f"The model catches no error {error_code!r} here: {message}",
                details="",
                retries=0,
                retry_after=timedelta(0),
            )

    async def extend(self, task: LeasedTask, *, lease_duration: timedelta) -> None:
        """Let the lease last that long from now."""
        async with _reporting():
            await self._stepping.store.extend_lease(
                task.task_id, worker=task.lease, lease=lease_duration
            )

    async def unlease(self, task: LeasedTask) -> None:
        """Give the task back, to be offered again at once."""
        async with _reporting():
            await self._stepping.store.release_task(task.task_id, worker=task.lease)
        self._stepping.bell.ring()

    async def is_active(self, task: LeasedTask) -> bool:
        """Say whether the task still waits, whoever holds it."""
        async with _reporting():
            return await self._stepping.store.has_task(task.task_id)


@asynccontextmanager
async def _reporting() -> AsyncIterator[None]:
    """Say what went wrong in the words of the port."""
    try:
        yield
    except StepFailed as failure:
        raise EngineRejected(str(failure)) from failure
    except UnknownProcess as error:
        raise TaskGone from error
    except StoreUnavailable as error:
        raise EngineUnavailable(error.message) from error

"""JobReports: outcomes go to the gateway, as far as the job is ours by our own clock."""

from datetime import datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import quote

import httpx2

from dadm.adapters.engines.camunda8.connection import Camunda8Connection, Refused
from dadm.adapters.engines.camunda8.values import storable
from dadm.domain.errors import EngineRejected, EngineUnavailable, LeaseLost, TaskGone
from dadm.domain.json import JsonObject
from dadm.ports.clock import Clock
from dadm.ports.engine import LeasedTask

LONGEST_MESSAGE = 5000
TOKEN = "token:"  # noqa: S105 - what a lease begins with that is the gateway's own
PAST = "The job's timeout has passed, or it was given back: it may be another worker's by now."


class JobReports:
    """Reports on jobs. A job has no owner before 8.10: whoever knows its key may end it.

    So a failure or an error is reported within the job's timeout alone, which is kept here; it
    would free or stop what another worker has in hand. For the same reason a lease ends here with
    its failure. A completion may come late: the work is the same. With a lease token the gateway
    judges, and is asked.
    """

    def __init__(self, connection: Camunda8Connection, clock: Clock) -> None:
        """Report over `connection`."""
        self._connection = connection
        self._clock = clock
        self._extended: dict[str, datetime] = {}
        self._given_up: dict[str, datetime] = {}

    async def complete(self, task: LeasedTask, *, variables: JsonObject) -> None:
        """Report the task done; `variables` become process variables."""
        await self._report(task, "completion", {"variables": storable(variables)})

    async def fail(
        self,
        task: LeasedTask,
        *,
        message: str,
        details: str,
        retries: int,
        retry_after: timedelta,
    ) -> None:
        """Report a failure; without retries left it becomes an incident."""
        self._refuse_late(task)
        text = f"{message}\n\n{details}".strip()
        body = {
            # Left out, the gateway would take it for none.
            "retries": max(0, retries),
            "errorMessage": text[:LONGEST_MESSAGE],
            "retryBackOff": max(0, int(retry_after / timedelta(milliseconds=1))),
        }
        await self._fail(task, body)

    async def bpmn_error(
        self, task: LeasedTask, *, error_code: str, message: str, variables: JsonObject
    ) -> None:
        """Take the model's error path; an error that nothing catches becomes an incident.

        The broker would make one of it too, but without a word of what to do.
        """
        if not task.caught_errors & {error_code, ""}:
            text = f"The model catches no error {error_code!r} here: {message}"
            await self.fail(task, message=text, details="", retries=0, retry_after=timedelta(0))
            return
        self._refuse_late(task)
        body = {
            "errorCode": error_code,
            "errorMessage": message[:LONGEST_MESSAGE],
            "variables": storable(variables),
        }
        await self._report(task, "error", body)

    async def extend(self, task: LeasedTask, *, lease_duration: timedelta) -> None:
        """Let the job's timeout be that long from now."""
        self._refuse_late(task)
        begun = self._clock.now()
        body = self._with_token(task, {"changeset": {"timeout": milliseconds(lease_duration)}})
        try:
            await self._connection.patch(_path(task), body)
        except Refused as refused:
            self._raise_for(refused)
        self._extended[task.lease] = begun + lease_duration

    async def unlease(self, task: LeasedTask) -> None:
        """Give the job back, to be offered at once; one that may be another's stays.

        There is no call for it: a failure that leaves the retries as they are does the same.
        """
        if self._is_late(task):
            return
        body = {
            "retries": max(1, task.retries or 1),
            "errorMessage": "Given back unworked.",
            "retryBackOff": 0,
        }
        try:
            await self._fail(task, body)
        except (TaskGone, LeaseLost):
            return

    async def is_active(self, task: LeasedTask) -> bool:
        """Say whether the job still waits in the engine, whoever holds it.

        Asked by a change that no job takes: its refusal tells one that is there from one that
        is not.
        """
        try:
            await self._connection.patch(_path(task), {"changeset": {"retries": 0}})
        except Refused as refused:
            return refused.status != httpx2.codes.NOT_FOUND
        return True

    def _is_late(self, task: LeasedTask) -> bool:
        if task.lease.startswith(TOKEN):
            return False
        return task.lease in self._given_up or self._clock.now() >= self._until(task)

    def _until(self, task: LeasedTask) -> datetime:
        return self._extended.get(task.lease, task.lease_expires_at)

    def _refuse_late(self, task: LeasedTask) -> None:
        if self._is_late(task):
            raise LeaseLost(PAST)

    async def _fail(self, task: LeasedTask, body: dict[str, Any]) -> None:
        until = self._until(task)
        await self._report(task, "failure", body)
        now = self._clock.now()
        for lease in [each for each, end in self._given_up.items() if end <= now]:
            del self._given_up[lease]
        self._given_up[task.lease] = until

    async def _report(self, task: LeasedTask, what: str, body: dict[str, Any]) -> None:
        try:
            await self._connection.post(f"{_path(task)}/{what}", self._with_token(task, body))
        except Refused as refused:
            self._raise_for(refused)
        self._extended.pop(task.lease, None)

    def _with_token(self, task: LeasedTask, body: dict[str, Any]) -> dict[str, Any]:
        if not task.lease.startswith(TOKEN):
            return body
        return body | {"jobLeaseToken": task.lease.removeprefix(TOKEN)}

    def _raise_for(self, refused: Refused) -> NoReturn:
        match refused.status:
            case httpx2.codes.NOT_FOUND if refused.title:
                raise TaskGone(refused.detail) from refused
            case httpx2.codes.CONFLICT:
                # Failed or in error by another's report, or another's by its lease token.
                raise LeaseLost(refused.detail) from refused
            case httpx2.codes.BAD_REQUEST if "not active" in refused.detail:
                raise LeaseLost(refused.detail) from refused
            case httpx2.codes.FORBIDDEN | httpx2.codes.NOT_FOUND:
                raise EngineUnavailable(refused.detail) from refused
            case _:
                raise EngineRejected(refused.detail) from refused


def milliseconds(duration: timedelta) -> int:
    """Give a duration as gateways take it: whole milliseconds, one at least."""
    return max(1, int(duration / timedelta(milliseconds=1)))


def _path(task: LeasedTask) -> str:
    return f"/jobs/{quote(task.task_id, safe='')}"

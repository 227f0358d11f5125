"""TaskReports: outcomes go to the engine, and its refusals become what the port says of them."""

from datetime import timedelta
from typing import Any, NoReturn
from urllib.parse import quote

from dadm.adapters.engines.external_task.connection import EngineConnection
from dadm.adapters.engines.external_task.refusals import Refused
from dadm.adapters.engines.external_task.variables import VariableWriting
from dadm.domain.errors import EngineRejected, EngineUnavailable, LeaseLost, TaskGone
from dadm.domain.json import JsonObject
from dadm.ports.engine import LeasedTask

LONGEST_MESSAGE = 666
"""Characters of a failure's message that an engine keeps; the details may be longer."""

MOST_FREED = 1000
HELD_SECONDS = 5
"""How long a lock is held to be given back under."""


class TaskReports:
    """Reports on tasks under the worker id that locked them, which is their lease."""

    def __init__(self, connection: EngineConnection, writing: VariableWriting) -> None:
        """Report over `connection`; variables are written by `writing`."""
        self._connection = connection
        self._writing = writing

    async def complete(self, task: LeasedTask, *, variables: JsonObject) -> None:
        """Report the task done; `variables` become process variables."""
        await self._report_with(task, "complete", {}, variables)

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
        is_cut = len(message) > LONGEST_MESSAGE
        body = {
            "errorMessage": f"{message[: LONGEST_MESSAGE - 1]}…" if is_cut else message,
            "errorDetails": f"{message}\n\n{details}" if is_cut else details,
            # Left out, the engine would take it for none.
            "retries": max(0, retries),
            "retryTimeout": max(0, int(retry_after / timedelta(milliseconds=1))),
        }
        await self._report(task, "failure", body)

    async def bpmn_error(
        self, task: LeasedTask, *, error_code: str, message: str, variables: JsonObject
    ) -> None:
        """Take the model's error path; an error that nothing catches becomes an incident.

        The engine would end the instance at once, and call it completed.
        """
        if task.caught_errors & {error_code, ""}:
            body = {"errorCode": error_code, "errorMessage": message[:LONGEST_MESSAGE]}
            await self._report_with(task, "bpmnError", body, variables)
            return
        await self.fail(
            task,
            message=f"The model catches no error {error_code!r} here: {message}",
            details="",
            retries=0,
            retry_after=timedelta(0),
        )

    async def extend(self, task: LeasedTask, *, lease_duration: timedelta) -> None:
        """Let the lock last that long from now."""
        await self._report(task, "extendLock", {"newDuration": milliseconds(lease_duration)})

    async def unlease(self, task: LeasedTask) -> None:
        """Give the task back, to be offered at once; a lock that is another's stays."""
        await self._free(task.task_id, task.lease)

    async def is_active(self, task: LeasedTask) -> bool:
        """Say whether the task still waits in the engine, whoever holds it."""
        return await self._state(task.task_id) is not None

    async def free_all_of(self, worker: str) -> None:
        """Give back everything that is locked for a worker who will not report."""
        try:
            locked = await self._connection.get(
                "/external-task", workerId=worker, locked=True, maxResults=MOST_FREED
            )
        except Refused as refused:
            raise EngineUnavailable(refused.refusal.message) from refused
        for each in locked:
            await self._free(str(each["id"]), worker)

    async def _free(self, task_id: str, worker: str) -> None:
        # To unlock asks for no owner. Extended first, the lock is ours while it is given back.
        held = {"workerId": worker, "newDuration": HELD_SECONDS * 1000}
        try:
            await self._connection.post(_path(task_id, "extendLock"), held)
            await self._connection.post(_path(task_id, "unlock"), {})
        except Refused as refused:
            if refused.refusal.is_gone or refused.refusal.is_about_the_lock:
                return
            raise EngineRejected(refused.refusal.message) from refused

    async def _report_with(
        self, task: LeasedTask, what: str, body: dict[str, Any], variables: JsonObject
    ) -> None:
        """Report with variables, again where the engine would have them written otherwise."""
        while True:
            try:
                await self._send(task, what, {**body, "variables": self._writing.write(variables)})
            except Refused as refused:
                if not self._writing.learn(refused.refusal, variables):
                    await self._raise_for(task, what, refused)
            else:
                return

    async def _report(self, task: LeasedTask, what: str, body: dict[str, Any]) -> None:
        try:
            await self._send(task, what, body)
        except Refused as refused:
            await self._raise_for(task, what, refused)

    async def _send(self, task: LeasedTask, what: str, body: dict[str, Any]) -> None:
        await self._connection.post(_path(task.task_id, what), {"workerId": task.lease, **body})

    async def _raise_for(self, task: LeasedTask, what: str, refused: Refused) -> NoReturn:
        refusal = refused.refusal
        if refusal.is_gone:
            raise TaskGone(refusal.message) from refused
        if not (refusal.is_about_the_lock or refusal.is_fault):
            raise EngineRejected(refusal.message) from refused
        # A task that ends in the middle of a report makes the engine fail in odd ways; and a lock
        # that is another's has one status and code with a suspended instance.
        state = await self._state(task.task_id)
        if state is None:
            raise TaskGone(refusal.message) from refused
        if refusal.is_fault:
            raise EngineRejected(refusal.message) from refused
        if state.get("workerId") == task.lease and state.get("suspended"):
            msg = "The process instance is suspended; the outcome is reported when it goes on."
            raise EngineUnavailable(msg) from refused
        if state.get("workerId") != task.lease or what == "extendLock":
            raise LeaseLost(refusal.message) from refused
        raise EngineRejected(refusal.message) from refused

    async def _state(self, task_id: str) -> dict[str, Any] | None:
        try:
            found = await self._connection.get(_path(task_id))
        except Refused as refused:
            if refused.refusal.is_gone:
                return None
            raise EngineUnavailable(refused.refusal.message) from refused
        return found if isinstance(found, dict) else {}


def milliseconds(duration: timedelta) -> int:
    """Give a duration as engines take it: whole milliseconds, one at least."""
    return max(1, int(duration / timedelta(milliseconds=1)))


def _path(task_id: str, *steps: str) -> str:
    return "/".join(("/external-task", quote(task_id, safe=""), *steps))

"""TaskReporting: tells the engine a task's outcome, again if need be, without the model."""

from collections.abc import Mapping
from datetime import timedelta
from typing import assert_never

from dadm.domain.errors import (
    DadmError,
    EngineRejected,
    EngineUnavailable,
    LeaseLost,
    TaskGone,
)
from dadm.domain.task import BpmnError, Completed, Failed, Incident, Outcome, ServiceTask
from dadm.ports.assistant_service import AssistantService
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.engine import LeasedTask, ServiceTasks
from dadm.ports.observer import Observer, OutcomeReported, ReportLost

REPORTED_AT_MOST = 12
"""How often one outcome is reported to an engine that cannot be reached; about five minutes."""

LONGEST_PAUSE_SECONDS = 30.0

NO_PAUSE = timedelta(0)

OUTCOME_NAMES: Mapping[type[Outcome], str] = {
    Completed: "completed",
    Failed: "failed",
    BpmnError: "bpmn_error",
    Incident: "incident",
}


class TaskReporting:
    """Reports outcomes. An answer that the engine refuses becomes an incident with its reason."""

    def __init__(
        self,
        tasks: ServiceTasks,
        service: AssistantService,
        observer: Observer,
        clock: Clock,
        identifiers: Identifiers,
    ) -> None:
        """Report to `tasks`; tell `service` what was reported."""
        self._tasks = tasks
        self._service = service
        self._observer = observer
        self._clock = clock
        self._identifiers = identifiers

    async def report(self, task: LeasedTask, outcome: Outcome) -> bool:
        """Tell the engine the outcome; True once it has it.

        Raises:
            TaskGone: The task is gone, and no report of ours can have ended it.
            LeaseLost: Another worker holds it.
        """
        lost: EngineUnavailable | None = None
        for tries in range(REPORTED_AT_MOST):
            try:
                await self._send(task, outcome)
            except EngineUnavailable as error:
                lost = error
                pause = min(LONGEST_PAUSE_SECONDS, 0.1 * 2**tries)
                await self._clock.sleep(pause * (0.5 + self._identifiers.fraction() / 2))
            except TaskGone:
                if lost is None or not isinstance(outcome, Completed | BpmnError):
                    raise
                # An earlier report whose reply was lost has arrived. A failure leaves the task
                # where it is, so that somebody else has ended it.
                break
            except EngineRejected as error:
                if isinstance(outcome, Incident):
                    self.tell_lost(task, error)
                    return False
                outcome = Incident(
                    message=f"The engine refused the outcome: {error.message}",
                    details="The answer is recorded; retrying the incident reports it again.",
                )
            else:
                break
        else:
            self.tell_lost(task, lost or EngineUnavailable())
            return False
        self._tell_reported(task, outcome)
        return True

    async def note_reported(self, task: LeasedTask, asked: ServiceTask) -> None:
        """Record that the engine has the outcome; missing it costs a replay, no model call."""
        try:
            await self._service.outcome_reported(asked)
        except DadmError as error:
            self.tell_lost(task, error)

    async def give_back(self, task: LeasedTask) -> None:
        """Let another worker have the task at once; failing that, its lease runs out."""
        try:
            await self._tasks.unlease(task)
        except (EngineUnavailable, EngineRejected, TaskGone, LeaseLost) as error:
            self.tell_lost(task, error)

    def tell_lost(self, task: LeasedTask, error: BaseException) -> None:
        """Say that the engine was not told."""
        self._observer.notify(
            ReportLost(
                process_instance_id=task.process_instance_id,
                task_id=task.task_id,
                engine=self._tasks.engine_id,
                code=error.code if isinstance(error, DadmError) else type(error).__name__,
                reason=str(error),
            )
        )

    async def _send(self, task: LeasedTask, outcome: Outcome) -> None:
        match outcome:
            case Completed():
                await self._tasks.complete(task, variables=outcome.variables)
            case BpmnError():
                await self._tasks.bpmn_error(
                    task,
                    error_code=outcome.error_code,
                    message=outcome.message,
                    variables=outcome.variables,
                )
            case Failed():
                await self._tasks.fail(
                    task,
                    message=outcome.message,
                    details=outcome.details,
                    retries=outcome.retries,
                    retry_after=outcome.retry_after,
                )
            case Incident():
                await self._tasks.fail(
                    task,
                    message=outcome.message,
                    details=outcome.details,
                    retries=0,
                    retry_after=NO_PAUSE,
                )
            case _:
                assert_never(outcome)

    def _tell_reported(self, task: LeasedTask, outcome: Outcome) -> None:
        message = "" if isinstance(outcome, Completed) else outcome.message
        self._observer.notify(
            OutcomeReported(
                process_instance_id=task.process_instance_id,
                task_id=task.task_id,
                engine=self._tasks.engine_id,
                element_id=task.element_id,
                outcome=OUTCOME_NAMES[type(outcome)],
                message=message,
            )
        )

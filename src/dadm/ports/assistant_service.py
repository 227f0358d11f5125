"""AssistantService: who answers a service task, in process or over HTTP."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from dadm.domain.task import ServiceTask
from dadm.domain.thread import Usage


class ThreadChange(StrEnum):
    """How a turn came by its conversation."""

    CREATED = "created"
    REUSED = "reused"
    REBUILT = "rebuilt"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAnswer:
    """The answer to a task, and how it came about.

    `turn_id` names the turn for reporting. `is_replayed` says that it was recorded before and
    no model was asked; `is_recovered` that it was found by looking after an unknown outcome.
    `previous_thread_id` is set when the thread's conversation was replaced for this turn.
    `copied_messages` is how many messages a rebuilt conversation was given back.
    """

    task_id: str
    turn_id: str
    recommendation: str
    assistant_id: str
    assistant_version: str
    thread_id: str
    generation: int
    change: ThreadChange
    previous_thread_id: str = ""
    copied_messages: int = 0
    sequence: int
    is_replayed: bool
    is_recovered: bool
    usage: Usage
    processed_at: datetime
    processed_by: str
    has_structure: bool = False


class AssistantService(Protocol):
    """Answers service tasks, each exactly once on its thread.

    Repeating a call with the same task gives the recorded answer. Cancelling a call does not
    stop its turn.
    """

    async def process_task(self, task: ServiceTask) -> TaskAnswer:
        """Give the task's answer, waiting for its turn.

        Raises:
            RequestError: The task cannot be asked as it is.
            BackendError: The turn has no answer; `retryable` says whether to come back.
            StoreError: The database is not there.
            ServiceUnavailable: The service is not there for now. Its turns go on, also this one
                if it had begun.
            TooManyWaiting: This replica is full.
            ShuttingDown: This replica takes no new turns.
        """
        ...

    async def refuse_if_away(self) -> None:
        """Find out, without a turn, whether turns are taken.

        Raises:
            ServiceUnavailable: The service is not there for now.
            StoreUnavailable: Its database is not there for now.
            ShuttingDown: This replica takes no new turns.
        """
        ...

    async def knows_assistant(self, name: str) -> bool:
        """Whether `name` is a known name or alias of an assistant."""
        ...

    async def outcome_reported(self, task: ServiceTask) -> None:
        """Record that the engine has the outcome of this task's settled turn."""
        ...

    async def withdraw_task(self, task: ServiceTask) -> None:
        """Stop what is under way for a task that is gone from its engine.

        Only for tasks known to be gone, not for those whose lease was lost: somebody else may be
        working on them. Its place in the line is given up and its model's run is stopped, where
        the backend can; an answer that is there all the same is recorded.

        The run is found whichever replica waits for it.

        Raises:
            BackendError: The run could not be stopped.
            StoreError: The database is not there.
        """
        ...

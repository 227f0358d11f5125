"""Every error DADM raises, drawn as one tree; each has a code and says whether to retry.

    DadmError
    ├── RequestError
    │   ├── UnknownAssistant
    │   ├── UnknownThread
    │   ├── UnknownProcess
    │   ├── ThreadClosed
    │   ├── ThreadErased
    │   ├── InvalidTask
    │   ├── InvalidModel
    │   ├── InvalidAssistant
    │   ├── TaskContentChanged
    │   └── TaskIdentityConflict
    ├── BackendError
    │   ├── BackendUnavailable
    │   │   └── BackendResting
    │   ├── OutcomeUnknown
    │   ├── ConversationBusy
    │   ├── BackendRefused
    │   │   └── AnswerCutShort
    │   ├── BackendMisconfigured
    │   ├── ConversationLost
    │   ├── TooManyLost
    │   ├── ConversationBroken
    │   └── ConversationTooLong
    ├── EngineError
    │   ├── EngineUnavailable
    │   │   └── EngineAccessRefused
    │   ├── EngineRejected
    │   ├── TaskGone
    │   └── LeaseLost
    ├── StoreError
    │   ├── StoreUnavailable
    │   ├── StoreMisconfigured
    │   └── ThreadConflict
    ├── ServiceUnavailable
    ├── TooManyWaiting
    ├── ShuttingDown
    └── SettingsError

The message is a sentence that says what happened and, where a person can act, what to do.
Adapters translate a vendor's errors into this tree at their boundary; each edge (engine, HTTP,
command line) maps the tree outwards by one table of its own.
"""

from datetime import timedelta
from typing import ClassVar


class DadmError(Exception):
    """Something in DADM did not go as asked."""

    code: ClassVar[str] = "dadm_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        """Take `message`, or the first line of the class's docstring where none is given."""
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        """The sentence a person reads."""
        return str(self.args[0])


class RequestError(DadmError):
    """The caller must change something; asking again as it is cannot help."""

    code = "request_error"


class UnknownAssistant(RequestError):
    """There is no assistant of that name."""

    code = "unknown_assistant"

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        """Name the assistant asked for and those that exist."""
        listed = ", ".join(known) or "none"
        super().__init__(f"There is no assistant called {name!r}. Known assistants: {listed}.")
        self.name = name
        self.known = known


class UnknownThread(RequestError):
    """There is no thread with that id, and there never was one."""

    code = "unknown_thread"


class UnknownProcess(RequestError):
    """There is no such process, instance, task or incident."""

    code = "unknown_process"


class ThreadClosed(RequestError):
    """The thread is closed because its process instance has ended; it takes no new turns."""

    code = "thread_closed"


class ThreadErased(RequestError):
    """The thread is being erased or has been; it takes no new turns."""

    code = "thread_erased"


class InvalidTask(RequestError):
    """The task cannot be asked as it is."""

    code = "invalid_task"


class InvalidModel(RequestError):
    """The process model cannot be deployed as it is."""

    code = "invalid_model"


class InvalidAssistant(RequestError):
    """An assistant's definition is broken."""

    code = "invalid_assistant"


class TaskContentChanged(RequestError):
    """This task id was already used with other content; send new work under a new task id."""

    code = "task_content_changed"


class TaskIdentityConflict(RequestError):
    """This task id belongs to another element or process definition; the engine may have been wiped."""

    code = "task_identity_conflict"


class BackendError(DadmError):
    """The backend did not answer the turn."""

    code = "backend_error"


class BackendUnavailable(BackendError):
    """The backend surely did not accept the request: not reachable, or too many requests."""

    code = "backend_unavailable"
    retryable = True

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        """Keep how long the backend asked us to wait, where it said so."""
        super().__init__(message)
        self.retry_after = retry_after


class BackendResting(BackendUnavailable):
    """The backend failed again and again, so nothing is asked of it for a while."""

    code = "backend_resting"


class OutcomeUnknown(BackendError):
    """No definite answer came back; look before asking again."""

    code = "outcome_unknown"
    retryable = True

    def __init__(
        self, message: str = "", *, retry_after: timedelta | None = None, is_well: bool = False
    ) -> None:
        """Keep how long the backend asked us to wait, and whether it did speak of the run.

        A backend that says how a run ended is well (`is_well`), whatever the run came to.
        """
        super().__init__(message)
        self.retry_after = retry_after
        self.is_well = is_well


class ConversationBusy(BackendError):
    """Another run holds the conversation; wait, then look."""

    code = "conversation_busy"
    retryable = True


class BackendRefused(BackendError):
    """The backend will never answer this (content filter, policy, an answer cut short)."""

    code = "backend_refused"


class AnswerCutShort(BackendRefused):
    """The backend ended its answer early and for good; raise the assistant's answer limit or change the task."""

    code = "answer_cut_short"


class BackendMisconfigured(BackendError):
    """Our key, model or parameters are wrong; a person must mend the configuration."""

    code = "backend_misconfigured"


class ConversationLost(BackendError):
    """The backend confirmed that it no longer has the conversation."""

    code = "conversation_lost"
    retryable = True


class TooManyLost(BackendError):
    """More conversations are reported lost than is believed; a person must look before more are rebuilt."""

    code = "too_many_lost"


class ConversationBroken(BackendError):
    """The conversation takes no more turns as it is (an orphaned tool call); nothing was asked."""

    code = "conversation_broken"
    retryable = True


class ConversationTooLong(BackendError):
    """The conversation does not fit the model's window; nothing was asked."""

    code = "conversation_too_long"


class EngineError(DadmError):
    """The engine did not do as asked."""

    code = "engine_error"


class EngineUnavailable(EngineError):
    """The engine is not reachable or asks us to come back later."""

    code = "engine_unavailable"
    retryable = True


class EngineAccessRefused(EngineUnavailable):
    """The engine or its token server does not let us in; somebody must change that."""

    code = "engine_access_refused"
    retryable = False


class EngineRejected(EngineError):
    """The engine will not take this report as it is."""

    code = "engine_rejected"


class TaskGone(EngineError):
    """The task or its process instance no longer exists in the engine."""

    code = "task_gone"


class LeaseLost(EngineError):
    """Another worker holds the task now; the turn stays, its outcome is not ours to report."""

    code = "lease_lost"


class StoreError(DadmError):
    """The database did not do as asked."""

    code = "store_error"


class StoreUnavailable(StoreError):
    """The database is not reachable or did not confirm; what was asked may or may not be durable."""

    code = "store_unavailable"
    retryable = True


class StoreMisconfigured(StoreError):
    """The database cannot be used as it is (address, rights, a schema of another version)."""

    code = "store_misconfigured"


class ThreadConflict(StoreError):
    """Another worker holds this thread now, so this decision was not recorded."""

    code = "thread_conflict"
    retryable = True


class ServiceUnavailable(DadmError):
    """The assistant service is not there for now; its turns go on, and the task is passed again."""

    code = "service_unavailable"
    retryable = True

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        """Keep how long we were asked to wait, where somebody said so."""
        super().__init__(message)
        self.retry_after = retry_after


class TooManyWaiting(DadmError):
    """More tasks are waiting for their threads than this replica may hold; come back later."""

    code = "too_many_waiting"
    retryable = True


class ShuttingDown(DadmError):
    """This replica is shutting down and takes no new turns."""

    code = "shutting_down"
    retryable = True


class SettingsError(DadmError):
    """A setting is missing or wrong."""

    code = "settings_error"

"""Observer: told what happened, for logs, metrics and traces."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from dadm.domain.thread import GenerationReason, Usage
from dadm.domain.transcript import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReceived:
    """A task arrived for an assistant; `process_instance_id` is "" where it belongs to none."""

    process_instance_id: str
    task_id: str
    engine: str
    assistant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadCreated:
    """A thread got its first conversation."""

    process_instance_id: str
    thread_id: str
    assistant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadReused:
    """A turn goes on in the conversation that earlier turns began."""

    process_instance_id: str
    thread_id: str
    assistant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadRebuilt:
    """A thread's conversation was replaced by a new one that was given its memory back."""

    process_instance_id: str
    thread_id: str
    previous_thread_id: str
    assistant: str
    reason: GenerationReason
    copied_messages: int
    left_out_exchanges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWaiting:
    """A turn waits for its thread; `ahead` earlier ones are known."""

    process_instance_id: str
    task_id: str
    ahead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """A turn was submitted: its request is about to leave."""

    process_instance_id: str
    task_id: str
    thread_id: str
    assistant: str
    sequence: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShown:
    """What the model was shown for a turn, message by message, where the backend tells it.

    Holds people's text: observers write it nowhere above DEBUG.
    """

    process_instance_id: str
    task_id: str
    thread_id: str
    sequence: int
    messages: tuple[Message, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCompleted:
    """A turn has its answer. Times are seconds; `waited` is the wait for the thread."""

    process_instance_id: str
    task_id: str
    thread_id: str
    assistant: str
    sequence: int
    is_recovered: bool
    usage: Usage
    waited_seconds: float
    backend_seconds: float
    store_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReplayed:
    """A task came again and got its recorded answer; `content_differs` from what was asked."""

    process_instance_id: str
    task_id: str
    thread_id: str
    content_differs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRefused:
    """A turn ended without an answer, for good."""

    process_instance_id: str
    task_id: str
    thread_id: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnUnsettled:
    """An attempt failed and its turn stays to be taken again; `is_unknown` if it may be applied."""

    process_instance_id: str
    task_id: str
    thread_id: str
    code: str
    reason: str
    is_unknown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadsClosed:
    """A process instance ended and its threads were closed."""

    process_instance_id: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadCleared:
    """A while after its process instance ended, a thread was cleared or erased, as `policy` says.

    `conversations` counts those that were deleted. The instance is "" where the thread was erased.
    """

    process_instance_id: str
    policy: str
    conversations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeReported:
    """The engine took a task's outcome (`completed`, `failed`, `bpmn_error`, `incident`)."""

    process_instance_id: str
    task_id: str
    engine: str
    element_id: str
    outcome: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLost:
    """An outcome could not be told to the engine; the turn stays settled for whoever comes next."""

    process_instance_id: str
    task_id: str
    engine: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTrouble:
    """The engine could not be asked for something; told once when it begins and once when it ends.

    `about` says for what: its tasks; the ends of instances that it tells until they are handled
    (`ends`), or those that its history has (`history`).
    """

    engine: str
    about: Literal["tasks", "ends", "history"] = "tasks"
    reason: str
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTrouble:
    """The assistant service takes no tasks; told once when that begins and once when it ends.

    Meanwhile the tasks of `engine` are left there, and keep their retries.
    """

    engine: str
    reason: str
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendTrouble:
    """A backend failed again and again and is left alone; told when it begins and when it ends."""

    backend: str
    reason: str
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDelayed:
    """An attempt was not taken, or its outcome is unknown; it goes on after `pause_seconds`."""

    process_instance_id: str
    task_id: str
    thread_id: str
    code: str
    reason: str
    pause_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopped:
    """The model's run of a turn was stopped: its task is gone, or it took too long."""

    process_instance_id: str
    task_id: str
    thread_id: str
    response_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignItemsFound:
    """Somebody else wrote `count` messages into a thread's conversation."""

    process_instance_id: str
    thread_id: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LossesNotBelieved:
    """A backend reports so many conversations lost that none is rebuilt until a person has looked."""

    backend: str
    process_instance_id: str
    thread_id: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationDeleted:
    """A conversation that was no longer in use was deleted at its backend.

    `unreachable` names what the backend refused to delete of it.
    """

    backend: str
    thread_id: str
    deleted_items: int
    deleted_responses: int
    unreachable: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionTrouble:
    """Conversations no longer in use cannot be deleted; told when it begins and when it ends."""

    backend: str
    reason: str
    is_over: bool


Event: TypeAlias = (
    TaskReceived
    | ThreadCreated
    | ThreadReused
    | ThreadRebuilt
    | TurnWaiting
    | TurnStarted
    | ModelShown
    | TurnCompleted
    | TurnReplayed
    | TurnRefused
    | TurnUnsettled
    | ThreadsClosed
    | ThreadCleared
    | OutcomeReported
    | ReportLost
    | EngineTrouble
    | ServiceTrouble
    | BackendTrouble
    | TurnDelayed
    | RunStopped
    | ForeignItemsFound
    | LossesNotBelieved
    | ConversationDeleted
    | DeletionTrouble
)


class Observer(Protocol):
    """Told what happened, at once and in order; it never fails and never waits."""

    def notify(self, event: Event) -> None:
        """Take note of `event`."""
        ...

"""What is logged about each event: the words, how severe it is, and its stable key."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import assert_never

from dadm.domain.thread import GenerationReason
from dadm.ports.observer import (
    BackendTrouble,
    ConversationDeleted,
    DeletionTrouble,
    EngineTrouble,
    Event,
    ForeignItemsFound,
    LossesNotBelieved,
    ModelShown,
    OutcomeReported,
    ReportLost,
    RunStopped,
    ServiceTrouble,
    TaskReceived,
    ThreadCleared,
    ThreadCreated,
    ThreadRebuilt,
    ThreadReused,
    ThreadsClosed,
    TurnCompleted,
    TurnDelayed,
    TurnRefused,
    TurnReplayed,
    TurnStarted,
    TurnUnsettled,
    TurnWaiting,
)

WHY_RECREATED: Mapping[GenerationReason, str] = MappingProxyType(
    {
        GenerationReason.FIRST: "",
        GenerationReason.LOST: "",
        GenerationReason.FENCED: ", since a request to the one before may still be under way",
        GenerationReason.ENDED: ", since an exchange in the one before was never finished",
        GenerationReason.BACKEND_CHANGED: ", since another backend goes on with it",
        GenerationReason.UNPARKED: ", since the one before was parked",
        GenerationReason.SHORTENED: ", since the one before no longer fitted the model's window",
        GenerationReason.REQUESTED: ", since a person asked for it",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of the log. `action` is stable, for whoever filters; `text` is for people."""

    action: str
    text: str
    level: int = logging.INFO


def log_lines(event: Event) -> tuple[LogLine, ...]:
    """Give the lines that `event` is logged with, in order."""
    match event:
        case TaskReceived():
            return _received(event)
        case (
            ThreadCreated()
            | ThreadReused()
            | ThreadRebuilt()
            | ThreadsClosed()
            | ThreadCleared()
            | ConversationDeleted()
        ):
            return (_about_thread(event),)
        case TurnWaiting() | TurnStarted() | ModelShown() | TurnCompleted() | TurnReplayed():
            return (_about_turn(event),)
        case TurnRefused() | TurnUnsettled():
            return (_about_failure(event),)
        case OutcomeReported() | ReportLost() | EngineTrouble() | ServiceTrouble():
            return (_about_engine(event),)
        case (
            BackendTrouble()
            | TurnDelayed()
            | RunStopped()
            | ForeignItemsFound()
            | LossesNotBelieved()
            | DeletionTrouble()
        ):
            return (_about_backend(event),)
        case _:
            assert_never(event)


def _received(event: TaskReceived) -> tuple[LogLine, ...]:
    process = event.process_instance_id
    if not process:
        text = f"Processing task {event.task_id} without process_instance_id"
        return (LogLine(action="task_received", text=text),)
    return (
        LogLine(action="task_received", text=f"Processing task for process_instance_id: {process}"),
        LogLine(
            action="thread_persistence", text=f"Thread persistence enabled for process: {process}"
        ),
    )


def _about_thread(
    event: ThreadCreated
    | ThreadReused
    | ThreadRebuilt
    | ThreadsClosed
    | ThreadCleared
    | ConversationDeleted,
) -> LogLine:
    if isinstance(event, ConversationDeleted):
        return _deleted(event)
    where = f" for process {event.process_instance_id}" if event.process_instance_id else ""
    match event:
        case ThreadCreated():
            return LogLine(
                action="thread_created", text=f"Created new thread {event.thread_id}{where}"
            )
        case ThreadReused():
            return LogLine(
                action="thread_reused", text=f"Reusing existing thread {event.thread_id}{where}"
            )
        case ThreadRebuilt():
            return _rebuilt(event, where)
        case ThreadsClosed():
            return LogLine(action="threads_closed", text=f"Closed {event.count} threads{where}")
        case ThreadCleared():
            done = "Erased" if event.policy == "erase" else "Cleared"
            text = f"{done} a closed thread{where}: {event.conversations} conversations deleted"
            return LogLine(action="thread_cleared", text=text)
        case _:
            assert_never(event)


def _rebuilt(event: ThreadRebuilt, where: str) -> LogLine:
    recreated = "Recreated lost" if event.reason is GenerationReason.LOST else "Recreated"
    before = f" (was {event.previous_thread_id})" if event.previous_thread_id else ""
    left_out = (
        f", {event.left_out_exchanges} older exchanges left out" if event.left_out_exchanges else ""
    )
    return LogLine(
        action="thread_rebuilt",
        text=(
            f"{recreated} thread {event.thread_id}{where} with {event.copied_messages} messages "
            f"given back{before}{left_out}{WHY_RECREATED[event.reason]}"
        ),
    )


def _deleted(event: ConversationDeleted) -> LogLine:
    text = (
        f"Deleted conversation {event.thread_id}, which was no longer in use: "
        f"{event.deleted_items} items, {event.deleted_responses} responses"
    )
    if not event.unreachable:
        return LogLine(action="conversation_deleted", text=text)
    text += f"; the backend refused to delete {', '.join(event.unreachable)}"
    return LogLine(action="conversation_deleted", text=text, level=logging.WARNING)


def _about_turn(
    event: TurnWaiting | TurnStarted | ModelShown | TurnCompleted | TurnReplayed,
) -> LogLine:
    match event:
        case TurnWaiting():
            text = f"Task {event.task_id} waits for its thread behind {event.ahead} others"
            return LogLine(action="turn_waiting", text=text)
        case TurnStarted():
            text = f"Asking turn {event.sequence} of thread {event.thread_id}"
            return LogLine(action="turn_started", text=text)
        case ModelShown():
            shown = "\n".join(f"{each.role}: {each.text}" for each in event.messages)
            text = f"The model is shown {len(event.messages)} messages:\n{shown}"
            return LogLine(action="model_shown", text=text, level=logging.DEBUG)
        case TurnCompleted():
            text = (
                f"Turn {event.sequence} of thread {event.thread_id} has its answer "
                f"after {event.backend_seconds:.1f} s"
            )
            return LogLine(action="turn_completed", text=text)
        case TurnReplayed():
            return _replayed(event)
        case _:
            assert_never(event)


def _replayed(event: TurnReplayed) -> LogLine:
    text = f"Task {event.task_id} came again and gets its recorded answer"
    if not event.content_differs:
        return LogLine(action="turn_replayed", text=text)
    return LogLine(
        action="turn_replayed",
        text=f"{text}, although it now asks something else",
        level=logging.WARNING,
    )


def _about_failure(event: TurnRefused | TurnUnsettled) -> LogLine:
    match event:
        case TurnRefused():
            text = f"Task {event.task_id} was refused: {event.reason}"
            return LogLine(action="turn_refused", text=text, level=logging.WARNING)
        case TurnUnsettled():
            state = "may have been asked" if event.is_unknown else "was not asked"
            text = f"Task {event.task_id} {state} and stays to be taken again: {event.reason}"
            return LogLine(action="turn_unsettled", text=text, level=logging.WARNING)
        case _:
            assert_never(event)


def _about_engine(
    event: OutcomeReported | ReportLost | EngineTrouble | ServiceTrouble,
) -> LogLine:
    match event:
        case OutcomeReported():
            is_well = event.outcome == "completed"
            text = f"Told the engine that task {event.task_id} is {event.outcome}"
            return LogLine(
                action="outcome_reported",
                text=text if is_well else f"{text}: {event.message}",
                level=logging.INFO if is_well else logging.WARNING,
            )
        case ReportLost():
            text = f"Could not tell the engine about task {event.task_id}: {event.reason}"
            return LogLine(action="report_lost", text=text, level=logging.WARNING)
        case EngineTrouble():
            asked = "for tasks" if event.about == "tasks" else "which instances ended"
            if event.is_over:
                text = f"Engine {event.engine} answers again when it is asked {asked}"
                return LogLine(action="engine_back", text=text)
            text = f"Engine {event.engine} cannot be asked {asked}: {event.reason}"
            return LogLine(action="engine_trouble", text=text, level=logging.WARNING)
        case ServiceTrouble(is_over=True):
            text = f"The assistant service takes the tasks of engine {event.engine} again"
            return LogLine(action="service_back", text=text)
        case ServiceTrouble():
            text = (
                f"The assistant service takes no tasks; engine {event.engine} keeps its own "
                f"meanwhile: {event.reason}"
            )
            return LogLine(action="service_trouble", text=text, level=logging.WARNING)
        case _:
            assert_never(event)


def _about_backend(
    event: BackendTrouble
    | TurnDelayed
    | RunStopped
    | ForeignItemsFound
    | LossesNotBelieved
    | DeletionTrouble,
) -> LogLine:
    level = logging.WARNING
    match event:
        case BackendTrouble() | DeletionTrouble():
            return _trouble(event)
        case TurnDelayed():
            text = (
                f"Task {event.task_id} is asked again in {event.pause_seconds:.1f} s: "
                f"{event.reason}"
            )
            return LogLine(action="turn_delayed", text=text, level=level)
        case RunStopped():
            text = (
                f"Stopped run {event.response_id} of task {event.task_id} on thread "
                f"{event.thread_id}: {event.reason}"
            )
            return LogLine(action="run_stopped", text=text, level=level)
        case ForeignItemsFound():
            text = (
                f"Thread {event.thread_id} holds {event.count} messages that DADM did not write; "
                "they are left there and copied nowhere"
            )
            return LogLine(action="foreign_items", text=text, level=level)
        case LossesNotBelieved():
            text = (
                f"Backend {event.backend} reports thread {event.thread_id} lost after "
                f"{event.count} others; none is rebuilt until a person has looked"
            )
            return LogLine(action="losses_not_believed", text=text, level=logging.ERROR)
        case _:
            assert_never(event)


def _trouble(event: BackendTrouble | DeletionTrouble) -> LogLine:
    level = logging.WARNING
    match event:
        case BackendTrouble(is_over=True):
            text = f"Backend {event.backend} answers again"
            return LogLine(action="backend_back", text=text)
        case BackendTrouble():
            text = f"Backend {event.backend} is left alone for a while: {event.reason}"
            return LogLine(action="backend_trouble", text=text, level=level)
        case DeletionTrouble(is_over=True):
            text = f"Backend {event.backend} deletes conversations again"
            return LogLine(action="deletion_back", text=text)
        case DeletionTrouble():
            text = (
                f"Backend {event.backend} does not delete conversations that are no longer in "
                f"use; they wait: {event.reason}"
            )
            return LogLine(action="deletion_trouble", text=text, level=level)
        case _:
            assert_never(event)

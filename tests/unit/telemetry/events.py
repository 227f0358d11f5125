"""One sample of each event."""

from dadm.domain.thread import GenerationReason, Usage
from dadm.domain.transcript import Message, Role
from dadm.ports.observer import (
    EngineTrouble,
    Event,
    ModelShown,
    OutcomeReported,
    ReportLost,
    TaskReceived,
    ThreadCreated,
    ThreadRebuilt,
    ThreadReused,
    ThreadsClosed,
    TurnCompleted,
    TurnRefused,
    TurnReplayed,
    TurnStarted,
    TurnUnsettled,
    TurnWaiting,
)

PROCESS = "process-4711"
TASK = "task-4711"
THREAD = "thread-4711"

ONE_OF_EACH: tuple[Event, ...] = (
    TaskReceived(process_instance_id=PROCESS, task_id=TASK, engine="http", assistant="a"),
    ThreadCreated(process_instance_id=PROCESS, thread_id=THREAD, assistant="a"),
    ThreadReused(process_instance_id=PROCESS, thread_id=THREAD, assistant="a"),
    ThreadRebuilt(
        process_instance_id=PROCESS,
        thread_id=THREAD,
        previous_thread_id="thread-4710",
        assistant="a",
        reason=GenerationReason.LOST,
        copied_messages=6,
        left_out_exchanges=1,
    ),
    TurnWaiting(process_instance_id=PROCESS, task_id=TASK, ahead=2),
    TurnStarted(
        process_instance_id=PROCESS,
        task_id=TASK,
        thread_id=THREAD,
        assistant="a",
        sequence=1,
        attempt=1,
    ),
    ModelShown(
        process_instance_id=PROCESS,
        task_id=TASK,
        thread_id=THREAD,
        sequence=1,
        messages=(Message(role=Role.USER, text="Hello."),),
        left_out=0,
    ),
    TurnCompleted(
        process_instance_id=PROCESS,
        task_id=TASK,
        thread_id=THREAD,
        assistant="a",
        sequence=1,
        is_recovered=False,
        usage=Usage(input_tokens=30, output_tokens=4, cached_tokens=2),
        waited_seconds=0.5,
        backend_seconds=1.5,
        store_seconds=0.01,
    ),
    TurnReplayed(process_instance_id=PROCESS, task_id=TASK, thread_id=THREAD, content_differs=True),
    TurnRefused(
        process_instance_id=PROCESS,
        task_id=TASK,
        thread_id=THREAD,
        code="backend_refused",
        reason="No.",
    ),
    TurnUnsettled(
        process_instance_id=PROCESS,
        task_id=TASK,
        thread_id=THREAD,
        code="outcome_unknown",
        reason="The stream broke.",
        is_unknown=True,
    ),
    ThreadsClosed(process_instance_id=PROCESS, count=2),
    OutcomeReported(
        process_instance_id=PROCESS,
        task_id=TASK,
        element_id="element-4711",
        outcome="completed",
        message="",
    ),
    ReportLost(process_instance_id=PROCESS, task_id=TASK, code="lease_lost", reason="Too late."),
    EngineTrouble(engine="embedded", reason="It is gone.", is_over=False),
)

"""Request refusals: why a delivery has no turn, told with names and with what a person can do."""

from dadm.domain.errors import (
    RequestError,
    TaskContentChanged,
    TaskIdentityConflict,
    ThreadClosed,
    ThreadErased,
)
from dadm.domain.task import DEFAULT_ENGINE, ServiceTask
from dadm.domain.thread import ThreadKey
from dadm.domain.turn import Turn
from dadm.ports.store_values import Standing


def explained(error: RequestError, task: ServiceTask, standing: Standing) -> RequestError:
    """Give the error again, in words about this task and what the store knows of it.

    Stores say by kinds alone why they refuse a delivery. An error of any other kind, or about
    what is not there any more, stays as it is.
    """
    match error:
        case TaskIdentityConflict() if standing.turn is not None:
            return TaskIdentityConflict(_other_work(task, standing.turn))
        case TaskContentChanged():
            return TaskContentChanged(
                f"Task {task.task_id} was already used with other content. Send new work under a "
                "new task_id; send what was sent before, unchanged, to have its answer."
            )
        case ThreadClosed() | ThreadErased() if standing.thread is not None:
            return explained_thread(error, standing.thread.key, standing.thread.thread_id or "")
        case _:
            return error


def explained_thread(error: RequestError, key: ThreadKey, thread_id: str = "") -> RequestError:
    """Give an error about a thread again, in words about that thread."""
    named = f" {thread_id}" if thread_id else ""
    thread = f"Thread{named} of {key.scope} with assistant {key.assistant}"
    read = f" `dadm threads show {thread_id}` shows what it holds." if thread_id else ""
    again = f"`dadm threads erase {thread_id}`" if thread_id else "`dadm threads erase`"
    match error:
        case ThreadClosed():
            return ThreadClosed(
                f"{thread} is closed, because its process instance has ended; it takes no new "
                "turns, and tells recorded answers as before. New work belongs to an instance "
                f"that runs.{read}"
            )
        case ThreadErased():
            return ThreadErased(
                f"{thread} is being erased and takes no turns. Once that has ended, the next task "
                f"begins a new thread; {again} goes on with an erasure that was interrupted."
            )
        case _:
            return error


def _other_work(task: ServiceTask, turn: Turn) -> str:
    recorded = _named(turn.element_id, turn.process_definition)
    given = _named(task.element_id, task.process_definition)
    remedy = (
        "Send other work under a task_id of its own."
        if task.engine == DEFAULT_ENGINE
        else "If the engine was emptied and numbers its tasks anew, or two engines share this id, "
        "give this one an id of its own (DADM_ENGINE__ID)."
    )
    return (
        f"Task {task.task_id} of engine {task.engine} is recorded for {recorded} and now comes for "
        f"{given}: that is other work, and the recorded answer is not given for it. {remedy}"
    )


def _named(element_id: str, process_definition: str) -> str:
    of_process = f" of process {process_definition}" if process_definition else ""
    return f"element {element_id or '(none)'}{of_process}"

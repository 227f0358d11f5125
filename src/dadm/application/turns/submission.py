"""What a delivery of a task would submit on its thread as the thread stands now."""

from dataclasses import dataclass

from dadm.application.turns.withdrawal import Withdrawal
from dadm.domain.assistant import AssistantCatalogue
from dadm.domain.errors import ThreadConflict
from dadm.domain.prompt import render_prompt
from dadm.domain.shown_variables import marked, still_shown
from dadm.domain.task import ServiceTask
from dadm.domain.thread import Thread, ThreadKey
from dadm.domain.turn import TurnRef
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import Lease, Submission, Submitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One arrival of a task: for which thread, and when by this replica's monotonic time.

    `withdrawal` tells of the task's disappearance from its engine.
    """

    task: ServiceTask
    thread: ThreadKey
    arrived_at: float
    withdrawal: Withdrawal


def prepare_submission(
    task: ServiceTask, thread: Thread, assistants: AssistantCatalogue
) -> Submission:
    """Render the prompt for `thread` and say what it was rendered from.

    The assistant is the thread's own, whatever the task's default would be today.

    Raises:
        InvalidTask: The prompt cannot be rendered.
        UnknownAssistant: The thread's assistant is no longer defined.
    """
    assistant = assistants.resolve(thread.key.assistant)
    prompt = render_prompt(task, shown=still_shown(thread))
    generation = thread.live.number if thread.live else 0
    return Submission(
        prompt=prompt.text,
        assistant_version=assistant.version,
        answer_schema=task.answer_schema or assistant.answer_schema,
        after_sequence=thread.turn_count,
        generation=generation,
        shown=marked(prompt.shown, sequence=thread.turn_count + 1, generation=generation),
    )


async def submit(
    store: ThreadStore, lease: Lease, turn: TurnRef, submission: Submission
) -> Submitted:
    """Submit a turn in the conversation that `submission` was prepared for; then it may be asked.

    Raises:
        ThreadConflict: The lease does not stand any more, the thread has moved on, or a claim of
            this replica that was thought lost came late and submitted the turn in a conversation
            that was replaced since. Asked now, its answer would be looked for there after a
            crash, not found, and asked for again; nothing was sent, so the next one decides.
    """
    submitted = await store.submit(lease, turn, submission)
    if submitted.attempt.generation != submission.generation:
        msg = "The turn was submitted in a conversation that is no longer in use; the task comes again."
        raise ThreadConflict(msg)
    return submitted

"""Invariants: what must hold after every run, each check saying what it tolerates and why.

The checks know nothing of the implementation: they read the store by its reading methods, the
backend's own ledger, and the engine's record of tasks and reports.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from dadm.domain.task import Completed, Failed
from dadm.domain.thread import Generation, GenerationReason
from dadm.domain.transcript import Exchange, Message
from dadm.domain.turn import Turn, TurnState
from tests.simulation.erasure import i8_nothing_is_left_but_the_receipt
from tests.simulation.ledger import ModelCall, marker
from tests.simulation.replica import GRACE_SECONDS
from tests.simulation.seen import Seen, is_foreign
from tests.simulation.witness import ThreadSeen


def violations(seen: Seen) -> list[str]:
    """Give what does not hold, each with the invariant's name first."""
    return [f"{check.__name__} {said}" for check in CHECKS for said in check(seen)]


def i1_one_question_and_answer(seen: Seen) -> Iterator[str]:
    """I1: a turn key has at most one question and one answer in the transcript."""
    for thread in seen.threads:
        keys = Counter(turn.key for turn in thread.turns)
        yield from (f"{key.task_id} is there {n} times" for key, n in keys.items() if n > 1)
        answers = Counter(exchange.answer for exchange in thread.exchanges)
        yield from (f"{answer!r} answers {n} turns" for answer, n in answers.items() if n > 1)
        for turn in thread.turns:
            call = call_of(seen, turn)
            if turn.state is TurnState.COMPLETED and (
                call is None or call.task != turn.key.task_id
            ):
                yield f"{turn.key.task_id} has the answer of another: {turn.answer!r}"


def i2_live_conversation_is_the_transcript(seen: Seen) -> Iterator[str]:
    """I2: the live conversation holds what its generation was opened with, then its own turns.

    Left alone: conversations that were deleted, or lost an item, behind our back. What somebody
    else wrote is passed over. A turn whose instance ended while it was open may have left its
    exchange at the end; nobody will come for it.
    """
    for thread in seen.threads:
        live = thread.thread.live
        if live is None or live.conversation_id in seen.ledger.removed:
            continue
        conversation = seen.conversations.get(live.conversation_id)
        if conversation is None:
            continue
        actual = [each for each in conversation.messages() if not is_foreign(each)]
        expected = seen.messages_of(expected_in(seen, thread, live))
        left_open = [turn.prompt for turn in thread.turns if turn.state.is_open]
        rest = actual[len(expected) :]
        if actual[: len(expected)] != expected or (rest and rest[0].text not in left_open):
            yield f"{live.conversation_id} holds {texts(actual)} instead of {texts(expected)}"


def i2_answers_knew_what_came_before(seen: Seen) -> Iterator[str]:
    """I2: a recorded answer came from a model that was shown all that the thread had before.

    Left out may be what did not fit the bound on copies, or the model's window. What somebody
    else wrote is passed over, and so are conversations that somebody took an item from.
    """
    for thread in seen.threads:
        for turn in thread.turns:
            call = call_of(seen, turn)
            if call is None or call.conversation_id in seen.ledger.removed:
                continue
            shown = [each for each in call.shown if not is_foreign(each)]
            before = [each for each in thread.exchanges if each.sequence < turn.sequence]
            used = generation_of(thread, call.conversation_id)
            if seen.weather.keeps_conversations and used is not None:
                held = expected_in(seen, thread, used)
                is_whole = (
                    seen.weather.copied_characters > 1000
                    and used.reason is not GenerationReason.SHORTENED
                )
                if is_whole and len(held) < len(before):
                    yield f"{turn.key.task_id} was asked where only {len(held)} turns were copied"
                before = [each for each in held if each.sequence < turn.sequence]
            if shown != seen.messages_of(before):
                yield f"{turn.key.task_id} was shown {texts(shown)}"


def i3_answers_never_change(seen: Seen) -> Iterator[str]:
    """I3: a completed answer never changes, neither in the store nor for the engine.

    A task has another answer only on another thread: one that a replica, paused over an erasure
    with the task in hand, began anew under the key that the erasure freed.
    """
    yield from seen.witness.changed_answers
    erased = sum(thread.receipt is not None for thread in seen.threads)
    for thread in seen.threads:
        for turn in thread.turns:
            recorded = seen.witness.first_answers.get((thread.thread.ref, turn.key.task_id))
            if recorded is not None and turn.answer != recorded:
                yield f"{turn.key.task_id} was answered {recorded!r} and is {turn.answer!r}"
    for task, answers in seen.witness.answers.items():
        if len(answers) > 1 + erased:
            yield f"{task} has {len(answers)} answers, {erased} threads were erased"
    for report in seen.reports:
        if isinstance(report.outcome, Completed):
            told = report.outcome.variables["recommendation"]
            if told not in seen.witness.answers.get(report.task_id, ()):
                yield f"{report.task_id}: the engine was told {told!r}"


def i4_threads_never_mix(seen: Seen) -> Iterator[str]:
    """I4: no message of one thread is sent to, or found in, a conversation of another."""
    for call in seen.ledger.calls:
        if seen.ledger.opened[call.conversation_id] != (call.scope, call.assistant):
            yield f"{call.task} was asked in {call.conversation_id} of another thread"
        words = marker(call.scope, call.assistant)
        yield from (
            f"{call.task} was shown {message.text!r}"
            for message in call.shown
            if words not in message.text and not is_foreign(message)
        )
    for append in seen.ledger.appends:
        words = marker(*seen.ledger.opened[append.conversation_id])
        for message in append.messages:
            is_ours = not is_foreign(message) and message.text != "This is half an"
            if is_ours and words not in message.text:
                yield f"{append.conversation_id} was given {message.text!r}"


def i5_model_calls_are_accounted_for(seen: Seen) -> Iterator[str]:
    """I5: one model call for each turn, one more at most for each fault or release by a person.

    Tolerated: a call for each fault that struck the turn, its thread, its conversations, or a
    whole replica or store at any time; an engine's faults excuse none. And one more for a task
    that was withdrawn, at a backend that keeps nothing: who waited for its run has left, and
    another who has the task too has yet to hear of it.
    """
    for thread in seen.threads:
        for turn in thread.turns:
            task = turn.key.task_id
            calls = sum(call.task == task for call in seen.ledger.calls)
            is_gone = task in seen.processes.withdrawn and not seen.weather.keeps_conversations
            allowed = 1 + seen.processes.releases[task] + is_gone
            if calls > allowed and calls > allowed + len(seen.faults_about(thread, task)):
                yield f"{task} was asked {calls} times, {allowed} would do"


def i5_no_second_answer_in_a_live_conversation(seen: Seen) -> Iterator[str]:
    """I5: no second answer of a turn is ever appended to a live conversation.

    Tolerated: an answer that comes late to a conversation that is out of use by then.
    """
    answered: set[tuple[str, str]] = set()
    for append in seen.ledger.appends:
        if not append.is_answer:
            continue
        place = (append.conversation_id, append.task)
        if append.was_live and append.had_answer:
            yield f"{append.task} was answered again in {append.conversation_id}: {append.run}"
        if append.was_live and place in answered:
            yield f"{append.task} has two answers in {append.conversation_id}: {append.run}"
        answered.add(place)


def i6_turns_are_in_arrival_order(seen: Seen) -> Iterator[str]:
    """I6: turns of a thread are taken in the order in which their tasks arrived.

    Tolerated: a turn that was passed by a later one after a fault had struck its thread, or a
    whole replica or store: its delivery may have gone back to the engine, since a delivery also
    ends what an earlier one left open, and with that its place in the line. A turn that a person
    released stands at the end of the line again.
    """
    for thread in seen.threads:
        answered = [turn for turn in thread.turns if turn.state is TurnState.COMPLETED]
        tasks = {turn.key.task_id for turn in thread.turns}
        for earlier, later in _crossed(answered):
            task = earlier.key.task_id
            passed_at = seen.witness.submitted_at[later.key.task_id][-1]
            struck = [f for f in seen.faults_about(thread, *tasks) if f.at <= passed_at]
            if not struck and not seen.processes.releases[task]:
                yield f"{task} arrived first, {later.key.task_id} was asked first"


def i7_every_task_has_its_outcome(seen: Seen) -> Iterator[str]:
    """I7: every task the engine still has ends in an outcome, or in an incident that says why.

    After the storm a person has had each incident tried again, and nothing goes wrong any more: so
    none may be left.
    """
    unfinished = seen.processes.unfinished()
    for task in unfinished:
        report = seen.processes.last_reports.get(task)
        why = report.outcome.message if report and isinstance(report.outcome, Failed) else "nothing"
        yield f"{task} is not done; the engine was told: {why}"
    if not (seen.is_quiet or unfinished):
        yield "something goes on for ever"
    for report in seen.reports:
        if isinstance(report.outcome, Failed):
            if not report.outcome.message:
                yield f"{report.task_id} failed without a reason"
            if "unexpected" in report.outcome.message:
                yield f"{report.task_id}: {report.outcome.message}"
    done = Counter(r.task_id for r in seen.reports if isinstance(r.outcome, Completed))
    yield from (f"{task} was completed {n} times" for task, n in done.items() if n > 1)


def only_what_is_lost_is_healed(seen: Seen) -> Iterator[str]:
    """Rule 8: a conversation is given up as lost only if its backend really lost it.

    What a replica fills that was paused beyond its lease never goes live: it may have looked for a
    conversation that the thread has left since, and that was deleted.
    """
    for thread in seen.threads:
        for generation in thread.generations:
            went_live = generation.conversation_id in seen.witness.went_live
            is_given_up = went_live and generation.reason is GenerationReason.LOST
            if is_given_up and not any(
                before.conversation_id in seen.ledger.lost
                for before in thread.generations
                if before.number < generation.number
            ):
                yield f"{generation.conversation_id} took the place of one that was there"


def ended_scopes_are_closed(seen: Seen) -> Iterator[str]:
    """Rule 12: the threads of an instance that has ended are closed.

    Tolerated: a thread of which a task was first claimed long after the end, by a replica that
    had leased it before and was paused over the time in which ends are looked after; a thread that
    a visitor's request first leased so late; and a thread that such a replica began anew under the
    key of one that was erased meanwhile.
    """
    over = {each.id: each.ended_at for each in seen.processes.instances if each.is_over}
    for thread in seen.threads:
        scope = thread.thread.key.scope
        if scope in over and thread.thread.state.takes_turns:
            arrived = [
                at
                for task, at in seen.witness.arrived_at.items()
                if seen.processes.instances_by_task[task].id == scope
                and seen.processes.assistants[task] == thread.thread.key.assistant
            ]
            if thread.thread.ref in seen.witness.leased_at:
                arrived.append(seen.witness.leased_at[thread.thread.ref])
            is_anew = any(
                other.thread.key == thread.thread.key and other.receipt for other in seen.threads
            )
            if not is_anew and max(arrived, default=0.0) < over[scope] + GRACE_SECONDS:
                yield f"the thread of {scope} is {thread.thread.state.value}"


CHECKS: tuple[Callable[[Seen], Iterator[str]], ...] = (
    i1_one_question_and_answer,
    i2_live_conversation_is_the_transcript,
    i2_answers_knew_what_came_before,
    i3_answers_never_change,
    i4_threads_never_mix,
    i5_model_calls_are_accounted_for,
    i5_no_second_answer_in_a_live_conversation,
    i6_turns_are_in_arrival_order,
    i7_every_task_has_its_outcome,
    i8_nothing_is_left_but_the_receipt,
    only_what_is_lost_is_healed,
    ended_scopes_are_closed,
)


def call_of(seen: Seen, turn: Turn) -> ModelCall | None:
    """Find the model call that a recorded answer came from; answers are never alike."""
    if turn.answer is None:
        return None
    run = turn.answer.rpartition(" ")[2].rstrip(".")
    return next((call for call in seen.ledger.calls if call.run == run), None)


def generation_of(thread: ThreadSeen, conversation_id: str) -> Generation | None:
    """Find a thread's generation by its conversation."""
    found = (g for g in thread.generations if g.conversation_id == conversation_id)
    return next(found, None)


def expected_in(seen: Seen, thread: ThreadSeen, generation: Generation) -> list[Exchange]:
    """Give the exchanges that a conversation should hold: its copies, then its own turns."""
    own = {turn.sequence for turn in thread.turns if turn.generation == generation.number}
    return [
        *seen.copies_in(thread, generation),
        *(each for each in thread.exchanges if each.sequence in own),
    ]


def texts(messages: list[Message]) -> list[str]:
    """Give the texts of messages."""
    return [message.text for message in messages]


def _crossed(turns: list[Turn]) -> Iterator[tuple[Turn, Turn]]:
    """Give the pairs where the first arrived earlier and was asked later."""
    for later in turns:
        for earlier in turns:
            if earlier.ref < later.ref and earlier.sequence > later.sequence:
                yield earlier, later

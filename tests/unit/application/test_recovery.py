"""Open turns that somebody left behind: brought to their end by looking, never by guessing."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.domain.errors import (
    BackendRefused,
    BackendUnavailable,
    ConversationBusy,
    InvalidTask,
    OutcomeUnknown,
    StoreUnavailable,
)
from dadm.domain.thread import ConversationId, GenerationReason, GenerationState, Usage
from dadm.domain.transcript import Message, Role
from dadm.domain.turn import TurnState
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.audit import AuditAction
from dadm.ports.backend import (
    Answered,
    CutShort,
    Finding,
    FoundNothing,
    ResponseStarted,
    RunFailed,
    RunGone,
    Running,
    RunState,
)
from dadm.ports.observer import (
    ForeignItemsFound,
    RunStopped,
    ThreadRebuilt,
    TurnCompleted,
    TurnRefused,
)
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, NamelessRuns, Replica, Stage, settled

LEASE_SECONDS = LIMITS.lease_seconds
PATIENT = replace(LIMITS, patience_seconds=60.0)


def seconds() -> float:
    return asyncio.get_running_loop().time()


async def crash_while_asking(stage: Stage, task: str = "t1") -> Replica:
    """Have a replica submit a task's turn, and die before it hears anything."""
    replica = await stage.replica()
    hold = stage.backend.hold_turn()
    stage.let_run(replica.ask(task))
    await hold.asked.wait()
    await asyncio.sleep(1)
    await replica.crash()
    return replica


class Runs(ScriptedBackend):
    """Tells of its runs what a test says, one after the other; the last again and again."""

    def __init__(self, *states: RunState) -> None:
        super().__init__(keeps_conversations=True)
        self.states = list(states)

    async def retrieve(self, conversation_id: ConversationId, response_id: str) -> RunState:
        await super().retrieve(conversation_id, response_id)
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


# The response id is known


async def test_run_that_has_ended_is_retrieved_and_settled(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    keeping.let_run(replica.ask("t1"))
    await hold.asked.wait()
    await asyncio.sleep(1)
    await replica.crash()
    hold.let_go()
    second = await keeping.replica()

    answer = await second.ask("t1")

    assert (answer.recommendation, answer.is_recovered, answer.is_replayed) == ("ok", True, False)
    assert len(keeping.asked) == 1
    assert len(await keeping.kept(answer.thread_id)) == 2
    assert [event.is_recovered for event in second.told(TurnCompleted)] == [True]
    assert (await second.ask("t2")).thread_id == answer.thread_id


async def test_lost_stream_of_a_named_run_is_retrieved_at_once(keeping: Stage) -> None:
    replica = await keeping.replica()
    keeping.backend.fail_turn(OutcomeUnknown("The stream broke."), is_applied=True)

    answer = await replica.ask("t1")

    assert answer.is_recovered
    assert len(keeping.asked) == 1
    assert keeping.called("retrieve") == 1
    assert keeping.called("look") == 0


async def test_run_under_way_is_waited_for(keeping: Stage) -> None:
    await crash_while_asking(keeping)
    second = await keeping.replica()
    asking = keeping.begin(second.ask("t1"))
    await asyncio.sleep(LEASE_SECONDS + 20)
    assert not asking.done()
    assert 3 <= keeping.called("retrieve") <= 6

    end_run(keeping, "resp_1")

    assert (await asking).is_recovered
    assert len(keeping.asked) == 1


def end_run(stage: Stage, response_id: str) -> None:
    """Have a run end with its answer."""
    kept = stage.backend._conversations
    run = kept.run(response_id)
    assert run is not None
    kept.end(run, Answered(text="late", usage=Usage()))


async def test_run_that_never_ends_is_stopped_after_the_longest_turn_and_asked_again(
    keeping: Stage,
) -> None:
    await crash_while_asking(keeping)
    second = await keeping.replica()
    begun_at = seconds()

    answer = await second.ask("t1")

    assert seconds() - begun_at < LEASE_SECONDS + LIMITS.turn_seconds + 35
    assert [event.response_id for event in second.told(RunStopped)] == ["resp_1"]
    # It was stopped for certain, so that its conversation can go on.
    assert (answer.recommendation, answer.change) == ("ok", ThreadChange.REUSED)
    assert len(await keeping.kept(answer.thread_id)) == 2


class Unstoppable(ScriptedBackend):
    """Has runs that go on whatever they are told."""

    async def cancel(self, response_id: str) -> None:
        self._note("cancel", text=response_id)


async def test_run_that_cannot_be_stopped_is_fenced_off(keeping: Stage) -> None:
    keeping.use(Unstoppable(keeps_conversations=True))
    await crash_while_asking(keeping)
    second = await keeping.replica()

    answer = await second.ask("t1")

    assert (answer.change, answer.generation) == (ThreadChange.REBUILT, 2)
    end_run(keeping, "resp_1")
    assert await keeping.kept(answer.thread_id) == await keeping.kept(
        keeping.backend.conversation_ids[1]
    )
    assert len(await keeping.kept(answer.thread_id)) == 2


async def test_backend_that_does_not_answer_a_look_is_left_after_two_turns_time(
    keeping: Stage,
) -> None:
    backend = Silent(keeps_conversations=True)
    keeping.use(backend)
    replica = await keeping.replica()
    backend.fail_turn(OutcomeUnknown())
    begun_at = seconds()

    with pytest.raises(OutcomeUnknown):
        await replica.ask("t1")

    assert seconds() - begun_at == pytest.approx(2 * LIMITS.turn_seconds, abs=1)
    assert (await keeping.turn()).state is TurnState.UNKNOWN


class Silent(ScriptedBackend):
    """Never answers when it is looked at."""

    async def look(
        self, conversation_id: ConversationId, *, after_item: str, prompt: str
    ) -> Finding:
        await asyncio.Event().wait()
        return await super().look(conversation_id, after_item=after_item, prompt=prompt)


async def test_run_that_was_cut_short_is_refused_and_its_conversation_left(keeping: Stage) -> None:
    cut = CutShort(reason="max_output_tokens", partial_text="Half", usage=Usage(output_tokens=3))
    keeping.use(Runs(Running(), cut))
    replica = await keeping.replica()
    keeping.backend.fail_turn(OutcomeUnknown(), is_applied=True)

    with pytest.raises(BackendRefused, match="max_output_tokens"):
        await replica.ask("t1")

    assert await keeping.states() == [GenerationState.RETIRED]
    assert (await keeping.turn()).usage == Usage(output_tokens=3)
    assert [event.code for event in replica.told(TurnRefused)] == ["answer_cut_short"]
    assert (await replica.ask("t2")).change is ThreadChange.REBUILT


async def test_run_that_failed_for_now_is_asked_again_on_the_same_conversation(
    keeping: Stage,
) -> None:
    failed = RunFailed(reason="Server error.", is_temporary=True)
    backend = keeping.use(ScriptedBackend([failed, "ok"], keeps_conversations=True))
    replica = await keeping.replica(limits=PATIENT)

    answer = await replica.ask("t1")

    assert (answer.recommendation, answer.generation) == ("ok", 1)
    assert len(backend.questions) == 2
    assert len(await keeping.kept(answer.thread_id)) == 2


async def test_runs_that_fail_for_now_are_asked_again_as_long_as_there_is_patience(
    keeping: Stage,
) -> None:
    limited = RunFailed(reason="rate_limit_exceeded: Slow down.", is_temporary=True)
    backend = keeping.use(ScriptedBackend(lambda _: limited, keeps_conversations=True))
    replica = await keeping.replica(limits=replace(PATIENT, failures_in_a_row=100))
    begun_at = asyncio.get_running_loop().time()

    with pytest.raises(BackendUnavailable, match="Slow down"):
        await replica.ask("t1")

    assert asyncio.get_running_loop().time() - begun_at > 30
    assert len(backend.questions) > 5
    turn = await keeping.turn()
    assert (turn.state, turn.attempts) == (TurnState.PLANNED, len(backend.questions))


async def test_run_that_failed_for_good_is_refused(keeping: Stage) -> None:
    failed = RunFailed(reason="The prompt is against policy.", is_temporary=False)
    backend = keeping.use(ScriptedBackend([failed, "ok"], keeps_conversations=True))
    replica = await keeping.replica()

    with pytest.raises(BackendRefused, match="against policy"):
        await replica.ask("t1")

    assert len(backend.questions) == 1
    assert (await keeping.turn()).state is TurnState.REFUSED
    assert (await replica.ask("t2")).generation == 1


async def test_run_that_failed_for_good_and_left_its_question_behind_is_refused_all_the_same(
    keeping: Stage,
) -> None:
    failed = RunFailed(reason="The prompt is against policy.", is_temporary=False)
    backend = keeping.use(LeavingQuestions([failed, "ok"], keeps_conversations=True))
    replica = await keeping.replica()

    with pytest.raises(BackendRefused, match="against policy"):
        await replica.ask("t1")

    assert len(backend.questions) == 1
    second = await replica.ask("t2")
    assert second.generation == 2
    assert len(await keeping.kept(second.thread_id)) == 2


class LeavingQuestions(ScriptedBackend):
    """Leaves the question of a run that failed in the conversation, without an answer."""

    async def retrieve(self, conversation_id: ConversationId, response_id: str) -> RunState:
        state = await super().retrieve(conversation_id, response_id)
        run = self._conversations.run(response_id)
        if isinstance(state, RunFailed) and run is not None:
            await self.append(conversation_id, [Message(role=Role.USER, text=run.prompt)])
        return state


async def test_run_that_failed_although_its_answer_is_there_is_settled(keeping: Stage) -> None:
    keeping.use(Runs(RunFailed(reason="Half an error.", is_temporary=False)))
    replica = await keeping.replica()
    keeping.backend.fail_turn(OutcomeUnknown(), is_applied=True)

    assert (await replica.ask("t1")).recommendation == "ok"


async def test_run_that_was_cancelled_is_over_and_its_conversation_goes_on(
    keeping: Stage,
) -> None:
    await crash_while_asking(keeping)
    await keeping.backend.cancel("resp_1")
    second = await keeping.replica()

    answer = await second.ask("t1")

    assert (answer.change, answer.generation) == (ThreadChange.REUSED, 1)
    assert len(await keeping.kept(answer.thread_id)) == 2
    assert len(keeping.asked) == 2


class Forgetting(ScriptedBackend):
    """Forgets its runs, as after thirty days."""

    async def retrieve(self, conversation_id: ConversationId, response_id: str) -> RunState:
        await super().retrieve(conversation_id, response_id)
        return RunGone()


async def test_run_that_is_gone_is_looked_for_and_fenced_where_nothing_is_found(
    keeping: Stage,
) -> None:
    keeping.use(Forgetting(keeps_conversations=True))
    await crash_while_asking(keeping)
    second = await keeping.replica()

    answer = await second.ask("t1")

    assert (answer.change, answer.generation) == (ThreadChange.REBUILT, 2)
    assert second.told(ThreadRebuilt)[0].reason is GenerationReason.FENCED
    assert len(keeping.asked) == 2


async def test_run_that_is_gone_is_settled_where_its_answer_is_found(keeping: Stage) -> None:
    keeping.use(Runs(RunGone()))
    replica = await keeping.replica()
    keeping.backend.fail_turn(OutcomeUnknown(), is_applied=True)

    answer = await replica.ask("t1")

    assert (answer.recommendation, answer.is_recovered) == ("ok", True)


# No response id is known


async def test_answer_that_is_found_is_settled(keeping: Stage) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica()
    keeping.backend.fail_turn(OutcomeUnknown(), is_applied=True)

    answer = await replica.ask("t1")

    assert (answer.recommendation, answer.is_recovered) == ("ok", True)
    assert (keeping.called("retrieve"), keeping.called("look")) == (0, 1)
    # The last item is known from looking, so that the next turn is not mistaken for this one.
    keeping.backend.fail_turn(OutcomeUnknown(), is_applied=True)
    await replica.ask("t2", documentation="What about t1?")
    assert len(await keeping.kept(answer.thread_id)) == 4


async def test_question_without_answer_ends_its_conversation(keeping: Stage) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica()
    first = await replica.ask("t1")
    keeping.backend.fail_turn(OutcomeUnknown())
    await keeping.backend.append(
        keeping.backend.conversation_ids[0], [Message(role=Role.USER, text="What about t2?")]
    )

    second = await replica.ask("t2")

    assert second.previous_thread_id == first.thread_id
    assert replica.told(ThreadRebuilt)[0].reason is GenerationReason.ENDED
    assert [each.text for each in await keeping.kept(second.thread_id)].count("What about t2?") == 1


async def test_nothing_found_fences_so_that_a_late_arrival_lands_where_nobody_reads(
    keeping: Stage,
) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica()
    first = await replica.ask("t1")
    keeping.backend.fail_turn(OutcomeUnknown("No reply."))

    second = await replica.ask("t2")

    assert second.previous_thread_id == first.thread_id
    assert replica.told(ThreadRebuilt)[0].reason is GenerationReason.FENCED
    assert await keeping.states() == [GenerationState.RETIRED, GenerationState.LIVE]
    assert len(await keeping.kept(second.thread_id)) == 4
    assert second.copied_messages == 2


async def test_conversation_found_lost_while_looking_is_healed(keeping: Stage) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.fail_turn(OutcomeUnknown())
    keeping.backend.lose(keeping.backend.conversation_ids[0])

    second = await replica.ask("t2")

    assert replica.told(ThreadRebuilt)[0].reason is GenerationReason.LOST
    assert second.copied_messages == 2


async def test_look_that_fails_leaves_the_turn_unknown_for_the_next_delivery(
    keeping: Stage,
) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica()
    keeping.backend.fail_turn(OutcomeUnknown("No reply."), is_applied=True)
    keeping.backend.fail("look", BackendUnavailable("Still away."))

    with pytest.raises(OutcomeUnknown, match="No reply"):
        await replica.ask("t1")

    turn = await keeping.turn()
    (attempt,) = await keeping.store.attempts(turn.ref)
    assert (turn.state, attempt.error_code) == (TurnState.UNKNOWN, "backend_unavailable")
    keeping.backend.fail("look", BackendUnavailable("Still away."))
    with pytest.raises(BackendUnavailable, match="Still away"):
        await replica.ask("t1")
    assert (await keeping.turn()).state is TurnState.UNKNOWN
    answer = await replica.ask("t1")
    assert (answer.is_recovered, answer.recommendation) == (True, "ok")
    assert len(keeping.asked) == 1


async def test_stream_that_ends_without_saying_how_is_no_answer(keeping: Stage) -> None:
    backend = keeping.use(EndingEarly(keeps_conversations=True))
    replica = await keeping.replica()

    answer = await replica.ask("t1")

    # Looked for and found.
    assert (answer.is_recovered, len(backend.questions)) == (True, 1)


class EndingEarly(NamelessRuns):
    """Ends every stream before the answer."""

    hidden = (ResponseStarted, Answered)


# Busy conversations


async def test_busy_conversation_is_waited_for_and_looked_at_until_our_answer_is_there(
    keeping: Stage,
) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica(limits=PATIENT)
    first = await replica.ask("t1")
    conversation = keeping.backend.conversation_ids[0]
    # An earlier try of this very turn is still running there.
    run = keeping.backend._conversations.start(conversation, "What about t2?")
    asking = keeping.begin(replica.ask("t2"))
    await asyncio.sleep(10)
    assert not asking.done()
    keeping.backend._conversations.end(run, Answered(text="late", usage=Usage()))

    second = await asking

    assert (second.recommendation, second.thread_id) == ("late", first.thread_id)
    assert second.is_recovered


async def test_conversation_that_stays_busy_for_all_our_patience_is_fenced(
    keeping: Stage,
) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica(limits=PATIENT)
    await replica.ask("t1")
    keeping.backend._conversations.start(keeping.backend.conversation_ids[0], "Somebody else's")
    begun_at = seconds()

    second = await replica.ask("t2")

    assert PATIENT.patience_seconds < seconds() - begun_at < PATIENT.patience_seconds + 35
    assert replica.told(ThreadRebuilt)[0].reason is GenerationReason.FENCED
    assert second.recommendation == "ok"


# A backend that keeps nothing


@pytest.mark.parametrize("error", [OutcomeUnknown("Broken."), ConversationBusy("Busy.")])
async def test_backend_that_keeps_nothing_has_the_turn_planned_again(
    forgetful: Stage, error: OutcomeUnknown
) -> None:
    replica = await forgetful.replica()
    forgetful.backend.fail_turn(error, is_applied=True)

    with pytest.raises(type(error)):
        await replica.ask("t1")

    assert (await forgetful.turn()).state is TurnState.PLANNED
    answer = await replica.ask("t1")
    assert (answer.recommendation, answer.is_recovered) == ("ok", False)
    assert len(await forgetful.turns()) == 1


async def test_turn_left_open_at_a_backend_that_keeps_nothing_is_asked_again(
    forgetful: Stage,
) -> None:
    await crash_while_asking(forgetful)
    second = await forgetful.replica()

    answer = await second.ask("t1")

    assert (answer.sequence, answer.change) == (1, ThreadChange.REUSED)
    assert len(forgetful.asked) == 2
    (first, again) = await forgetful.store.attempts((await forgetful.turn()).ref)
    assert "nothing of it was recorded" in first.error_message
    assert again.error_code == ""


# Whose turn it is


async def test_turn_that_another_task_left_answered_is_settled_before_ours(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    keeping.let_run(replica.ask("t1"))
    await hold.asked.wait()
    await asyncio.sleep(1)
    await replica.crash()
    hold.let_go()
    second = await keeping.replica()

    ours = await second.ask("t2")

    assert (ours.sequence, ours.change) == (2, ThreadChange.REUSED)
    assert [event.task_id for event in second.told(TurnCompleted)] == ["t1", "t2"]
    theirs = await second.ask("t1")
    assert (theirs.is_replayed, theirs.is_recovered, theirs.sequence) == (True, True, 1)
    assert len(keeping.asked) == 2


async def test_turn_that_another_task_left_unasked_keeps_its_place_while_its_task_waits(
    keeping: Stage,
) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    await crash_while_asking(keeping, "t1")
    # Both tasks come again elsewhere, and the replica of the first is slow to ask again.
    one, other = await keeping.replica(), await keeping.replica()
    theirs = keeping.begin(other.ask("t1"))
    await asyncio.sleep(1)
    other.store.latency_seconds = 5
    ours = keeping.begin(one.ask("t2"))

    await asyncio.gather(ours, theirs)

    # It was the second that found the open turn.
    assert one.told(ThreadRebuilt)

    assert [turn.key.task_id for turn in await keeping.turns()] == ["t1", "t2"]


async def test_turn_that_gave_way_still_tells_that_the_thread_was_rebuilt(keeping: Stage) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    await crash_while_asking(keeping, "t1")
    second = await keeping.replica()

    ours = await second.ask("t2")

    assert (ours.change, ours.sequence) == (ThreadChange.REBUILT, 1)
    assert ours.previous_thread_id == "conv_1"


async def test_turn_whose_task_is_gone_is_passed_over_once_its_ticket_has_run_out(
    keeping: Stage,
) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    await crash_while_asking(keeping, "t1")
    second = await keeping.replica()
    begun_at = seconds()

    await second.ask("t2")

    assert seconds() - begun_at < LIMITS.ticket_seconds + 5
    assert [turn.key.task_id for turn in await keeping.turns()] == ["t2"]
    assert (await keeping.turn(make_task("t1"))).state is TurnState.PLANNED


async def test_turn_on_a_conversation_no_longer_in_use_is_asked_again(keeping: Stage) -> None:
    await crash_while_asking(keeping)
    await asyncio.sleep(LEASE_SECONDS)
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    second = await keeping.replica()
    await second.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")

    answer = await second.ask("t1")

    assert keeping.called("retrieve") == 0
    assert (answer.recommendation, answer.generation) == ("ok", 2)


async def test_turn_of_a_conversation_that_was_ended_is_asked_on_a_new_one(keeping: Stage) -> None:
    await crash_while_asking(keeping)
    await asyncio.sleep(LEASE_SECONDS)
    record = keeping.store._records.threads[(await keeping.thread()).ref]
    record.live = 0
    second = await keeping.replica()

    answer = await second.ask("t1")

    assert (answer.recommendation, answer.generation) == ("ok", 2)


async def test_task_that_cannot_be_asked_any_more_is_refused_after_its_turn_was_proven_unasked(
    keeping: Stage,
) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica()
    keeping.backend.fail_turn(OutcomeUnknown())
    keeping.backend.fail("look", BackendUnavailable())
    await settled(replica.ask("t1"))

    with pytest.raises(InvalidTask):
        await replica.ask("t1", documentation="Say ${gone}.")

    assert (await keeping.turn()).state is TurnState.PLANNED
    assert (await replica.ask("t2")).sequence == 1


async def test_store_that_is_away_at_the_second_submission_leaves_the_turn_planned(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    replica.store.fail_next("submit", StoreUnavailable(), times=4)

    with pytest.raises(StoreUnavailable):
        await replica.ask("t2")

    assert (await keeping.turn(make_task("t2"))).state is TurnState.PLANNED
    begun_at = seconds()
    assert (await replica.ask("t2")).recommendation == "ok"
    assert seconds() - begun_at <= LEASE_SECONDS + 1


def names(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages]


async def test_foreign_items_are_never_taken_for_ours_nor_copied_on(keeping: Stage) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica()
    await replica.ask("t1")
    await keeping.backend.append(
        keeping.backend.conversation_ids[0],
        [Message(role=Role.USER, text="Foreign"), Message(role=Role.ASSISTANT, text="Foreign")],
    )
    keeping.backend.fail_turn(OutcomeUnknown())

    answer = await replica.ask("t2")

    assert names(await keeping.kept(answer.thread_id)) == [
        "What about t1?",
        "ok",
        "What about t2?",
        "ok",
    ]
    assert isinstance(
        await keeping.backend.look(
            keeping.backend.conversation_ids[0], after_item="", prompt="What about t2?"
        ),
        FoundNothing,
    )


async def test_foreign_items_are_told_of_and_noted(keeping: Stage) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica()
    first = await replica.ask("t1")
    await keeping.backend.append(
        ConversationId(first.thread_id), [Message(role=Role.USER, text="Foreign")]
    )
    keeping.backend.fail_turn(OutcomeUnknown())

    await replica.ask("t2")

    assert [event.count for event in replica.told(ForeignItemsFound)] == [1]
    rows = await keeping.store.audit((await keeping.thread()).ref)
    assert AuditAction.FOREIGN_ITEMS in {row.action for row in rows}


def remove_last(stage: Stage) -> None:
    """Take the last item out of the first conversation, as somebody may do at OpenAI."""
    conversation = stage.backend.conversation_ids[0]
    del stage.backend._conversations._of(conversation).messages[-1]


async def test_answer_is_not_taken_by_its_words_alone_where_an_earlier_task_asked_the_same(
    keeping: Stage,
) -> None:
    keeping.use(NamelessRuns(["one", "two", "three"], keeps_conversations=True))
    replica = await keeping.replica()
    await replica.ask("t1", documentation="The same words.")
    await replica.ask("t2", documentation="Other words.")
    remove_last(keeping)
    keeping.backend.fail_turn(OutcomeUnknown())

    answer = await replica.ask("t3", documentation="The same words.")

    assert (answer.recommendation, answer.change) == ("three", ThreadChange.REBUILT)
    assert replica.told(ThreadRebuilt)[0].reason is GenerationReason.FENCED


async def test_answer_is_taken_by_its_words_alone_where_nobody_else_asked_them(
    keeping: Stage,
) -> None:
    keeping.use(NamelessRuns(["one", "two"], keeps_conversations=True))
    replica = await keeping.replica()
    await replica.ask("t1", documentation="The same words.")
    remove_last(keeping)
    keeping.backend.fail_turn(OutcomeUnknown(), is_applied=True)

    answer = await replica.ask("t2", documentation="Other words.")

    assert (answer.recommendation, answer.is_recovered) == ("two", True)
    assert len(keeping.asked) == 2

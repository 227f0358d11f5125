"""What becomes of a turn when the backend does not simply answer."""

import asyncio
from datetime import timedelta

import pytest

from dadm.domain.errors import (
    AnswerCutShort,
    BackendError,
    BackendMisconfigured,
    BackendRefused,
    BackendUnavailable,
    ConversationBroken,
    OutcomeUnknown,
)
from dadm.domain.thread import BackendIdentity, GenerationState, Usage
from dadm.domain.turn import TurnState
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.backend import CutShort
from dadm.ports.observer import ThreadRebuilt, TurnRefused, TurnUnsettled
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, Backends, Stage, settled

NOT_APPLIED: list[BackendError] = [
    BackendUnavailable("Not reachable."),
    BackendUnavailable("Too many requests.", retry_after=timedelta(seconds=9)),
    BackendMisconfigured("Wrong key."),
]


def seconds() -> float:
    return asyncio.get_running_loop().time()


async def is_free(stage: Stage) -> bool:
    """Whether nobody holds the thread."""
    record = stage.store._records.threads[(await stage.thread()).ref]
    return not record.lease_owner


@pytest.mark.parametrize("error", NOT_APPLIED)
async def test_error_before_anything_was_applied_plans_the_turn_again_and_frees_the_thread(
    stage: Stage, error: BackendError
) -> None:
    replica = await stage.replica()
    await replica.ask("t1")
    stage.backend.fail_turn(error)

    with pytest.raises(type(error)) as raised:
        await replica.ask("t2")

    assert raised.value is error
    assert (await stage.turn(make_task("t2"))).state is TurnState.PLANNED
    assert await is_free(stage)
    (told,) = replica.told(TurnUnsettled)
    assert (told.code, told.is_unknown) == (error.code, False)
    assert (await replica.ask("t3")).sequence == 2
    assert (await replica.ask("t2")).sequence == 3
    assert len(stage.asked) == 3


async def test_attempt_says_why_it_gave_no_answer(stage: Stage) -> None:
    replica = await stage.replica()
    stage.backend.fail_turn(BackendUnavailable("Not reachable."))
    await settled(replica.ask("t1"))
    await replica.ask("t1")

    first, second = await stage.store.attempts((await stage.turn()).ref)

    assert (first.error_code, first.error_message) == ("backend_unavailable", "Not reachable.")
    assert (second.number, second.error_code) == (2, "")


async def test_backend_that_cannot_open_a_conversation_gives_the_thread_back(stage: Stage) -> None:
    replica = await stage.replica()
    stage.backend.fail("open", BackendUnavailable())

    with pytest.raises(BackendUnavailable):
        await replica.ask("t1")

    assert await is_free(stage)
    begun_at = seconds()
    assert (await replica.ask("t2")).sequence == 1
    assert seconds() - begun_at < 0.1


# Refusals


async def test_refusal_is_settled_and_replayed_until_it_is_reported(stage: Stage) -> None:
    replica = await stage.replica()
    stage.backend.fail_turn(BackendRefused("Against policy."))

    for _ in range(3):
        with pytest.raises(BackendRefused, match="Against policy"):
            await replica.ask("t1")

    assert stage.called("take_turn") == 1
    assert (await stage.turn()).state is TurnState.REFUSED
    (told,) = replica.told(TurnRefused)
    assert (told.code, told.reason) == ("backend_refused", "Against policy.")


async def test_refusal_that_was_reported_is_asked_again_with_the_content_of_today(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    stage.backend.fail_turn(BackendRefused())
    await settled(replica.ask("t1"))
    await replica.manager.outcome_reported(make_task("t1"))

    answer = await replica.ask("t1", documentation="Better words?")

    assert answer.recommendation == "ok"
    assert stage.asked == ["Better words?"]
    assert (await stage.turn()).state is TurnState.COMPLETED


async def test_refused_turn_leaves_the_thread_as_it_was(stage: Stage) -> None:
    replica = await stage.replica()
    first = await replica.ask("t1")
    stage.backend.fail_turn(BackendRefused())
    await settled(replica.ask("t2"))

    third = await replica.ask("t3")

    assert third.thread_id == first.thread_id
    assert await is_free(stage)


async def test_answer_cut_short_is_a_refusal_that_says_so(stage: Stage) -> None:
    cut = CutShort(reason="max_output_tokens", partial_text="Half", usage=Usage(output_tokens=1))
    backend = type(stage.backend)(["ok", cut, "ok"], keeps_conversations=_keeps(stage))
    stage.use(backend)
    replica = await stage.replica()
    first = await replica.ask("t1")

    with pytest.raises(AnswerCutShort, match="max_output_tokens"):
        await replica.ask("t2")

    turn = await stage.turn(make_task("t2"))
    assert turn.refusal is not None
    assert turn.refusal.code == "answer_cut_short"
    assert turn.usage == Usage(output_tokens=1)
    assert await is_free(stage)
    third = await replica.ask("t3")
    if _keeps(stage):
        # Half an answer may be in the conversation, so it is left behind.
        assert third.previous_thread_id == first.thread_id != third.thread_id
        assert third.change is ThreadChange.REBUILT
        assert "Half" not in str(await stage.kept(third.thread_id))
    else:
        assert third.thread_id == first.thread_id


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("refusal", "The model refused to answer: I will not."),
        ("content_filter", "content filter"),
        ("length", "Raise the assistant's answer limit"),
        ("unanswered_tool_call", "Change the task or the assistant"),
    ],
)
async def test_answer_cut_short_says_what_to_do_about_its_reason(
    stage: Stage, reason: str, said: str
) -> None:
    cut = CutShort(reason=reason, partial_text="I will not.", usage=Usage())
    stage.use(type(stage.backend)([cut], keeps_conversations=_keeps(stage)))
    replica = await stage.replica()

    with pytest.raises(BackendRefused, match=said):
        await replica.ask("t1")


def _keeps(stage: Stage) -> bool:
    return stage.backend.keeps_conversations


async def test_conversation_that_takes_no_more_turns_is_left_behind(keeping: Stage) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1")
    keeping.backend.fail_turn(ConversationBroken("An orphaned tool call."))

    second = await replica.ask("t2")

    assert second.change is ThreadChange.REBUILT
    assert (second.previous_thread_id, second.copied_messages) == (first.thread_id, 2)
    assert await keeping.states() == [GenerationState.RETIRED, GenerationState.LIVE]


async def test_turn_is_asked_three_times_at_most_and_left_to_the_next_delivery(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    for _ in range(3):
        keeping.backend.fail_turn(ConversationBroken())

    with pytest.raises(OutcomeUnknown, match="3 times"):
        await replica.ask("t2")

    turn = await keeping.turn(make_task("t2"))
    assert (turn.state, turn.attempts) == (TurnState.PLANNED, 3)
    assert await is_free(keeping)
    assert replica.told(TurnUnsettled)[-1].is_unknown is False
    assert (await replica.ask("t2")).recommendation == "ok"


# Time


async def test_turn_that_takes_too_long_is_set_aside_and_found_by_the_next_delivery(
    stage: Stage,
) -> None:
    replica = await stage.replica()
    hold = stage.backend.hold_turn()

    with pytest.raises(OutcomeUnknown, match="100 seconds"):
        await replica.ask("t1")

    assert seconds() == pytest.approx(LIMITS.turn_seconds, abs=1)
    assert (await stage.turn()).state is TurnState.UNKNOWN
    assert replica.told(TurnUnsettled)[-1].is_unknown
    assert await is_free(stage)
    hold.let_go()
    again = await replica.ask("t1")
    assert again.recommendation == "ok"
    assert again.is_recovered is stage.backend.keeps_conversations
    assert len(stage.asked) == (1 if stage.backend.keeps_conversations else 2)


async def test_lease_lasts_as_long_as_the_turn_does(stage: Stage) -> None:
    one, other = await stage.replica(), await stage.replica()
    hold = stage.backend.hold_turn()
    first = stage.begin(one.ask("t1"))
    await hold.asked.wait()
    second = stage.begin(other.ask("t2"))
    await asyncio.sleep(LIMITS.lease_seconds * 3)
    assert len(stage.asked) == 1
    hold.let_go()

    await asyncio.gather(first, second)

    assert [turn.key.task_id for turn in await stage.turns()] == ["t1", "t2"]


# The backend a thread belongs to


async def test_thread_stays_with_its_backend_when_the_default_changes(stage: Stage) -> None:
    replica = await stage.replica()
    first = await replica.ask("t1")
    old = stage.backend
    new = stage.use(type(old)("new", identity=BackendIdentity(adapter="other")))

    second = await replica.ask("t2")
    elsewhere = await replica.ask("t1", process_instance_id="p2")

    assert second.thread_id == first.thread_id
    assert len(old.questions) == 2
    assert [question.prompt for question in new.questions] == ["What about t1?"]
    assert elsewhere.recommendation == "new"


async def test_lost_conversation_is_rebuilt_at_its_own_backend(keeping: Stage) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1")
    old = keeping.backend
    keeping.use(type(old)("new", keeps_conversations=True, identity=BackendIdentity(adapter="b")))
    old.lose(old.conversation_ids[0])

    second = await replica.ask("t2")

    assert second.previous_thread_id == first.thread_id
    assert [each.identity.adapter for each in await keeping.generations()] == ["scripted"] * 2


async def test_thread_whose_backend_is_not_configured_says_so_and_stays(stage: Stage) -> None:
    replica = await stage.replica()
    first = await replica.ask("t1")
    new = type(stage.backend)("new", identity=BackendIdentity(adapter="other"))
    elsewhere = await stage.replica(backends=Backends(new))

    for _ in range(2):
        with pytest.raises(BackendMisconfigured, match="No backend scripted"):
            await elsewhere.ask("t2")

    assert await is_free(stage)
    assert (await stage.turn(make_task("t2"))).state is TurnState.PLANNED
    assert not elsewhere.told(ThreadRebuilt)
    assert (await replica.ask("t2")).thread_id == first.thread_id

"""A conversation that is gone: only a confirmed loss recreates a thread, and with its memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendRefused,
    BackendUnavailable,
    ConversationLost,
    InvalidTask,
    OutcomeUnknown,
    StoreUnavailable,
    ThreadClosed,
)
from dadm.domain.thread import ConversationId, GenerationReason, GenerationState, ThreadState
from dadm.domain.transcript import Message, Role
from dadm.domain.turn import TurnState
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.observer import ThreadRebuilt, ThreadReused
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, Stage, settled

TROUBLES: list[BackendError] = [
    BackendUnavailable("Not reachable."),
    BackendUnavailable("Rate limit."),
    BackendMisconfigured("Wrong key."),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=["unreachable", "rate limit", "key"])
async def test_an_unreachable_backend_a_rate_limit_or_a_wrong_key_never_recreates_a_thread(
    keeping: Stage, trouble: BackendError
) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1")

    # While the turn is asked.
    keeping.backend.fail_turn(trouble)
    await settled(replica.ask("t2"))
    # While a loss is to be confirmed.
    keeping.backend.fail_turn(ConversationLost("The turn says so."))
    keeping.backend.fail("exists", trouble)
    with pytest.raises(type(trouble)):
        await replica.ask("t3")
    # When asked for the thread.
    keeping.backend.fail("exists", trouble)
    with pytest.raises(type(trouble)):
        await replica.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")

    assert keeping.called("open") == 1
    assert not replica.told(ThreadRebuilt)
    assert await keeping.states() == [GenerationState.LIVE]
    assert (await keeping.thread()).thread_id == first.thread_id
    # And the thread was given back each time.
    assert await replica.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")


async def test_lost_conversation_is_rebuilt_with_its_memory(keeping: Stage) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1", documentation="The owner is Ada.")
    await replica.ask("t2", documentation="The budget is 5.")
    keeping.backend.lose(keeping.backend.conversation_ids[0])

    third = await replica.ask("t3", documentation="Who owns what?")

    assert third.change is ThreadChange.REBUILT
    assert third.previous_thread_id == first.thread_id != third.thread_id
    assert (third.generation, third.sequence, third.copied_messages) == (2, 3, 4)
    assert [each.text for each in await keeping.kept(third.thread_id)] == [
        "The owner is Ada.",
        "ok",
        "The budget is 5.",
        "ok",
        "Who owns what?",
        "ok",
    ]
    (told,) = replica.told(ThreadRebuilt)
    assert (told.previous_thread_id, told.thread_id) == (first.thread_id, third.thread_id)
    assert (told.copied_messages, told.left_out_exchanges) == (4, 0)
    assert (told.reason, told.process_instance_id) == (GenerationReason.LOST, "p1")
    assert await keeping.states() == [GenerationState.RETIRED, GenerationState.LIVE]


async def test_generation_records_which_turns_it_was_opened_with(keeping: Stage) -> None:
    replica = await keeping.replica()
    for number in range(1, 4):
        await replica.ask(f"t{number}")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    await replica.ask("t4")

    first, second = await keeping.generations()

    assert (first.opened_from, first.opened_to, first.copied_messages) == (0, 0, 0)
    assert (second.opened_from, second.opened_to, second.copied_messages) == (1, 3, 6)
    assert second.reason is GenerationReason.LOST


@pytest.mark.parametrize(
    ("characters", "copied", "opened"),
    [(30, ["t1", "t4", "t5"], (4, 5)), (20, ["t1", "t5"], (5, 5)), (10, ["t1"], (1, 1))],
)
async def test_rebuilt_conversation_gets_the_first_and_the_latest_that_its_limit_allows(
    keeping: Stage, characters: int, copied: list[str], opened: tuple[int, int]
) -> None:
    replica = await keeping.replica(limits=replace(LIMITS, copied_characters=characters))
    for number in range(1, 6):
        await replica.ask(f"t{number}", documentation=f"Asking t{number}"[-8:])
    keeping.backend.lose(keeping.backend.conversation_ids[0])

    answer = await replica.ask("t6")

    kept = await keeping.kept(answer.thread_id)
    asked = [each.text[-2:] for each in kept if each.role is Role.USER]
    assert asked == [*copied, "6?"]
    (told,) = replica.told(ThreadRebuilt)
    assert told.left_out_exchanges == 5 - len(copied)
    live = (await keeping.generations())[-1]
    assert (live.opened_from, live.opened_to) == opened


async def test_first_exchange_that_is_too_long_to_copy_is_left_out(keeping: Stage) -> None:
    replica = await keeping.replica(limits=replace(LIMITS, copied_characters=30))
    await replica.ask("t1", documentation="x" * 100)
    for number in range(2, 4):
        await replica.ask(f"t{number}")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    answer = await replica.ask("t4")

    assert "x" not in "".join(each.text for each in await keeping.kept(answer.thread_id))
    live = (await keeping.generations())[-1]
    assert (live.opened_from, live.opened_to) == (3, 3)


async def test_memory_is_given_back_in_chunks_that_the_backend_takes(keeping: Stage) -> None:
    replica = await keeping.replica()
    for number in range(25):
        await replica.ask(f"t{number}")
    keeping.backend.lose(keeping.backend.conversation_ids[0])

    answer = await replica.ask("last")

    assert keeping.called("append") == 3
    assert answer.copied_messages == 50
    assert len(await keeping.kept(answer.thread_id)) == 52


async def test_refused_turns_are_no_part_of_the_memory(keeping: Stage) -> None:
    backend = keeping.use(
        type(keeping.backend)({"bad": BackendRefused(), "": "ok"}, keeps_conversations=True)
    )
    replica = await keeping.replica()
    await replica.ask("t1")
    await settled(replica.ask("bad"))
    backend.lose(backend.conversation_ids[0])

    assert (await replica.ask("t2")).copied_messages == 2


async def test_loss_that_is_not_confirmed_is_looked_into_and_not_healed(keeping: Stage) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1")
    keeping.backend.fail_turn(ConversationLost("The turn says so."), is_applied=True)

    second = await replica.ask("t2")

    # The conversation is there, and so are our message and its answer.
    assert (second.thread_id, second.is_recovered) == (first.thread_id, True)
    assert len(keeping.asked) == 2


@pytest.mark.parametrize("trouble", [OutcomeUnknown(), ConversationLost()])
async def test_chunk_without_definite_outcome_abandons_the_conversation_it_was_for(
    keeping: Stage, trouble: BackendError
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    keeping.backend.fail("append", trouble)

    answer = await replica.ask("t2")

    assert answer.generation == 3
    retired, live = GenerationState.RETIRED, GenerationState.LIVE
    assert await keeping.states() == [retired, retired, live]
    assert len(await keeping.kept(answer.thread_id)) == 4


class LosingMessages(ScriptedBackend):
    """Keeps half of what is appended first, and says nothing."""

    async def append(self, conversation_id: ConversationId, messages: Sequence[Message]) -> str:
        is_first = not any(call.method == "append" for call in self.calls)
        return await super().append(conversation_id, messages[: 1 if is_first else None])


async def test_conversation_that_does_not_hold_what_was_written_is_never_used(
    keeping: Stage,
) -> None:
    keeping.use(LosingMessages(keeps_conversations=True))
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    answer = await replica.ask("t2")

    assert answer.generation == 3
    assert len(await keeping.kept(answer.thread_id)) == 4


async def test_conversation_lost_while_it_is_compared_is_begun_again(keeping: Stage) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    keeping.backend.fail("messages", ConversationLost())

    assert (await replica.ask("t2")).generation == 3


async def test_rebuilding_is_given_up_after_three_conversations(keeping: Stage) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    keeping.backend.links_items = False
    for _ in range(3):
        keeping.backend.fail("append", OutcomeUnknown())

    with pytest.raises(OutcomeUnknown, match="memory back"):
        await replica.ask("t2")

    assert (await keeping.turn(make_task("t2"))).state is TurnState.PLANNED
    answer = await replica.ask("t2")
    assert (answer.generation, answer.change) == (5, ThreadChange.REBUILT)


async def test_rebuilding_that_broke_off_is_begun_anew_and_its_rest_queued_for_erasure(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    keeping.backend.fail("append", BackendUnavailable())
    with pytest.raises(BackendUnavailable):
        await replica.ask("t2")
    assert await keeping.states() == [GenerationState.LIVE, GenerationState.BUILDING]
    assert not keeping.store._records.threads[(await keeping.thread()).ref].lease_owner

    second = await replica.ask("t2")

    retired, live = GenerationState.RETIRED, GenerationState.LIVE
    assert await keeping.states() == [retired, retired, live]
    assert second.previous_thread_id == first.thread_id


async def test_first_conversation_that_was_never_finished_is_no_previous_one(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    replica.store.fail_next("make_live", StoreUnavailable(), times=4)
    with pytest.raises(StoreUnavailable):
        await replica.ask("t1")
    await asyncio.sleep(LIMITS.lease_seconds)

    answer = await replica.ask("t1")

    assert (answer.change, answer.previous_thread_id) == (ThreadChange.CREATED, "")
    assert await keeping.states() == [GenerationState.RETIRED, GenerationState.LIVE]


async def test_task_that_cannot_be_asked_any_more_after_the_rebuilding_gives_the_thread_back(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    arrived, let_go = replica.store.hold_next("make_live")
    asking = keeping.begin(replica.ask("t2"))
    await arrived.wait()
    await keeping.store.close_scope(engine="embedded", tenant="", scope="p1")
    let_go.set()

    with pytest.raises(ThreadClosed):
        await asking

    assert not keeping.store._records.threads[(await keeping.thread()).ref].lease_owner


async def test_parked_thread_heals_on_its_next_task(keeping: Stage) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1")
    record = keeping.store._records.threads[(await keeping.thread()).ref]
    record.state, record.live = ThreadState.PARKED, 0

    second = await replica.ask("t2")

    assert second.copied_messages == 2
    assert second.previous_thread_id == first.thread_id
    assert replica.told(ThreadRebuilt)[0].reason is GenerationReason.UNPARKED
    assert (await keeping.thread()).state is ThreadState.OPEN


# get_or_create_process_thread


async def test_thread_is_created_once_and_then_reused(stage: Stage) -> None:
    replica = await stage.replica()

    created = await replica.manager.get_or_create_process_thread("p1", "ann", engine="embedded")
    again = await replica.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")
    answer = await replica.ask("t1")

    assert created == again == answer.thread_id
    assert answer.change is ThreadChange.REUSED
    assert [event.thread_id for event in replica.told(ThreadReused)] == [created, created]
    assert stage.called("open") == 1


async def test_thread_of_plain_callers_is_another_than_that_of_an_engine(stage: Stage) -> None:
    replica = await stage.replica()

    plain = await replica.manager.get_or_create_process_thread("p1", "analyst")
    of_engine = await replica.manager.get_or_create_process_thread(
        "p1", "analyst", engine="embedded", tenant="acme"
    )

    assert plain != of_engine
    assert [thread.key.tenant for thread in await stage.threads()] == ["", "acme"]


async def test_thread_that_is_confirmed_lost_is_recreated_with_its_memory(keeping: Stage) -> None:
    replica = await keeping.replica()
    answer = await replica.ask("t1")
    keeping.backend.lose(keeping.backend.conversation_ids[0])

    found = await replica.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")

    assert found != answer.thread_id
    assert len(await keeping.kept(found)) == 2
    assert replica.told(ThreadRebuilt)[0].previous_thread_id == answer.thread_id
    assert (await replica.ask("t2")).thread_id == found


async def test_thread_that_ended_its_conversation_gets_a_new_one_when_asked_for(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    answer = await replica.ask("t1")
    record = keeping.store._records.threads[(await keeping.thread()).ref]
    record.live = 0

    found = await replica.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")

    assert found != answer.thread_id
    assert replica.told(ThreadRebuilt)[0].reason is GenerationReason.ENDED


async def test_thread_of_an_ended_instance_is_not_opened_again(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1")
    await stage.store.close_scope(engine="embedded", tenant="", scope="p1")

    with pytest.raises(ThreadClosed):
        await replica.manager.get_or_create_process_thread("p1", "analyst", engine="embedded")


@pytest.mark.parametrize("process_instance_id", ["", "x" * 256, "a\nb", "task:t1"])
async def test_what_is_no_process_instance_has_no_thread(
    stage: Stage, process_instance_id: str
) -> None:
    replica = await stage.replica()

    with pytest.raises(InvalidTask):
        await replica.manager.get_or_create_process_thread(process_instance_id, "analyst")

    assert not await stage.threads()

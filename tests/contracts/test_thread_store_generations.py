"""The remote conversations a thread has had: one is live, and all of them are remembered."""

import pytest

from dadm.domain.errors import ThreadConflict, UnknownThread
from dadm.domain.thread import ConversationId, GenerationReason, GenerationState, ThreadRef
from tests.contracts.stores import ELSEWHERE, HERE, StoreUnderTest, answer, thread_key


async def test_a_conversation_is_recorded_as_building_with_the_next_number(
    given: StoreUnderTest,
) -> None:
    holder = await given.lease()
    opened = [
        await given.store.note_conversation(
            holder.thread.ref,
            identity=HERE,
            conversation_id=ConversationId(f"conv_{number}"),
            reason=GenerationReason.LOST,
            opened_from=3,
            opened_to=9,
        )
        for number in (1, 2)
    ]

    assert [generation.number for generation in opened] == [1, 2]
    first = opened[0]
    assert (first.thread, first.identity) == (holder.thread.ref, HERE)
    assert (first.conversation_id, first.state) == ("conv_1", GenerationState.BUILDING)
    assert (first.reason, first.opened_from, first.opened_to) == (GenerationReason.LOST, 3, 9)
    assert (first.copied_messages, first.last_item_id) == (0, "")
    assert await given.store.generations(holder.thread.ref) == tuple(opened)
    assert (await given.thread()).live is None


async def test_a_conversation_noted_again_is_the_same(given: StoreUnderTest) -> None:
    holder = await given.lease()
    live = await given.converse(holder.lease, "conv_1")

    again = await given.store.note_conversation(
        holder.thread.ref,
        identity=HERE,
        conversation_id=ConversationId("conv_1"),
        reason=GenerationReason.FIRST,
        opened_from=0,
        opened_to=0,
    )

    assert again == live
    assert len(await given.store.generations(holder.thread.ref)) == 1


async def test_a_conversation_belongs_to_one_thread_of_one_backend(
    given: StoreUnderTest,
) -> None:
    first = await given.lease()
    await given.converse(first.lease, "conv_1")
    second = await given.lease(thread_key(scope="p2"))

    with pytest.raises(ThreadConflict):
        await given.converse(second.lease, "conv_1")

    assert await given.store.generations(second.thread.ref) == ()
    assert (await given.converse(second.lease, "conv_1", identity=ELSEWHERE)).number == 1


async def test_no_conversation_is_recorded_for_a_thread_that_is_not_there(
    given: StoreUnderTest,
) -> None:
    with pytest.raises(UnknownThread):
        await given.store.note_conversation(
            ThreadRef(999),
            identity=HERE,
            conversation_id=ConversationId("conv_1"),
            reason=GenerationReason.FIRST,
            opened_from=0,
            opened_to=0,
        )
    assert await given.store.generations(ThreadRef(999)) == ()


async def test_copying_is_recorded_while_building_and_never_goes_back(
    given: StoreUnderTest,
) -> None:
    holder = await given.lease()
    thread = holder.thread.ref
    await given.store.note_conversation(
        thread,
        identity=HERE,
        conversation_id=ConversationId("conv_1"),
        reason=GenerationReason.LOST,
        opened_from=1,
        opened_to=2,
    )
    for copied, last_item in ((2, "msg_2"), (4, "msg_4"), (2, "msg_2")):
        await given.store.note_copied(thread, 1, copied_messages=copied, last_item_id=last_item)

    live = await given.store.make_live(holder.lease, 1)
    await given.store.note_copied(thread, 1, copied_messages=6, last_item_id="msg_6")
    await given.store.note_copied(thread, 7, copied_messages=6, last_item_id="msg_6")

    assert (live.copied_messages, live.last_item_id) == (4, "msg_4")
    assert (await given.thread()).live == live


async def test_a_new_live_conversation_retires_the_one_before(given: StoreUnderTest) -> None:
    holder = await given.lease()
    await given.converse(holder.lease, "conv_1")
    second = await given.converse(holder.lease, "conv_2", reason=GenerationReason.FENCED)

    assert second.state is GenerationState.LIVE
    assert await given.store.make_live(holder.lease, 2) == second
    states = [known.state for known in await given.store.generations(holder.thread.ref)]
    assert states == [GenerationState.RETIRED, GenerationState.LIVE]
    assert (await given.thread()).thread_id == "conv_2"


async def test_only_a_building_conversation_becomes_live(given: StoreUnderTest) -> None:
    holder = await given.lease()
    await given.converse(holder.lease, "conv_1")
    await given.converse(holder.lease, "conv_2")

    for number in (1, 3, 0):
        with pytest.raises(ThreadConflict):
            await given.store.make_live(holder.lease, number)

    assert (await given.thread()).thread_id == "conv_2"


async def test_a_retired_conversation_is_not_live_any_more(given: StoreUnderTest) -> None:
    holder = await given.lease()
    await given.converse(holder.lease, "conv_1")
    for _ in range(2):
        await given.store.retire(holder.lease, 1)

    assert (await given.thread()).live is None
    assert (await given.store.statistics()).retired_conversations == 1
    with pytest.raises(ThreadConflict):
        await given.store.retire(holder.lease, 2)
    with pytest.raises(ThreadConflict):
        await given.store.make_live(holder.lease, 1)


async def test_a_building_conversation_can_be_given_up(given: StoreUnderTest) -> None:
    holder = await given.lease()
    live = await given.converse(holder.lease, "conv_1")
    await given.store.note_conversation(
        holder.thread.ref,
        identity=HERE,
        conversation_id=ConversationId("conv_2"),
        reason=GenerationReason.LOST,
        opened_from=0,
        opened_to=0,
    )

    await given.store.retire(holder.lease, 2)

    assert (await given.thread()).live == live


async def test_a_thread_is_found_by_every_id_it_ever_had(given: StoreUnderTest) -> None:
    holder = await given.lease()
    for name in ("conv_1", "conv_2"):
        await given.converse(holder.lease, name)
    other = await given.ready(thread_key(scope="p2"), "conv_3")

    for name in ("conv_1", "conv_2"):
        found = await given.store.find_thread(name)
        assert found is not None
        assert found.ref == holder.thread.ref
        assert found.thread_id == "conv_2"
    assert await given.store.find_thread("conv_3") == other
    assert await given.store.find_thread("conv_4") is None


async def test_an_id_that_two_backends_gave_finds_the_thread_it_is_live_on(
    given: StoreUnderTest,
) -> None:
    live = await given.ready(thread_key(scope="p1"), "conv_1")
    second = await given.lease(thread_key(scope="p2"))
    await given.converse(second.lease, "conv_1", identity=ELSEWHERE)
    await given.converse(second.lease, "conv_2", identity=ELSEWHERE)

    assert await given.store.find_thread("conv_1") == live


async def test_the_next_turn_is_taken_on_the_new_conversation(given: StoreUnderTest) -> None:
    await given.ready()
    first = await given.submit("t1")
    await given.store.settle(first.lease, first.turn.ref, answer(last_item="msg_1"))
    holder = await given.lease()
    await given.converse(holder.lease, reason=GenerationReason.LOST)
    await given.store.release(holder.lease)

    second = await given.submit("t2")

    assert (second.turn.generation, second.attempt.generation) == (2, 2)
    assert (second.attempt.item_before, second.turn.sequence) == ("", 2)
    assert (await given.turn(first.turn.ref)).generation == 1

"""Conversations that were left, and threads whose conversations were lost, by backend and time."""

import pytest

from dadm.domain.errors import ThreadErased, UnknownThread
from dadm.domain.thread import GenerationReason, ThreadRef, ThreadState
from dadm.ports.store_values import ThreadGranted
from tests.contracts.stores import (
    ELSEWHERE,
    HERE,
    LONG,
    NOTHING_DELETED,
    StoreUnderTest,
    thread_key,
)


async def test_retired_conversations_wait_by_backend_in_the_order_they_were_left(
    given: StoreUnderTest,
) -> None:
    first = (await given.lease(thread_key(scope="p1"))).lease
    second = (await given.lease(thread_key(scope="p2"))).lease
    await given.converse(first, "conv_first")
    await given.converse(second, "conv_second")
    elsewhere = await given.note_conversation(second, "conv_elsewhere", identity=ELSEWHERE)
    unfinished = await given.note_conversation(first, "conv_unfinished")

    await given.store.retire(second, elsewhere.number)
    await given.converse(second, "conv_new", reason=GenerationReason.FENCED)
    await given.store.retire(first, unfinished.number)
    await given.store.retire(first, 1)

    async def names(*identities: object, limit: int = 100) -> list[str]:
        found = await given.store.retired(
            [known for known in (HERE, ELSEWHERE) if known in identities],
            retired_seconds=0,
            limit=limit,
        )
        return [generation.conversation_id for generation in found]

    assert await names(HERE) == ["conv_second", "conv_unfinished", "conv_first"]
    assert await names(ELSEWHERE) == ["conv_elsewhere"]
    assert await names(HERE, ELSEWHERE, limit=2) == ["conv_elsewhere", "conv_second"]
    assert await names() == []
    await given.store.note_erased(second.thread, 1, NOTHING_DELETED)
    assert await names(HERE) == ["conv_unfinished", "conv_first"]


async def test_a_conversation_is_left_in_peace_for_a_while_after_it_was_retired(
    given: StoreUnderTest,
) -> None:
    lease = (await given.lease()).lease
    await given.converse(lease)
    await given.store.retire(lease, 1)

    assert await given.store.retired([HERE], retired_seconds=LONG) == ()
    assert len(await given.store.retired([HERE], retired_seconds=0)) == 1


async def test_threads_whose_conversations_were_lost_are_counted_once_each(
    given: StoreUnderTest,
) -> None:
    one = (await given.lease(thread_key(scope="p1"))).lease
    two = (await given.lease(thread_key(scope="p2"))).lease
    for lease in (one, two):
        await given.converse(lease)
    await given.converse(one, reason=GenerationReason.FENCED)
    assert await given.store.count_lost(HERE, within_seconds=LONG) == 0

    await given.converse(one, reason=GenerationReason.LOST)
    await given.note_conversation(one, reason=GenerationReason.LOST)
    assert await given.store.count_lost(HERE, within_seconds=LONG) == 1
    await given.note_conversation(two, reason=GenerationReason.LOST)
    await given.store.retire(two, 2)
    await given.note_conversation(two, identity=ELSEWHERE, reason=GenerationReason.LOST)

    assert await given.store.count_lost(HERE, within_seconds=LONG) == 2
    assert await given.store.count_lost(ELSEWHERE, within_seconds=LONG) == 1
    assert await given.store.count_lost(HERE, within_seconds=0) == 0


async def test_a_thread_that_is_not_there_is_not_leased(given: StoreUnderTest) -> None:
    with pytest.raises(UnknownThread):
        await given.store.lease_known_thread(ThreadRef(999), owner="o", lease_seconds=LONG)
    ready = await given.ready()
    await given.put(ready.ref, ThreadState.ERASED)
    with pytest.raises(ThreadErased):
        await given.store.lease_known_thread(ready.ref, owner="o", lease_seconds=LONG)


async def test_the_open_turn_of_a_known_thread_comes_with_its_lease(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    await given.store.close_scope(engine="embedded", tenant="", scope="p1")
    await given.store.set_aside(taken.lease, taken.turn.ref, error_code="x", error_message="y")

    known = await given.store.lease_known_thread(
        taken.turn.thread, owner="looker", lease_seconds=LONG
    )

    assert isinstance(known, ThreadGranted)
    assert known.open_turn is not None
    assert known.open_turn.turn.ref == taken.turn.ref
    assert known.open_turn.attempt.ref == taken.attempt.ref

"""Threads whose scope has ended: closed, cleared, not begun again; idle ones: found, parked."""

import asyncio

import pytest

from dadm.domain.errors import ThreadClosed, ThreadConflict
from dadm.domain.thread import GenerationReason, GenerationState, Thread, ThreadRef, ThreadState
from dadm.domain.thread_scope import scopes_within
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ErasureReport
from dadm.ports.ended_threads import IdleThread
from dadm.ports.store_values import Lease, ThreadGranted
from dadm.settings.groups import HUNDRED_YEARS_SECONDS
from tests.contracts.stores import (
    ELSEWHERE,
    HERE,
    LONG,
    NOTHING_DELETED,
    StoreUnderTest,
    request,
    thread_key,
    turn_key,
)


async def close(given: StoreUnderTest, scope: str = "p1", reason: str = "completed") -> int:
    return await given.store.close_scope(engine="embedded", tenant="", scope=scope, reason=reason)


async def closed_thread(given: StoreUnderTest, scope: str = "p1") -> Thread:
    ready = await given.ready(thread_key(scope=scope))
    assert await close(given, scope) == 1
    return ready


async def hold(given: StoreUnderTest, thread: ThreadRef, owner: str = "janitor") -> Lease:
    taken = await given.store.lease_known_thread(thread, owner=owner, lease_seconds=LONG)
    assert isinstance(taken, ThreadGranted)
    return taken.lease


async def delete(given: StoreUnderTest, lease: Lease, report: ErasureReport) -> None:
    for generation in await given.store.generations(lease.thread):
        await given.store.retire(lease, generation.number)
        await given.store.note_erased(lease.thread, generation.number, report)


async def waiting(given: StoreUnderTest, *, closed_seconds: float = 0.0) -> list[ThreadRef]:
    return list(
        await given.store.threads_to_clear([HERE, ELSEWHERE], closed_seconds=closed_seconds)
    )


async def test_a_closed_thread_says_since_when_and_why(given: StoreUnderTest) -> None:
    thread = await closed_thread(given)
    assert await close(given, reason="again") == 0

    assert await given.trail(thread.ref) == [(AuditAction.CLOSED, "completed")]


async def test_no_thread_begins_in_a_scope_that_ended(given: StoreUnderTest) -> None:
    await closed_thread(given)
    other = thread_key(assistant="critic")

    with pytest.raises(ThreadClosed):
        await given.store.claim(request("late", thread=other))
    with pytest.raises(ThreadClosed):
        await given.lease(other)

    standing = await given.store.look_up(other, turn_key("late"))
    assert (standing.thread, standing.turn) == (None, None)
    await given.ready(thread_key(scope="p2"))
    await given.ready(thread_key(tenant="acme"))


async def test_a_thread_that_was_erased_after_its_end_does_not_begin_anew(
    given: StoreUnderTest,
) -> None:
    thread = await closed_thread(given)
    await given.erase(await hold(given, thread.ref))

    with pytest.raises(ThreadClosed):
        await given.store.claim(request("late"))
    with pytest.raises(ThreadClosed):
        await given.lease()


async def test_a_scope_that_was_never_used_has_no_end(given: StoreUnderTest) -> None:
    assert await close(given) == 0

    await given.ready()


async def test_the_scopes_within_an_instance_are_found_until_they_ended(
    given: StoreUnderTest,
) -> None:
    inside = ["element:p1:A", "element:p1:A:t1", "element:p1:B", "element:p1:\N{SNOWMAN}"]
    others = ["p1", "element:p10:A", "element:p2:A", "business-key:p1", "element:p", "element:p1;"]
    for scope in (*reversed(inside), *others):
        await given.ready(thread_key(scope=scope))
    await given.ready(thread_key(scope="element:p1:C", tenant="acme"))
    await given.ready(thread_key(scope="element:p1:C", engine="other"))

    async def found(instance: str = "p1", tenant: str = "") -> list[str]:
        return list(
            await given.store.open_scopes(
                engine="embedded", tenant=tenant, beginning=scopes_within(instance)
            )
        )

    assert await found() == inside
    assert await found(tenant="acme") == ["element:p1:C"]
    assert await found("p1:A") == await found("p3") == []

    await close(given, "element:p1:A")

    assert await found() == inside[1:]


async def test_threads_that_begin_while_their_scope_ends_are_refused_or_closed(
    given: StoreUnderTest,
) -> None:
    await given.ready(thread_key(assistant="first"))
    keys = [thread_key(assistant=f"assistant {number}") for number in range(8)]

    async def begin(number: int) -> object:
        claim = request(f"t{number}", thread=keys[number])
        try:
            return await given.store.claim(claim)
        except ThreadClosed as error:
            return error

    await asyncio.gather(*map(begin, range(4)), close(given), *map(begin, range(4, 8)))

    for key in keys:
        thread = (await given.store.look_up(key, turn_key("nobody's"))).thread
        assert thread is None or thread.state is ThreadState.CLOSED


async def test_closed_threads_wait_to_be_cleared_in_the_order_of_their_ends(
    given: StoreUnderTest,
) -> None:
    threads = {scope: await given.ready(thread_key(scope=scope)) for scope in ("p1", "p2", "p3")}
    for scope in ("p3", "p1"):
        await close(given, scope)

    assert await waiting(given) == [threads["p3"].ref, threads["p1"].ref]
    first = await given.store.threads_to_clear([HERE], closed_seconds=0, limit=1)
    assert list(first) == [threads["p3"].ref]
    assert await waiting(given, closed_seconds=LONG) == []


async def test_a_thread_waits_only_where_all_that_is_left_of_it_is_reached(
    given: StoreUnderTest,
) -> None:
    taken = await given.lease()
    await given.converse(taken.lease, identity=ELSEWHERE)
    await given.converse(taken.lease, identity=HERE, reason=GenerationReason.FENCED)
    await close(given)

    assert await given.store.threads_to_clear([HERE], closed_seconds=0) == ()
    assert await given.store.threads_to_clear([], closed_seconds=0) == ()
    await given.store.note_erased(taken.lease.thread, 1, NOTHING_DELETED)
    assert len(await given.store.threads_to_clear([HERE], closed_seconds=0)) == 1


async def test_a_cleared_thread_waits_no_more_and_says_what_was_deleted(
    given: StoreUnderTest,
) -> None:
    taken = await given.lease()
    await given.converse(taken.lease)
    await given.converse(taken.lease, reason=GenerationReason.FENCED)
    await close(given)
    report = ErasureReport(deleted_items=2, deleted_responses=1, unreachable=("resp_é",))
    await delete(given, taken.lease, report)

    for _ in range(2):
        await given.store.note_cleared(taken.lease)

    assert (await given.trail(taken.lease.thread))[-1] == (
        AuditAction.CLEARED,
        "2 conversations, 4 items, 2 responses, 2 ids refused",
    )
    assert len(await given.trail(taken.lease.thread)) == 3
    assert await waiting(given) == []
    cleared = await given.store.threads_to_clear([HERE], closed_seconds=0, with_cleared=True)
    assert list(cleared) == [taken.lease.thread]
    assert (await given.thread()).state is ThreadState.CLOSED


async def test_only_a_closed_thread_of_which_nothing_is_left_is_cleared(
    given: StoreUnderTest,
) -> None:
    taken = await given.lease()
    with pytest.raises(ThreadConflict):
        await given.store.note_cleared(taken.lease)
    await given.converse(taken.lease)
    await close(given)
    with pytest.raises(ThreadConflict):
        await given.store.note_cleared(taken.lease)
    await given.store.retire(taken.lease, 1)
    with pytest.raises(ThreadConflict):
        await given.store.note_cleared(taken.lease)
    await given.store.note_erased(taken.lease.thread, 1, NOTHING_DELETED)
    await given.store.extend(taken.lease, lease_seconds=0)
    await hold(given, taken.lease.thread, owner="usurper")
    with pytest.raises(ThreadConflict):
        await given.store.note_cleared(taken.lease)


async def test_a_conversation_that_becomes_known_late_is_cleared_too(
    given: StoreUnderTest,
) -> None:
    taken = await given.lease()
    await close(given)
    await given.store.note_cleared(taken.lease)
    assert await waiting(given) == []

    await given.note_conversation(taken.lease, "conv_late")
    assert await waiting(given) == [taken.lease.thread]

    await delete(given, taken.lease, NOTHING_DELETED)
    await given.store.note_cleared(taken.lease)
    await given.note_conversation(taken.lease, "conv_late")
    assert await waiting(given) == []


async def test_the_transcript_of_a_cleared_thread_stays(given: StoreUnderTest) -> None:
    thread = await given.ready()
    settled = await given.complete()
    await close(given)
    lease = await hold(given, thread.ref)
    await delete(given, lease, NOTHING_DELETED)
    await given.store.note_cleared(lease)

    assert [each.answer for each in await given.store.exchanges(thread.ref)] == [settled.answer]


async def test_a_cleared_thread_can_be_erased(given: StoreUnderTest) -> None:
    thread = await closed_thread(given)
    lease = await hold(given, thread.ref)
    report = ErasureReport(deleted_items=3, deleted_responses=1)
    await delete(given, lease, report)
    await given.store.note_cleared(lease)

    await given.store.begin_erasure(lease)
    receipt = await given.store.finish_erasure(lease)

    assert (receipt.conversations, receipt.deleted_items) == (1, 3)
    assert await given.store.threads_to_clear([HERE], closed_seconds=0, with_cleared=True) == ()


async def test_scopes_are_idle_when_none_of_their_threads_was_used(given: StoreUnderTest) -> None:
    for scope in ("p1", "p2", "p3"):
        await given.ready(thread_key(scope=scope))
    await given.ready(thread_key(assistant="critic", scope="p1"))
    await given.ready(thread_key(engine="http"))
    await close(given, "p2")

    found = await given.store.idle_scopes("embedded", idle_seconds=0)

    assert [(each.tenant, each.name) for each in found] == [("", "p1"), ("", "p3")]
    assert await given.store.idle_scopes("embedded", idle_seconds=0, limit=1) == found[:1]
    after = await given.store.idle_scopes("embedded", idle_seconds=0, after=found[0].position)
    assert after == found[1:]
    assert await given.store.idle_scopes("embedded", idle_seconds=LONG) == ()


async def test_parking_gives_the_conversations_up_and_keeps_the_thread(
    given: StoreUnderTest,
) -> None:
    thread = await given.ready()
    await given.complete()
    lease = await hold(given, thread.ref)
    await given.note_conversation(lease, "conv_unfinished")
    assert await given.store.threads_to_park("embedded", idle_seconds=LONG) == ()
    assert await given.store.threads_to_park("http", idle_seconds=0) == ()
    assert await given.store.threads_to_park("embedded", idle_seconds=0) == (
        IdleThread(ref=thread.ref, tenant="", scope="p1"),
    )
    behind = await given.store.threads_to_park("embedded", idle_seconds=0, after=thread.ref)
    assert behind == ()

    for _ in range(2):
        await given.store.park(lease)

    parked = await given.thread()
    assert (parked.state, parked.live, parked.turn_count) == (ThreadState.PARKED, None, 1)
    states = {each.state for each in await given.store.generations(thread.ref)}
    assert states == {GenerationState.RETIRED}
    assert len(await given.store.retired([HERE], retired_seconds=0)) == 2
    assert await given.store.threads_to_park("embedded", idle_seconds=0) == ()
    assert await given.trail(thread.ref) == [(AuditAction.PARKED, "")]


async def test_only_an_open_thread_without_an_open_turn_is_parked(given: StoreUnderTest) -> None:
    thread = await given.ready()
    taken = await given.submit()
    with pytest.raises(ThreadConflict):
        await given.store.park(taken.lease)
    usurper = await given.usurp(taken.lease)
    with pytest.raises(ThreadConflict):
        await given.store.park(taken.lease)
    await close(given)
    with pytest.raises(ThreadConflict):
        await given.store.park(usurper)

    assert await given.trail(thread.ref) == [(AuditAction.CLOSED, "completed")]


async def test_nothing_has_been_idle_or_closed_for_the_longest_time_that_can_be_set(
    given: StoreUnderTest,
) -> None:
    await closed_thread(given)
    await given.ready(thread_key(scope="p2"))
    longest, here = HUNDRED_YEARS_SECONDS, [HERE]

    assert await given.store.threads_to_clear(here, closed_seconds=longest) == ()
    assert await given.store.idle_scopes("embedded", idle_seconds=longest) == ()
    assert await given.store.threads_to_park("embedded", idle_seconds=longest) == ()

"""Conversations that are no longer in use are deleted, once it is time and nobody needs them."""

import asyncio
from dataclasses import replace

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.application.care.thread_care import ThreadCare
from dadm.application.care.thread_erasing import Erased
from dadm.application.endings.retired_cleanup import LOOK_SECONDS, PAUSE_SECONDS, RetiredCleanup
from dadm.domain.errors import (
    BackendMisconfigured,
    BackendUnavailable,
    ConversationBusy,
    OutcomeUnknown,
    StoreUnavailable,
)
from dadm.domain.thread import BackendIdentity, GenerationReason, GenerationState, ThreadRef
from dadm.ports.observer import ConversationDeleted, DeletionTrouble
from tests.unit.application.stage import LIMITS, Replica, Stage
from tests.unit.application.test_healing import LosingAppends, held, transcript, with_long_thread

REF = ThreadRef(1)
RETIRED_SECONDS = 1000.0
KEPT = replace(LIMITS, retired_seconds=RETIRED_SECONDS)
LIVE, RETIRED, ERASED = GenerationState.LIVE, GenerationState.RETIRED, GenerationState.ERASED


async def janitor(stage: Stage) -> tuple[RetiredCleanup, Replica]:
    replica = await stage.replica(limits=KEPT)
    return RetiredCleanup(replica.world), replica


async def rebuilt(stage: Stage, count: int = 1) -> Replica:
    """Take a turn before and after each of some rebuilds."""
    replica = await stage.replica()
    await replica.ask("t0")
    for number in range(count):
        await ThreadCare(replica.world).rebuilding.rebuild(REF)
        await replica.ask(f"t{number + 1}")
    return replica


async def test_retired_conversation_is_deleted_with_its_items_and_runs_and_no_other(
    keeping: Stage,
) -> None:
    replica = await rebuilt(keeping)
    old, live = keeping.backend.conversation_ids
    await asyncio.sleep(RETIRED_SECONDS)
    cleanup, told = await janitor(keeping)

    assert await cleanup.delete_due() == 1

    assert keeping.backend.conversation_ids == (live,)
    assert await keeping.states() == [ERASED, LIVE]
    assert told.told(ConversationDeleted) == [
        ConversationDeleted(
            backend="scripted",
            thread_id=old,
            deleted_items=2,
            deleted_responses=1,
            unreachable=(),
        )
    ]
    assert await cleanup.delete_due() == 0
    found = await keeping.store.find_thread(old)
    assert found is not None, "its old name still finds the thread"
    assert (await replica.ask("t9")).thread_id == live
    assert await held(keeping) == await transcript(keeping)


async def test_conversation_stays_until_it_has_been_retired_for_long_enough(
    keeping: Stage,
) -> None:
    await rebuilt(keeping)
    cleanup, _ = await janitor(keeping)
    await asyncio.sleep(RETIRED_SECONDS - 10)

    assert await cleanup.delete_due() == 0
    assert keeping.called("erase") == 0
    await asyncio.sleep(10)
    assert await cleanup.delete_due() == 1


async def test_items_of_a_healed_thread_are_spared_in_the_conversation_it_healed_from(
    keeping: Stage,
) -> None:
    backend = LosingAppends()
    replica = await with_long_thread(keeping, backend)
    backend.lost = ["", "before"]
    await replica.ask("last")
    for arrive in backend.late:
        arrive()
    _, quarry, live = await keeping.generations()
    await asyncio.sleep(RETIRED_SECONDS)
    cleanup, told = await janitor(keeping)

    assert await cleanup.delete_due() == 2

    assert await keeping.states() == [ERASED, ERASED, LIVE]
    assert not await backend.exists(quarry.conversation_id)
    assert await held(keeping) == await transcript(keeping)
    # What arrived late is held by nobody else.
    assert told.told(ConversationDeleted)[0].deleted_items == 20
    answer = await replica.ask("one more")
    assert answer.thread_id == live.conversation_id
    spared = {each.item_id async for each in backend.messages(live.conversation_id)}
    done = await ThreadCare(replica.world).erasing.erase(REF)
    assert isinstance(done, Erased)
    assert not spared & set(backend._conversations._items), "it goes with the thread"


async def test_where_nothing_can_be_shared_the_live_conversation_is_not_read(
    keeping: Stage,
) -> None:
    backend = LosingAppends()
    backend.links_items = False
    keeping.use(backend)
    await rebuilt(keeping)
    await asyncio.sleep(RETIRED_SECONDS)
    cleanup, _ = await janitor(keeping)
    reads = keeping.called("messages")

    assert await cleanup.delete_due() == 1

    assert keeping.called("messages") == reads


async def test_live_conversation_that_is_lost_spares_nothing_once_that_is_sure(
    keeping: Stage,
) -> None:
    await rebuilt(keeping)
    await asyncio.sleep(RETIRED_SECONDS)
    keeping.backend.lose(keeping.backend.conversation_ids[-1])
    cleanup, _ = await janitor(keeping)

    assert await cleanup.delete_due() == 1

    assert keeping.called("exists") == 1
    assert keeping.backend.conversation_ids == ()


@pytest.mark.parametrize("is_held", [True, False])
async def test_what_may_be_a_quarry_is_deleted_only_while_nobody_builds(
    keeping: Stage, is_held: bool
) -> None:
    await rebuilt(keeping)
    await asyncio.sleep(RETIRED_SECONDS)
    building = await keeping.replica()
    arrived, _ = building.store.hold_next("note_copied")
    keeping.let_run(ThreadCare(building.world).rebuilding.rebuild(REF))
    await arrived.wait()
    if not is_held:
        await building.crash()
        await asyncio.sleep(LIMITS.lease_seconds)
    cleanup, _ = await janitor(keeping)

    assert await cleanup.delete_due() == (0 if is_held else 1)

    assert keeping.called("erase") == (0 if is_held else 1)


async def test_what_was_opened_for_a_thread_that_is_erased_by_now_is_deleted(
    keeping: Stage,
) -> None:
    replica = await rebuilt(keeping)
    await ThreadCare(replica.world).erasing.erase(REF)
    await keeping.store.note_conversation(
        REF,
        identity=keeping.backend.identity,
        conversation_id=await keeping.backend.open(labels={}),
        reason=GenerationReason.LOST,
        opened_from=0,
        opened_to=0,
    )
    await asyncio.sleep(RETIRED_SECONDS)
    cleanup, _ = await janitor(keeping)

    assert await cleanup.delete_due() == 1

    assert keeping.backend.conversation_ids == ()


async def test_conversations_of_backends_that_are_not_reached_wait(keeping: Stage) -> None:
    await rebuilt(keeping)
    await asyncio.sleep(RETIRED_SECONDS)
    elsewhere = ScriptedBackend(
        keeps_conversations=True, identity=BackendIdentity(adapter="scripted", account="other")
    )
    keeping.backends.default = elsewhere
    keeping.backends.add(elsewhere)
    keeping.backends.known.pop(keeping.backend.identity)
    cleanup, told = await janitor(keeping)

    assert await cleanup.delete_due() == 0
    assert not elsewhere.calls
    assert not told.told(DeletionTrouble)
    keeping.backends.add(keeping.backend)
    assert await cleanup.delete_due() == 1


@pytest.mark.parametrize(
    "error",
    [BackendUnavailable("HTTP 429"), OutcomeUnknown("Cut."), BackendMisconfigured("Wrong key.")],
    ids=repr,
)
async def test_backend_that_fails_is_left_alone_for_longer_each_time_and_told_of_once(
    keeping: Stage, error: Exception
) -> None:
    await rebuilt(keeping, 2)
    await asyncio.sleep(RETIRED_SECONDS)
    cleanup, told = await janitor(keeping)
    for _ in range(3):
        keeping.backend.fail("erase", error)  # type: ignore[arg-type]
    stop = asyncio.Event()
    running = keeping.begin(cleanup.run(stop))

    await asyncio.sleep(2 * 3600)
    stop.set()
    await running

    assert await keeping.states() == [ERASED, ERASED, LIVE]
    trouble = told.told(DeletionTrouble)
    assert [each.is_over for each in trouble] == [False, True]
    assert trouble[0].reason == str(error)
    assert keeping.called("erase") == 5


async def test_conversation_that_cannot_be_deleted_does_not_keep_others_waiting(
    keeping: Stage,
) -> None:
    await rebuilt(keeping, 3)
    await asyncio.sleep(RETIRED_SECONDS)
    cleanup, told = await janitor(keeping)
    keeping.backend.fail("erase", ConversationBusy("A run holds it."))

    assert await cleanup.delete_due() == 2

    assert await keeping.states() == [RETIRED, ERASED, ERASED, LIVE]
    assert not told.told(DeletionTrouble)
    assert await cleanup.delete_due() == 0
    await asyncio.sleep(3600)
    assert await cleanup.delete_due() == 1


async def test_replicas_beside_each_other_delete_each_conversation_once(keeping: Stage) -> None:
    await rebuilt(keeping, 5)
    await asyncio.sleep(RETIRED_SECONDS)
    stop = asyncio.Event()
    janitors = [await janitor(keeping) for _ in range(3)]
    running = [keeping.begin(cleanup.run(stop)) for cleanup, _ in janitors]

    await asyncio.sleep(2 * LOOK_SECONDS)
    stop.set()
    await asyncio.gather(*running)

    assert await keeping.states() == [ERASED] * 5 + [LIVE]
    names = {event.thread_id for _, told in janitors for event in told.told(ConversationDeleted)}
    assert len(names) == 5


@pytest.mark.parametrize("point", ["generations", "response_ids", "note_erased"])
async def test_beside_an_erasure_of_the_thread_everything_is_deleted_once(
    keeping: Stage, point: str
) -> None:
    replica = await rebuilt(keeping, 2)
    await asyncio.sleep(RETIRED_SECONDS)
    cleanup, janitors = await janitor(keeping)
    arrived, let_go = janitors.store.hold_next(point)
    deleting = keeping.begin(cleanup.delete_due())
    await arrived.wait()

    done = await ThreadCare(replica.world).erasing.erase(REF)
    let_go.set()
    await deleting

    assert isinstance(done, Erased)
    assert await keeping.states() == [ERASED] * 3
    assert keeping.backend.conversation_ids == ()
    assert done.receipt == await keeping.store.receipt(REF)
    if point == "generations":
        assert keeping.called("erase") == 3, "what is gone by then is not deleted again"
        assert not janitors.told(ConversationDeleted)


async def test_interrupted_anywhere_it_goes_on_the_next_time(keeping: Stage) -> None:
    await rebuilt(keeping, 4)
    await asyncio.sleep(RETIRED_SECONDS)
    for point in ("retired", "generations", "response_ids", "note_erased"):
        cleanup, replica = await janitor(keeping)
        arrived, _ = replica.store.hold_next(point)
        stop = asyncio.Event()
        running = keeping.begin(cleanup.run(stop))
        await arrived.wait()
        stop.set()
        await running

    cleanup, _ = await janitor(keeping)
    assert await cleanup.delete_due() == 4

    assert await keeping.states() == [ERASED] * 4 + [LIVE]
    assert len(keeping.backend.conversation_ids) == 1


async def test_store_that_is_away_is_asked_again_later(keeping: Stage) -> None:
    await rebuilt(keeping)
    await asyncio.sleep(RETIRED_SECONDS)
    cleanup, replica = await janitor(keeping)
    replica.store.fail_next("retired", StoreUnavailable("Away."), times=4)
    stop = asyncio.Event()
    running = keeping.begin(cleanup.run(stop))

    await asyncio.sleep(2 * LOOK_SECONDS)
    stop.set()
    await running

    assert await keeping.states() == [ERASED, LIVE]


async def test_many_are_deleted_with_pauses_between_them(keeping: Stage) -> None:
    await rebuilt(keeping, 10)
    await asyncio.sleep(RETIRED_SECONDS)
    cleanup, _ = await janitor(keeping)
    begun_at = asyncio.get_running_loop().time()

    assert await cleanup.delete_due() == 10

    assert asyncio.get_running_loop().time() - begun_at >= 10 * PAUSE_SECONDS


async def test_nothing_is_deleted_where_all_are_to_be_kept(keeping: Stage) -> None:
    await rebuilt(keeping)
    await asyncio.sleep(80_000)
    replica = await keeping.replica(limits=replace(LIMITS, retired_seconds=0))

    await RetiredCleanup(replica.world).run(asyncio.Event())

    assert keeping.called("erase") == 0

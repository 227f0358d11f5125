"""Reading threads and transcripts: lists, pages, windows, counts."""

import pytest

from dadm.adapters.stores.memory import MemoryStore
from dadm.domain.thread import ThreadKey, ThreadRef, ThreadState
from dadm.domain.transcript import Exchange, Message, Window, fit_window
from dadm.domain.turn import TurnRef, TurnState
from dadm.ports.store_values import ThreadFilter
from tests.contracts.stores import (
    StoreUnderTest,
    granted,
    refusal,
    request,
    thread_key,
    turn_key,
)


async def test_an_empty_store_has_nothing_to_read(given: StoreUnderTest) -> None:
    nobody = ThreadRef(999)

    assert await given.store.find_thread("conv_1") is None
    assert await given.store.threads(ThreadFilter()) == ()
    assert await given.store.find_turn(TurnRef(999)) is None
    assert await given.store.turns(nobody) == ()
    assert await given.store.turns_in(frozenset(TurnState)) == ()
    assert await given.store.attempts(TurnRef(999)) == ()
    assert await given.store.exchanges(nobody) == ()
    assert await given.store.window(nobody, characters=100) == Window(exchanges=(), left_out=0)
    assert await given.store.close_scope(engine="e", tenant="", scope="s") == 0
    statistics = await given.store.statistics()
    assert sum(statistics.threads_by_state.values()) == 0
    assert sum(statistics.turns_by_state.values()) == 0
    assert (statistics.unreported_turns, statistics.retired_conversations) == (0, 0)
    assert statistics.oldest_open_seconds == 0
    assert (await given.store.now()).tzinfo is not None


async def test_time_goes_forwards(given: StoreUnderTest) -> None:
    assert await given.store.now() <= await given.store.now()


async def test_threads_are_listed_newest_first_in_pages(given: StoreUnderTest) -> None:
    made = [(await given.lease(thread_key(scope=f"p{number}"))).thread for number in range(5)]
    made.reverse()

    first = await given.store.threads(ThreadFilter(limit=2))
    rest = await given.store.threads(ThreadFilter(limit=10, before=first[-1].ref))

    assert list(first) == made[:2]
    assert list(rest) == made[2:]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ThreadFilter(scope="p2"), {"p2/analyst", "p2/critic"}),
        (ThreadFilter(assistant="critic"), {"p2/critic"}),
        (ThreadFilter(engine="http"), {"call/analyst"}),
        (ThreadFilter(tenant="acme"), {"p3/analyst"}),
        (ThreadFilter(tenant="", engine="embedded", scope="p1"), {"p1/analyst"}),
        (ThreadFilter(scope="p2", assistant="nobody"), set()),
        (ThreadFilter(states=frozenset({ThreadState.CLOSED})), {"p1/analyst"}),
        (ThreadFilter(states=frozenset()), set()),
        (
            ThreadFilter(states=frozenset({ThreadState.CLOSED, ThreadState.PARKED})),
            {"p1/analyst", "p2/critic"},
        ),
    ],
)
async def test_threads_are_filtered(
    given: StoreUnderTest, wanted: ThreadFilter, found: set[str]
) -> None:
    keys = [
        thread_key(scope="p1"),
        thread_key(scope="p2"),
        thread_key(scope="p2", assistant="critic"),
        thread_key(scope="p3", tenant="acme"),
        thread_key(scope="call", engine="http"),
    ]
    made = {key: (await given.lease(key)).thread for key in keys}
    await given.put(made[keys[0]].ref, ThreadState.CLOSED)
    await given.put(made[keys[2]].ref, ThreadState.PARKED)

    listed = await given.store.threads(wanted)

    assert {f"{thread.key.scope}/{thread.key.assistant}" for thread in listed} == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ThreadFilter(process_instance_id="p1"), ["element:p1:A:t1", "element:p1:A", "p1"]),
        (ThreadFilter(process_instance_id="p1", limit=1), ["element:p1:A:t1"]),
        (ThreadFilter(process_instance_id="p1", engine="http"), []),
        (ThreadFilter(process_instance_id="p10"), ["element:p10:A"]),
        (ThreadFilter(process_instance_id="business-key:p1"), ["business-key:p1"]),
        (ThreadFilter(process_instance_id="p1:A"), []),
        (ThreadFilter(process_instance_id="element:p1:A"), ["element:p1:A"]),
        (ThreadFilter(process_instance_id=""), []),
    ],
)
async def test_the_threads_of_an_instance_are_its_own_and_those_of_its_elements(
    given: StoreUnderTest, wanted: ThreadFilter, found: list[str]
) -> None:
    for scope in ("p1", "element:p1:A", "element:p1:A:t1", "element:p10:A", "business-key:p1"):
        await given.lease(thread_key(scope=scope))

    listed = await given.store.threads(wanted)

    assert [thread.key.scope for thread in listed] == found


async def test_a_thread_s_asked_turns_are_listed_with_their_texts(given: StoreUnderTest) -> None:
    ready = await given.ready()
    await given.complete("t1", prompt="One?", text="One.")
    taken = await given.submit("t2")
    await given.store.settle(taken.lease, taken.turn.ref, refusal())
    await given.submit("t3", prompt="Three?")
    await given.store.claim(request("t4"))

    turns = await given.store.turns(ready.ref)

    assert [turn.sequence for turn in turns] == [1, 2, 3]
    assert [turn.state for turn in turns] == [
        TurnState.COMPLETED,
        TurnState.REFUSED,
        TurnState.SUBMITTED,
    ]
    assert [(turn.prompt, turn.answer) for turn in turns] == [
        ("One?", "One."),
        ("t2?", None),
        ("Three?", None),
    ]
    assert await given.store.turns(ready.ref, after_sequence=1, limit=1) == turns[1:2]
    assert [await given.turn(turn.ref) for turn in turns] == list(turns)


async def test_exchanges_are_the_completed_turns_in_pages(given: StoreUnderTest) -> None:
    ready = await given.ready()
    await given.complete("t1")
    taken = await given.submit("t2")
    await given.store.settle(taken.lease, taken.turn.ref, refusal())
    await given.complete("t3")
    await given.submit("t4")

    exchanges = await given.store.exchanges(ready.ref)

    assert exchanges == (
        Exchange(sequence=1, prompt="t1?", answer="t1!"),
        Exchange(sequence=3, prompt="t3?", answer="t3!"),
    )
    assert await given.store.exchanges(ready.ref, after_sequence=1) == exchanges[1:]
    assert await given.store.exchanges(ready.ref, limit=1) == exchanges[:1]


async def test_a_transcript_holds_nothing_of_another_thread(given: StoreUnderTest) -> None:
    keys = [thread_key(scope="p1"), thread_key(scope="p2")]
    threads = [await given.ready(key) for key in keys]
    for number in range(3):
        for key in keys:
            await given.complete(f"t{number}", key=key, prompt=f"{key.scope} asks {number}")

    for key, thread in zip(keys, threads, strict=True):
        prompts = [exchange.prompt for exchange in await given.store.exchanges(thread.ref)]
        assert prompts == [f"{key.scope} asks {number}" for number in range(3)]


def characters(message: Message) -> int:
    return len(message.text)


@pytest.mark.parametrize("budget", [0, 5, 19, 20, 21, 39, 40, 60, 75, 100, 1000, 4000])
async def test_a_window_is_the_first_exchange_and_the_latest_that_fit(
    given: StoreUnderTest, budget: int
) -> None:
    ready = await given.ready()
    for number in range(9):
        size = 10 if number != 4 else 30
        await given.complete(f"t{number}", prompt="é" * size, text=f"{number:010d}")
    await given.submit("open")

    exchanges = await given.store.exchanges(ready.ref)
    window = await given.store.window(ready.ref, characters=budget)

    assert window == fit_window(exchanges, budget=budget, measure=characters)


async def test_a_window_over_a_long_thread_is_as_exact(given: StoreUnderTest) -> None:
    ready = await given.ready()
    for number in range(70):
        await given.complete(f"t{number}", prompt="p", text="a" * (number % 7))
    exchanges = await given.store.exchanges(ready.ref)

    for budget in (10, 150, 10_000):
        window = await given.store.window(ready.ref, characters=budget)
        assert window == fit_window(exchanges, budget=budget, measure=characters)


async def test_a_scope_closes_its_open_and_parked_threads(given: StoreUnderTest) -> None:
    keys = {
        "open": thread_key(),
        "parked": thread_key(assistant="parked"),
        "erasing": thread_key(assistant="erasing"),
        "other tenant": thread_key(tenant="acme"),
        "other engine": thread_key(engine="http"),
        "other scope": thread_key(scope="p2"),
    }
    for key in keys.values():
        await given.ready(key)
    await given.put((await given.thread(keys["parked"])).ref, ThreadState.PARKED)
    await given.put((await given.thread(keys["erasing"])).ref, ThreadState.ERASING)

    for expected in (2, 0):
        closed = await given.store.close_scope(engine="embedded", tenant="", scope="p1")
        assert closed == expected

    async def state(key: ThreadKey) -> ThreadState:
        return (await given.thread(key)).state

    assert {name: await state(key) for name, key in keys.items()} == {
        "open": ThreadState.CLOSED,
        "parked": ThreadState.CLOSED,
        "erasing": ThreadState.ERASING,
        "other tenant": ThreadState.OPEN,
        "other engine": ThreadState.OPEN,
        "other scope": ThreadState.OPEN,
    }


async def test_statistics_count_what_there_is(given: StoreUnderTest) -> None:
    for scope in ("p1", "p2", "p3"):
        await given.ready(thread_key(scope=scope))
    await given.complete("t1")
    reported = await given.complete("t2")
    await given.store.mark_reported(reported.key)
    taken = await given.submit("t3")
    await given.store.settle(taken.lease, taken.turn.ref, refusal())
    await given.submit("t4")
    aside = await given.submit("t5", key=thread_key(scope="p2"))
    await given.store.set_aside(aside.lease, aside.turn.ref, error_code="x", error_message="y")
    granted(
        await given.store.claim(
            request("t6", thread=thread_key(scope="p3"), turn=turn_key("t6", scope="p3"))
        )
    )
    await given.store.close_scope(engine="embedded", tenant="", scope="p3")

    statistics = await given.store.statistics()

    assert {state: count for state, count in statistics.threads_by_state.items() if count} == {
        ThreadState.OPEN: 2,
        ThreadState.CLOSED: 1,
    }
    assert {state: count for state, count in statistics.turns_by_state.items() if count} == {
        TurnState.COMPLETED: 2,
        TurnState.REFUSED: 1,
        TurnState.SUBMITTED: 1,
        TurnState.UNKNOWN: 1,
        TurnState.PLANNED: 1,
    }
    assert (statistics.unreported_turns, statistics.retired_conversations) == (2, 0)
    assert 0 <= statistics.oldest_open_seconds < 60


async def test_turns_are_found_by_their_states_newest_first(given: StoreUnderTest) -> None:
    other = thread_key(scope="p2")
    await given.ready()
    await given.ready(other)
    answered = await given.complete("t1")
    refused = await given.submit("t2")
    await given.store.settle(refused.lease, refused.turn.ref, refusal())
    planned = granted(await given.store.claim(request("t3"))).turn
    submitted = (await given.submit("t4", key=other)).turn
    store = given.store

    async def found(*states: TurnState, limit: int = 100, **more: ThreadRef) -> list[TurnRef]:
        turns = await store.turns_in(frozenset(states), limit=limit, **more)
        assert all(turn.state in states for turn in turns)
        return [turn.ref for turn in turns]

    assert await found(*TurnState) == [
        submitted.ref,
        planned.ref,
        refused.turn.ref,
        answered.ref,
    ]
    assert await found(TurnState.SUBMITTED, TurnState.REFUSED) == [submitted.ref, refused.turn.ref]
    assert await found(*TurnState, limit=2) == [submitted.ref, planned.ref]
    assert await found(*TurnState, thread=submitted.thread) == [submitted.ref]
    assert await found(TurnState.COMPLETED, thread=submitted.thread) == []
    assert await found() == []
    assert await store.turns_in({TurnState.SUBMITTED}) == (submitted,)


async def test_open_turns_of_closed_threads_are_found_the_first_first(
    given: StoreUnderTest,
) -> None:
    keys = [thread_key(scope=scope) for scope in ("p1", "p2", "p3", "p4")]
    for key in keys:
        await given.ready(key)
    taken = [await given.submit(f"t{number}", key=key) for number, key in enumerate(keys)]
    one, two, three, _ = taken
    await given.store.set_aside(one.lease, one.turn.ref, error_code="x", error_message="y")
    await given.store.settle(three.lease, three.turn.ref, refusal())
    assert await given.store.open_turns_of_closed() == ()

    for scope in ("p3", "p2", "p1"):
        await given.store.close_scope(engine="embedded", tenant="", scope=scope)

    found = await given.store.open_turns_of_closed()
    assert [turn.ref for turn in found] == [one.turn.ref, two.turn.ref]
    assert [turn.state for turn in found] == [TurnState.UNKNOWN, TurnState.SUBMITTED]
    assert found[1] == two.turn
    assert await given.store.open_turns_of_closed(limit=1) == found[:1]


async def test_a_store_says_what_may_undo_its_commits(given: StoreUnderTest) -> None:
    doubts = await given.store.doubts()

    # The databases of these tests keep what they commit; memory keeps nothing.
    is_in_memory = isinstance(given.store, MemoryStore)
    assert bool(doubts) == is_in_memory

"""Many deliveries at once: one of them has the thread, and each turn is there once."""

import asyncio

from dadm.ports.store_values import Granted, Queued, Recorded, Submitted
from tests.contracts.stores import (
    StoreUnderTest,
    answer,
    request,
    submission,
    thread_key,
    turn_key,
)


async def test_of_many_deliveries_of_one_task_one_is_submitted(given: StoreUnderTest) -> None:
    await given.ready()

    claims = await asyncio.gather(
        *(
            given.store.claim(request("t1", owner=f"owner {number}", asks=submission()))
            for number in range(20)
        )
    )

    (winner,) = [claim for claim in claims if isinstance(claim, Submitted)]
    others = [claim for claim in claims if isinstance(claim, Queued)]
    assert len(others) == 19
    assert {claim.turn for claim in others} == {winner.turn.ref}
    assert len(await given.store.attempts(winner.turn.ref)) == 1


async def test_many_first_claims_of_one_thread_open_it_once(given: StoreUnderTest) -> None:
    claims = await asyncio.gather(
        *(given.store.claim(request(f"t{number}")) for number in range(20))
    )

    assert sum(isinstance(claim, Granted) for claim in claims) == 1
    tickets = [claim.ticket for claim in claims if isinstance(claim, Queued)]
    assert len(set(tickets)) == 19
    assert max(tickets) <= 20


async def test_one_task_sent_to_two_threads_at_once_has_one_turn(given: StoreUnderTest) -> None:
    claims = await asyncio.gather(
        *(
            given.store.claim(
                request("t1", owner=f"owner {number}", thread=thread_key(assistant=f"a{number}"))
            )
            for number in range(10)
        )
    )

    threads = {claim.turn.thread for claim in claims if isinstance(claim, Granted)}
    turns = {claim.turn if isinstance(claim, Queued) else claim.turn.ref for claim in claims}
    assert (len(threads), len(turns)) == (1, 1)


async def test_threads_of_one_scope_are_opened_at_once(given: StoreUnderTest) -> None:
    granted = await asyncio.gather(
        *(given.lease(thread_key(assistant=f"a{number}")) for number in range(10))
    )

    assert len({taken.thread.ref for taken in granted}) == 10


async def test_whole_turns_on_many_threads_at_once_all_come_to_their_end(
    given: StoreUnderTest,
) -> None:
    async def converse(scope: str) -> list[int]:
        key = thread_key(scope=scope)
        await given.ready(key)
        sequences = []
        for number in range(5):
            claim = await given.store.claim(
                request(
                    thread=key,
                    turn=turn_key(f"t{number}", scope=scope),
                    owner=f"{scope} {number}",
                    asks=submission(after=number),
                )
            )
            assert isinstance(claim, Submitted)
            await given.store.note_response(claim.attempt.ref, f"resp_{scope}_{number}")
            turn = await given.store.settle(
                claim.lease, claim.turn.ref, answer(f"{scope} {number}")
            )
            await given.store.mark_reported(turn.key)
            sequences.append(turn.sequence)
        return sequences

    scopes = [f"p{number}" for number in range(16)]
    assert await asyncio.gather(*(converse(scope) for scope in scopes)) == [[1, 2, 3, 4, 5]] * 16

    for scope in scopes:
        thread = await given.thread(thread_key(scope=scope))
        texts = [exchange.answer for exchange in await given.store.exchanges(thread.ref)]
        assert texts == [f"{scope} {number}" for number in range(5)]


async def test_many_settlements_of_one_turn_agree(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()

    turns = await asyncio.gather(
        *(given.store.settle(taken.lease, taken.turn.ref, answer("One.")) for _ in range(5))
    )

    assert len({turn.answer for turn in turns}) == 1
    assert isinstance(await given.store.claim(request()), Recorded)
    assert (await given.thread()).turn_count == 1

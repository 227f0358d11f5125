"""Each completed turn's link stands for it and for all before it on its thread."""

import pytest

from dadm.domain.chain import CHAIN_START, next_link
from dadm.domain.turn import Turn
from tests.contracts.stores import StoreUnderTest, answer, refusal, submission, thread_key

TEXTS = (
    ("Who decides?", "Ada."),
    ("", ""),
    ("déjà vu 😀\n2\n", "“Ja”\n\n"),
    ("a\\b'c", "%s {} $1 \t"),
)


async def transcript(given: StoreUnderTest) -> list[Turn]:
    thread = await given.thread()
    return list(await given.store.turns(thread.ref))


def follows(before: str, turn: Turn) -> bool:
    return turn.link == next_link(
        before, sequence=turn.sequence, prompt=turn.prompt, answer=turn.answer or ""
    )


async def test_each_link_is_made_of_the_one_before_and_its_own_turn(given: StoreUnderTest) -> None:
    ready = await given.ready()
    assert ready.chain == CHAIN_START
    expected = CHAIN_START
    for number, (prompt, text) in enumerate(TEXTS, start=1):
        asks = submission(prompt, after=number - 1)
        taken = await given.ask(f"t{number}", asks)
        assert (taken.thread.chain, taken.turn.link) == (expected, "")

        settled = await given.store.settle(taken.lease, taken.turn.ref, answer(text))

        expected = next_link(expected, sequence=number, prompt=prompt, answer=text)
        assert settled.link == expected
        assert (await given.thread()).chain == expected
    assert [turn.link for turn in await transcript(given)][-1] == expected


async def test_texts_are_chained_as_they_are_kept(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.ask("t1", submission("a\x00b"))

    settled = await given.store.settle(taken.lease, taken.turn.ref, answer("cut \ud83d"))

    assert (settled.prompt, settled.answer) == (
        "a\N{REPLACEMENT CHARACTER}b",
        "cut \N{REPLACEMENT CHARACTER}",
    )
    assert follows(CHAIN_START, settled)


async def test_turns_without_an_answer_are_left_out_of_the_chain(given: StoreUnderTest) -> None:
    await given.ready()
    first = await given.complete("t1")
    refused = await given.submit("t2")
    ended = await given.store.settle(refused.lease, refused.turn.ref, refusal())

    third = await given.complete("t3")

    assert ended.link == ""
    assert (first.sequence, third.sequence) == (1, 3)
    assert follows(first.link, third)
    assert (await given.thread()).chain == third.link


async def test_a_turn_that_is_asked_again_is_chained_with_what_was_answered(
    given: StoreUnderTest,
) -> None:
    await given.ready()
    taken = await given.submit(prompt="First wording?")
    await given.store.replan(
        taken.lease, taken.attempt.ref, error_code="x", error_message="y", keep_lease=False
    )

    settled = await given.complete(prompt="Second wording?")

    assert settled.prompt == "Second wording?"
    assert follows(CHAIN_START, settled)


async def test_the_same_settlement_again_adds_no_second_link(given: StoreUnderTest) -> None:
    await given.ready()
    taken = await given.submit()
    settled = await given.store.settle(taken.lease, taken.turn.ref, answer("A"))

    again = await given.store.settle(taken.lease, taken.turn.ref, answer("A"))

    assert again == settled
    assert (await given.thread()).chain == settled.link


async def test_every_thread_has_a_chain_of_its_own(given: StoreUnderTest) -> None:
    other = thread_key(scope="p2")
    await given.ready()
    await given.ready(other)

    links = [
        (await given.complete("t1", prompt="Q", text="A")).link,
        (await given.complete("t1", key=other, prompt="Q", text="A")).link,
        (await given.complete("t2", prompt="Q", text="A")).link,
    ]

    assert links[0] == links[1] != links[2]


@pytest.mark.parametrize("is_claimed", [True, False])
async def test_the_chain_is_seen_wherever_a_thread_is_read(
    given: StoreUnderTest, is_claimed: bool
) -> None:
    ready = await given.ready()
    link = (await given.complete("t1")).link

    found = await given.store.find_thread(ready.thread_id or "")
    assert found is not None
    assert found.chain == link
    if is_claimed:
        assert (await given.submit("t2")).thread.chain == link
    else:
        assert (await given.lease()).thread.chain == link

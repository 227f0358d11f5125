"""Both answers to each question that the API's documents leave open."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import Response

from dadm.adapters.simulators.openai import (
    Answer,
    Appended,
    Behaviour,
    Echo,
    Held,
    OnDisconnect,
    Scripted,
    SimulatedOpenAI,
    UnknownAnswer,
    alternatives,
)
from tests.adapters.simulators.conftest import HandClock
from tests.adapters.simulators.faults_under_test import until
from tests.adapters.simulators.short_forms import (
    MODEL,
    ask,
    conversation,
    id_of,
    reference,
    soon,
    texts,
    user,
)

EITHER = pytest.mark.parametrize("answer", [True, False])
AFTERWARDS = {
    Appended.NOTHING: ["before"],
    Appended.INPUT: ["before", "asked"],
    Appended.INPUT_AND_OUTPUT: ["before", "asked", "two words"],
}


@contextmanager
def refused_unless(allowed: bool, *errors: type[Exception]) -> Iterator[None]:
    """Expect an error of the API, except where it is allowed."""
    if allowed:
        yield
        return
    with pytest.raises(errors or (BadRequestError,)):
        yield


async def staged(client: AsyncOpenAI, simulated: SimulatedOpenAI, text: str) -> str:
    """Have an id minted for a message, in a conversation that only serves for that."""
    return str(simulated.items_of(await conversation(client, user(text)))[0]["id"])


async def ask_with(client: AsyncOpenAI, on: str, item_id: str) -> Response:
    return await client.responses.create(
        model=MODEL, conversation=on, input=[reference(item_id)], background=False
    )


async def ended(simulated: SimulatedOpenAI, response_id: str) -> None:
    async with asyncio.timeout(10):
        await simulated.state.responses[response_id].events.wait_closed()


@EITHER
async def test_1_a_referenced_input_keeps_its_id(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(referenced_input_keeps_id=answer)
    on = await conversation(client)
    item_id = await staged(client, simulated, "hello")

    made = await ask_with(client, on, item_id)

    assert made.output_text == "I was told: hello"
    assert (simulated.items_of(on)[0]["id"] == item_id) is answer
    assert (await texts(client, on))[0] == "hello"


@EITHER
async def test_2_a_repeated_reference_is_refused_or_answered_again(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(repeated_reference_refused=answer)
    on = await conversation(client)
    item_id = await staged(client, simulated, "hello")
    await ask_with(client, on, item_id)

    with refused_unless(not answer):
        await ask_with(client, on, item_id)

    told = "I was told: hello"
    assert await texts(client, on) == ["hello", told] + ([] if answer else [told])


@pytest.mark.parametrize("answer", list(Appended))
async def test_3_what_an_incomplete_response_leaves(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: Appended
) -> None:
    simulated.switch(incomplete_appends=answer)
    simulated.responder = Scripted([Answer(text="two words", incomplete="content_filter")])
    on = await conversation(client, user("before"))

    await ask(client, on, "asked")

    assert await texts(client, on) == AFTERWARDS[answer]


@pytest.mark.parametrize("answer", list(Appended))
async def test_3_what_a_failed_response_leaves(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: Appended
) -> None:
    simulated.switch(failed_appends=answer)
    simulated.responder = Scripted([Answer(error_code="server_error")])
    on = await conversation(client, user("before"))

    await ask(client, on, "asked")

    assert await texts(client, on) == AFTERWARDS[answer][:2]


@pytest.mark.parametrize("answer", list(Appended))
async def test_3_what_a_cancelled_response_leaves(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: Appended
) -> None:
    simulated.switch(cancelled_appends=answer)
    simulated.responder = held = Held(Echo())
    on = await conversation(client, user("before"))
    made = await client.responses.create(
        model=MODEL, conversation=on, input="asked", background=True
    )
    await soon(held.asked())

    await client.responses.cancel(made.id)

    # It was cancelled before the model said a word.
    assert await texts(client, on) == AFTERWARDS[answer][:2]


@pytest.mark.parametrize("answer", list(Appended))
async def test_3_what_an_unstored_response_leaves(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: Appended
) -> None:
    simulated.switch(unstored_appends=answer)
    simulated.responder = Scripted(["two words"])
    on = await conversation(client, user("before"))

    await client.responses.create(model=MODEL, conversation=on, input="asked", store=False)

    assert await texts(client, on) == AFTERWARDS[answer]


@EITHER
async def test_4_listing_while_locked(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(items_listed_while_locked=answer)
    on = await conversation(client, user("before"))
    item_id = simulated.items_of(on)[0]["id"]
    simulated.hold_lock(on)

    with refused_unless(answer):
        await client.conversations.items.list(on)
    with refused_unless(answer):
        await client.conversations.items.retrieve(item_id, conversation_id=on)


@EITHER
async def test_4_changing_items_while_locked(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(items_changed_while_locked=answer)
    on = await conversation(client, user("before"))
    item_id = simulated.items_of(on)[0]["id"]
    simulated.hold_lock(on)

    with refused_unless(answer):
        await client.conversations.items.create(on, items=[user("added")])
    with refused_unless(answer):
        await client.conversations.items.delete(item_id, conversation_id=on)

    assert await texts(client, on) == (["added"] if answer else ["before"])


@EITHER
async def test_4_updating_while_locked(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(metadata_updated_while_locked=answer)
    on = await conversation(client)
    simulated.hold_lock(on)

    with refused_unless(answer):
        await client.conversations.update(on, metadata={"a": "1"})

    simulated.release_lock(on)
    assert (await client.conversations.retrieve(on)).metadata == ({"a": "1"} if answer else {})


@EITHER
async def test_5_the_ids_of_the_output_are_those_of_the_items(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(output_ids_are_item_ids=answer)
    simulated.responder = Scripted([Answer(text="so", reasoning="because"), "go on"])
    on = await conversation(client)

    made = await ask(client, on, "why")

    ids = [item["id"] for item in simulated.items_of(on)]
    assert ([id_of(item) for item in made.output] == ids[1:]) is answer
    assert (await ask(client, on, "and?")).status == "completed"


@EITHER
async def test_5_the_last_output_is_the_last_item(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(last_output_is_last_item=answer)
    on = await conversation(client)

    made = await ask(client, on, "hello")

    last = (await client.conversations.items.list(on, limit=1)).data[0]
    assert (id_of(last) == id_of(made.output[-1])) is answer
    assert (await ask(client, on, "and on")).status == "completed"


@EITHER
async def test_6_rejoining_after_the_end(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(reattach_after_end=answer)
    stream = await client.responses.create(model=MODEL, input="x", stream=True, background=True)
    events = [event async for event in stream]
    response_id = events[-1].response.id  # type: ignore[union-attr]  # the last one has it

    with refused_unless(answer):
        again = await client.responses.retrieve(response_id, stream=True)
        assert [event async for event in again] == events


async def test_6_rejoining_ends_some_time_after_the_end(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, clock: HandClock
) -> None:
    simulated.switch(reattach_seconds=300)
    stream = await client.responses.create(model=MODEL, input="x", stream=True, background=True)
    last = [event async for event in stream][-1]
    response_id = last.response.id  # type: ignore[union-attr]

    clock.shows += 299
    await client.responses.retrieve(response_id, stream=True)
    clock.shows += 1
    with pytest.raises(BadRequestError):
        await client.responses.retrieve(response_id, stream=True)
    assert (await client.responses.retrieve(response_id)).status == "completed"


@EITHER
async def test_6_rejoining_what_was_not_created_as_a_stream(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(reattach_needs_streamed_creation=answer)
    made = await client.responses.create(model=MODEL, input="x", background=True)

    with refused_unless(not answer):
        stream = await client.responses.retrieve(made.id, stream=True)
        assert [event.type async for event in stream][-1] == "response.completed"


LEFT_BEHIND = {
    OnDisconnect.GOES_ON: ("completed", ["asked", "I was told: asked"]),
    OnDisconnect.GOES_ON_UNSEEN: (None, ["asked", "I was told: asked"]),
    OnDisconnect.CANCELLED: ("cancelled", []),
    OnDisconnect.FORGOTTEN: (None, []),
}


@pytest.mark.parametrize("answer", list(OnDisconnect))
@pytest.mark.parametrize("case", ["unstreamed", "streamed", "background"])
async def test_6_what_is_left_when_the_caller_leaves(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: OnDisconnect, case: str
) -> None:
    simulated.switch(**{f"{case}_disconnect": answer})
    simulated.responder = held = Held(Echo())
    on = await conversation(client)

    if case == "unstreamed":
        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(ask(client, on, "asked"))
            await soon(held.asked())
            leaving.cancel()
    else:
        background = case == "background"
        stream = await client.responses.create(
            model=MODEL, conversation=on, input="asked", stream=True, background=background
        )
        await soon(held.asked())
        await stream.close()
    (response_id,) = simulated.state.responses
    run = simulated.state.responses[response_id]
    if answer is OnDisconnect.GOES_ON_UNSEEN:
        await until(lambda: not simulated.state.responses)
    if answer in {OnDisconnect.GOES_ON, OnDisconnect.GOES_ON_UNSEEN}:
        held.let_go()
    await soon(run.events.wait_closed())

    status, left = LEFT_BEHIND[answer]
    with refused_unless(status is not None, NotFoundError):
        assert (await client.responses.retrieve(response_id)).status == status
    assert await texts(client, on) == left
    assert simulated.state.conversation(on).locked_by is None


@EITHER
async def test_6_cancelling_without_background(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(foreground_cancel_allowed=answer)
    simulated.responder = held = Held(Echo())
    on = await conversation(client)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(ask(client, on, "x"))
        await soon(held.asked())
        (response_id,) = simulated.state.responses

        with refused_unless(answer):
            await client.responses.cancel(response_id)
        held.let_go()

    assert asked.result().status == ("cancelled" if answer else "completed")


@EITHER
async def test_7_input_is_optional_with_a_conversation(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(input_optional_with_conversation=answer)
    on = await conversation(client, user("already asked"))

    with refused_unless(answer):
        made = await client.responses.create(model=MODEL, conversation=on)
        assert made.output_text == "I was told: already asked"


@EITHER
async def test_7_an_update_merges_or_replaces(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(update_merges_metadata=answer)
    on = (await client.conversations.create(metadata={"a": "1", "b": "1"})).id

    updated = await client.conversations.update(on, metadata={"b": "2"})

    assert updated.metadata == ({"a": "1", "b": "2"} if answer else {"b": "2"})


@EITHER
async def test_7_compaction_in_a_conversation(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(compaction_in_conversation=answer)
    on = await conversation(client, user("long " * 1000), user("The owner is Ines."))

    with refused_unless(answer):
        made = await client.responses.create(
            model=MODEL,
            conversation=on,
            input="Who?",
            context_management=[{"type": "compaction", "compact_threshold": 1000}],
        )
        assert [item.type for item in made.output] == ["compaction", "message"]
        after = await ask(client, on, "And?")
        assert "The owner is Ines. | Who? | And?" in after.output_text
        assert after.usage is not None
        assert made.usage is not None
        assert after.usage.input_tokens > 100


@EITHER
async def test_8_items_of_a_deleted_conversation(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(items_outlive_conversation=answer)
    on, other = await conversation(client, user("kept?")), await conversation(client)
    item_id = simulated.items_of(on)[0]["id"]
    await client.conversations.delete(on)

    with refused_unless(answer, NotFoundError):
        await client.conversations.items.create(other, items=[reference(item_id)])
        assert await texts(client, other) == ["kept?"]


async def test_8_an_item_that_is_linked_elsewhere_outlives_its_first_conversation(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.switch(items_outlive_conversation=False)
    on, other = await conversation(client, user("kept")), await conversation(client)
    item_id = simulated.items_of(on)[0]["id"]
    await client.conversations.items.create(other, items=[reference(item_id)])

    await client.conversations.delete(on)

    assert await texts(client, other) == ["kept"]


@EITHER
async def test_8_removed_items(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(items_outlive_removal=answer)
    on = await conversation(client, user("kept?"))
    item_id = simulated.items_of(on)[0]["id"]
    await client.conversations.items.delete(item_id, conversation_id=on)

    with refused_unless(answer, NotFoundError):
        await client.conversations.items.create(on, items=[reference(item_id)])


@EITHER
async def test_8_responses_on_a_deleted_conversation(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(responses_outlive_conversation=answer)
    on, other = await conversation(client), await conversation(client)
    made, elsewhere = await ask(client, on, "x"), await ask(client, other, "y")
    await client.conversations.delete(on)

    with refused_unless(answer, NotFoundError):
        await client.responses.retrieve(made.id)
    assert (await client.responses.retrieve(elsewhere.id)).status == "completed"


@EITHER
async def test_8_items_of_a_deleted_response(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(items_outlive_response=answer)
    on = await conversation(client, user("before"))
    made = await ask(client, on, "x")

    await client.responses.delete(made.id)

    assert len(await texts(client, on)) == (3 if answer else 1)


@EITHER
async def test_9_a_repeated_idempotency_key(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, answer: bool
) -> None:
    simulated.switch(idempotency_key_honoured=answer)
    again = client.with_options(default_headers={"Idempotency-Key": "turn-1"})

    made = [(await again.conversations.create()).id for _ in range(2)]
    added = [
        id_of((await again.conversations.items.create(made[0], items=[user("x")])).data[0])
        for _ in range(2)
    ]
    asked = [(await ask(again, made[0], "y")).id for _ in range(2)]
    streamed = await again.responses.create(model=MODEL, input="z", stream=True)
    first = await soon(anext(streamed))

    assert (made[0] == made[1]) is answer
    assert (added[0] == added[1]) is answer
    assert (asked[0] == asked[1]) is answer
    assert (first.response.id == asked[0]) is answer  # type: ignore[union-attr]
    assert len(simulated.ledger.model_calls(made[0])) == (1 if answer else 2)


@EITHER
async def test_background_needs_store(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, clock: HandClock, answer: bool
) -> None:
    simulated.switch(background_needs_store=answer)

    with refused_unless(not answer):
        made = await client.responses.create(model=MODEL, input="x", background=True, store=False)
        await ended(simulated, made.id)
        assert (await client.responses.retrieve(made.id)).status == "completed"
        clock.shows += 600
        with pytest.raises(NotFoundError):
            await client.responses.retrieve(made.id)


def test_every_switch_has_its_other_answers() -> None:
    variants = alternatives(Behaviour())

    switches = {name.partition("=")[0] for name in variants}
    assert switches == {question.name for question in fields(Behaviour)}
    assert variants["reattach_after_end=false"] == Behaviour(reattach_after_end=False)
    assert variants["failed_appends=input"] == Behaviour(failed_appends=Appended.INPUT)
    assert Behaviour() not in variants.values()


@pytest.mark.parametrize(
    "answers",
    [
        {"no_such_switch": True},
        {"update_merges_metadata": "yes"},
        {"failed_appends": True},
        {"failed_appends": "everything"},
        {"streamed_disconnect": "nothing"},
        {"reattach_seconds": True},
        {"reattach_seconds": -1},
    ],
)
def test_a_wrong_answer_is_refused_and_changes_nothing(answers: dict[str, object]) -> None:
    simulated = SimulatedOpenAI()

    with pytest.raises(UnknownAnswer, match=next(iter(answers))):
        simulated.switch(**answers)

    assert simulated.behaviour == Behaviour()

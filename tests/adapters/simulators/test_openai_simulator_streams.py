"""Streamed responses, re-attaching to them, and callers who leave, through the official SDK."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from openai import APITimeoutError, AsyncOpenAI, AsyncStream, NotFoundError
from openai.types.responses import ResponseStreamEvent

from dadm.adapters.simulators.openai import (
    Answer,
    Echo,
    FunctionCall,
    Held,
    Scripted,
    SimulatedOpenAI,
)
from tests.adapters.simulators.conftest import caller_of
from tests.adapters.simulators.short_forms import MODEL, ask, conversation, soon, texts

SPOKEN = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]


@pytest.fixture
def held(simulated: SimulatedOpenAI) -> Held:
    held = Held(Scripted(["two words"] * 9))
    simulated.responder = held
    return held


def response_of(event: ResponseStreamEvent) -> str:
    """Give the id of the response that a first or last event carries."""
    return str(event.response.id)  # type: ignore[union-attr]  # only some of the events have one


async def streamed(
    client: AsyncOpenAI, on: str, *, background: bool
) -> AsyncStream[ResponseStreamEvent]:
    return await client.responses.create(
        model=MODEL, conversation=on, input="go", stream=True, background=background
    )


async def rest_of(stream: AsyncIterator[ResponseStreamEvent]) -> list[ResponseStreamEvent]:
    async with asyncio.timeout(10):
        return [event async for event in stream]


async def until_free(client: AsyncOpenAI, simulated: SimulatedOpenAI, on: str) -> None:
    """Wait until no response holds the lock any more."""
    async with asyncio.timeout(10):
        while simulated.state.conversation(on).locked_by is not None:
            await client.conversations.retrieve(on)


async def test_a_stream_tells_everything_in_order_and_ends_completed(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted(["two words"])
    on = await conversation(client)

    events = await rest_of(await streamed(client, on, background=False))

    kinds = [event.type for event in events]
    assert kinds == ["response.created", "response.in_progress", *SPOKEN, "response.completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert deltas == ["two", " words"]
    done = events[-1]
    assert done.type == "response.completed"
    assert done.response.output_text == "two words"
    assert done.response.usage is not None
    assert await texts(client, on) == ["go", "two words"]


async def test_a_background_stream_begins_queued(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted(["two words"])
    on = await conversation(client)

    events = await rest_of(await streamed(client, on, background=True))

    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert kinds[3:] == [*SPOKEN, "response.completed"]
    assert events[0].response.status == "queued"  # type: ignore[union-attr]


async def test_the_id_comes_in_the_first_event_before_the_model_has_answered(
    client: AsyncOpenAI, held: Held
) -> None:
    on = await conversation(client)

    stream = await streamed(client, on, background=True)
    first = await soon(anext(stream))

    await soon(held.asked())
    assert (await client.responses.retrieve(response_of(first))).status == "in_progress"
    held.let_go()
    assert (await rest_of(stream))[-1].type == "response.completed"


async def test_the_conversation_holds_the_turn_when_the_last_event_is_out(
    client: AsyncOpenAI, held: Held
) -> None:
    on = await conversation(client)
    held.let_go()

    async with asyncio.timeout(10):
        async for event in await streamed(client, on, background=True):
            if event.type == "response.completed":
                assert await texts(client, on) == ["go", "two words"]
                return
    pytest.fail("the stream ended without its last event")


async def test_a_stream_can_be_rejoined_behind_any_event_while_it_runs(
    client: AsyncOpenAI, held: Held
) -> None:
    on = await conversation(client)
    first_stream = await streamed(client, on, background=True)
    first = await soon(anext(first_stream))
    await first_stream.close()

    second_stream = await client.responses.retrieve(
        response_of(first), stream=True, starting_after=first.sequence_number
    )
    following = await soon(anext(second_stream))
    held.let_go()
    rest = await rest_of(second_stream)

    assert following.type == "response.queued"
    assert [event.sequence_number for event in rest] == list(range(2, 11))
    assert rest[-1].type == "response.completed"
    assert await texts(client, on) == ["go", "two words"]


async def test_a_stream_can_be_replayed_from_its_start_after_its_end(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted(["two words"])
    on = await conversation(client)
    events = await rest_of(await streamed(client, on, background=True))

    again = await client.responses.retrieve(response_of(events[0]), stream=True)
    assert await rest_of(again) == events
    late = await client.responses.retrieve(response_of(events[0]), stream=True, starting_after=99)
    assert await rest_of(late) == []


async def test_two_callers_follow_one_response(client: AsyncOpenAI, held: Held) -> None:
    on = await conversation(client)
    one = await streamed(client, on, background=True)
    first = await soon(anext(one))
    other = await client.responses.retrieve(response_of(first), stream=True)

    held.let_go()

    assert (await rest_of(other))[1:] == await rest_of(one)


async def test_a_cancelled_stream_ends_without_a_last_event(
    client: AsyncOpenAI, held: Held
) -> None:
    on = await conversation(client)
    stream = await streamed(client, on, background=True)
    first = await soon(anext(stream))
    await soon(held.asked())

    await client.responses.cancel(response_of(first))

    kinds = [event.type for event in await rest_of(stream)]
    assert kinds == ["response.queued", "response.in_progress"]


async def test_a_failed_and_an_incomplete_stream_end_in_their_own_events(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted(
        [Answer(error_code="server_error"), Answer(text="half", incomplete="content_filter")]
    )
    on = await conversation(client)

    last = [(await rest_of(await streamed(client, on, background=True)))[-1] for _ in range(2)]

    assert [event.type for event in last] == ["response.failed", "response.incomplete"]


async def test_calls_and_refusals_are_streamed_in_deltas_of_their_own(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    call = FunctionCall(name="f", arguments='{"a": 1}', call_id="call_1")
    simulated.responder = Scripted(
        [Answer(refusal="I will not", function_calls=(call,), reasoning="why")]
    )
    on = await conversation(client)

    events = await rest_of(await streamed(client, on, background=False))

    said = {
        kind: "".join(event.delta for event in events if event.type == kind)
        for kind in ("response.refusal.delta", "response.function_call_arguments.delta")
    }
    assert said == {
        "response.refusal.delta": "I will not",
        "response.function_call_arguments.delta": '{"a": 1}',
    }
    added = [event for event in events if event.type == "response.output_item.added"]
    assert [event.output_index for event in added] == [0, 1, 2]


async def test_leaving_a_background_stream_does_not_stop_it(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, held: Held
) -> None:
    on = await conversation(client)
    stream = await streamed(client, on, background=True)
    await soon(anext(stream))

    await stream.close()
    held.let_go()
    await until_free(client, simulated, on)

    assert await texts(client, on) == ["go", "two words"]


async def test_leaving_a_stream_without_background_ends_and_forgets_it(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, held: Held
) -> None:
    on = await conversation(client)
    stream = await streamed(client, on, background=False)
    first = await soon(anext(stream))
    await soon(held.asked())

    await stream.close()
    await until_free(client, simulated, on)

    with pytest.raises(NotFoundError):
        await client.responses.retrieve(response_of(first))
    assert await texts(client, on) == []
    held.let_go()
    assert (await ask(client, on, "free again")).status == "completed"


async def test_a_caller_that_times_out_leaves_its_response_running(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, held: Held
) -> None:
    on = await conversation(client)

    with pytest.raises(APITimeoutError):
        await ask(client.with_options(timeout=0.2), on, "slow")
    assert simulated.state.conversation(on).locked_by is not None
    held.let_go()
    await until_free(client, simulated, on)

    assert await texts(client, on) == ["slow", "two words"]
    outcomes = [seen.outcome for seen in simulated.ledger.requests("POST", "/v1/responses")]
    assert outcomes == ["caller gone"]


async def test_leaving_the_simulator_ends_what_runs() -> None:
    held = Held(Echo())
    async with SimulatedOpenAI(held) as simulated, caller_of(simulated) as client:
        stream = await client.responses.create(model=MODEL, input="x", stream=True, background=True)
        await soon(held.asked())
        await simulated.__aexit__(None, None, None)

        kinds = [event.type for event in await rest_of(stream)]

    assert kinds[-1] == "response.in_progress"


async def test_nothing_runs_before_the_simulator_is_entered() -> None:
    async def work() -> None:
        pytest.fail("it ran")

    with pytest.raises(RuntimeError, match="async with"):
        _ = SimulatedOpenAI().spawn(work())

"""The simulator behind a real server on loopback, through the official SDK."""

import logging
from collections.abc import AsyncIterator

import pytest
from openai import APIConnectionError, AsyncOpenAI

from dadm.adapters.simulators.openai import Echo, Held, SimulatedOpenAI
from tests.adapters.simulators.serving import sdk_at, served
from tests.adapters.simulators.short_forms import MODEL, ask, conversation, soon, texts
from tests.adapters.simulators.test_openai_simulator_faults import (
    OnTheWay,
    ReplyLost,
    seen_until_broken,
)


@pytest.fixture
def simulated() -> SimulatedOpenAI:
    """Not entered: the server does that."""
    return SimulatedOpenAI()


@pytest.fixture
async def over_http(simulated: SimulatedOpenAI) -> AsyncIterator[AsyncOpenAI]:
    async with served(simulated) as address, sdk_at(address) as client:
        yield client


async def test_a_turn_and_a_background_stream_over_http(over_http: AsyncOpenAI) -> None:
    on = await conversation(over_http)
    await ask(over_http, on, "The owner is Ines.")

    stream = await over_http.responses.create(
        model=MODEL, conversation=on, input="Who?", stream=True, background=True
    )
    first = await soon(anext(stream))
    await stream.close()
    again = await over_http.responses.retrieve(
        first.response.id,  # type: ignore[union-attr]
        stream=True,
        starting_after=0,
    )
    events = [event async for event in again]

    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "I was told: The owner is Ines. | Who?"
    assert len(await texts(over_http, on)) == 4


async def test_leaving_a_stream_without_background_is_noticed_over_http(
    over_http: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = held = Held(Echo())
    on = await conversation(over_http)
    stream = await over_http.responses.create(model=MODEL, conversation=on, input="x", stream=True)
    await soon(held.asked())
    (response,) = simulated.state.responses.values()

    await stream.close()

    await soon(response.events.wait_closed())
    assert simulated.state.responses == {}
    assert await texts(over_http, on) == []


async def test_a_lost_reply_and_a_reset_stream_look_like_a_broken_connection_over_http(
    over_http: AsyncOpenAI, simulated: SimulatedOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    on = await conversation(over_http)
    simulated.faults = ReplyLost()
    with pytest.raises(APIConnectionError):
        await ask(over_http, on, "done")
    simulated.faults = OnTheWay(1, "reset")
    stream = await over_http.responses.create(
        model=MODEL, conversation=on, input="x", stream=True, background=True
    )

    assert await seen_until_broken(stream) == ["response.created"]
    assert (await texts(over_http, on))[:2] == ["done", "I was told: done"]

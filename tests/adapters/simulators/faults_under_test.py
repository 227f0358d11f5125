"""What tests of switched faults ask for: rules switched on, streams begun, and what was held."""

import asyncio
from collections.abc import Callable

from openai import AsyncOpenAI, AsyncStream
from openai.types.responses import ResponseStreamEvent

from dadm.adapters.simulators.openai import SimulatedOpenAI, SwitchedFaults
from tests.adapters.simulators.short_forms import MODEL

ON_RESPONSES = "POST /v1/responses"
ON_ITEMS = "POST /v1/conversations/*/items"


def switch_on(simulated: SimulatedOpenAI, *rules: str, seed: int = 0) -> SwitchedFaults:
    """Replace the faults of a simulator by these rules, which are called fault_1, fault_2, …"""
    faults = SwitchedFaults(rules, seed=seed)
    simulated.faults = faults
    return faults


async def begun(
    client: AsyncOpenAI, on: str, text: str = "x", *, background: bool = True
) -> AsyncStream[ResponseStreamEvent]:
    """Begin a streamed turn, in the background unless said otherwise."""
    return await client.responses.create(
        model=MODEL, conversation=on, input=text, stream=True, background=background
    )


async def events_of(stream: AsyncStream[ResponseStreamEvent]) -> list[ResponseStreamEvent]:
    async with asyncio.timeout(10):
        return [event async for event in stream]


def struck(simulated: SimulatedOpenAI) -> list[tuple[str, int]]:
    """Give the ledger's strikes: what struck, and the number of the request."""
    return [(entry.fault, entry.request_number) for entry in simulated.ledger.faults()]


def held_texts(simulated: SimulatedOpenAI, conversation_id: str) -> list[str]:
    """Give the texts that a conversation holds, without asking the API."""
    items = simulated.items_of(conversation_id)
    return [item["content"][0]["text"] for item in items if item["type"] == "message"]


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks go on until this holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what makes it hold tells nobody
            await asyncio.sleep(0)


async def all_ended(simulated: SimulatedOpenAI, number: int) -> None:
    """Let other tasks go on until so many responses have begun, and each has ended."""
    await until(lambda: len(simulated.state.responses) >= number)
    for response in list(simulated.state.responses.values()):
        await response.events.wait_closed()

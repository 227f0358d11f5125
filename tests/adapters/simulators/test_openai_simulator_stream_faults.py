"""Faults that strike a stream on its way: what gets through, and the run that goes on behind it."""

import asyncio

import httpx2
import pytest
from openai import APIConnectionError, APIError, APITimeoutError, AsyncOpenAI
from openai.types.responses import ResponseErrorEvent

from dadm.adapters.simulators.openai import Echo, Held, SimulatedOpenAI, create_app
from tests.adapters.simulators.conftest import BASE_URL
from tests.adapters.simulators.faults_under_test import (
    ON_RESPONSES,
    all_ended,
    begun,
    events_of,
    held_texts,
    struck,
    switch_on,
    until,
)
from tests.adapters.simulators.in_process import InProcess
from tests.adapters.simulators.short_forms import MODEL, conversation, soon
from tests.adapters.simulators.test_openai_simulator_faults import seen_until_broken

ANSWERED = ["x", "I was told: x"]


@pytest.mark.parametrize(
    ("events", "seen"),
    [
        (0, []),
        (1, ["response.created"]),
        (3, ["response.created", "response.queued", "response.in_progress"]),
    ],
)
async def test_a_stream_is_reset_after_so_many_events_and_its_run_goes_on(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, events: int, seen: list[str]
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} reset-stream events={events}")

    assert await seen_until_broken(await begun(client, on)) == seen
    await all_ended(simulated, 1)

    assert held_texts(simulated, on) == ANSWERED
    assert struck(simulated) == [("reset-stream", 2)]
    assert len(simulated.ledger.model_calls()) == 1


async def test_a_stream_is_reset_before_its_last_event_at_the_latest(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} reset-stream events=1000")

    seen = await seen_until_broken(await begun(client, on))

    assert seen[-1] == "response.output_item.done"
    assert held_texts(simulated, on) == ANSWERED


async def test_a_reset_stream_without_background_forgets_its_response(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Held(Echo())
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} reset-stream")

    assert await seen_until_broken(await begun(client, on, background=False)) == [
        "response.created"
    ]

    await until(lambda: not simulated.state.responses)
    assert held_texts(simulated, on) == []


async def test_a_reset_stream_is_joined_again(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(
        simulated,
        f"{ON_RESPONSES} reset-stream",
        "GET /v1/responses/* reset-stream events=2 times=1",
    )
    await seen_until_broken(await begun(client, on))
    (response_id,) = simulated.state.responses

    again = await client.responses.retrieve(response_id, stream=True, starting_after=0)
    assert len(await seen_until_broken(again)) == 2
    again = await client.responses.retrieve(response_id, stream=True, starting_after=2)
    assert (await events_of(again))[-1].type == "response.completed"

    assert [entry.response_id for entry in simulated.ledger.faults()] == [response_id] * 2


async def test_a_stream_ends_without_its_last_event_and_the_run_completes(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} end-stream")

    events = await events_of(await begun(client, on, background=False))

    assert events[-1].type == "response.output_item.done"
    assert held_texts(simulated, on) == ANSWERED
    assert [response.status for response in simulated.state.responses.values()] == ["completed"]
    assert struck(simulated) == [("end-stream", 2)]


async def test_a_stream_ends_early_and_the_run_completes(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} end-stream events=1")

    events = await events_of(await begun(client, on, background=False))
    await all_ended(simulated, 1)

    assert [event.type for event in events] == ["response.created"]
    assert held_texts(simulated, on) == ANSWERED


async def test_an_error_event_ends_a_stream_and_the_run_completes(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} error-in-stream events=2")

    events = await events_of(await begun(client, on))
    await all_ended(simulated, 1)

    assert [event.type for event in events] == ["response.created", "response.queued", "error"]
    assert isinstance(events[-1], ResponseErrorEvent)
    assert events[-1].code == "server_error"
    assert held_texts(simulated, on) == ANSWERED


async def test_an_error_event_as_recorded_from_the_api_is_raised_by_the_sdk(
    simulated: SimulatedOpenAI,
) -> None:
    switch_on(simulated, f"{ON_RESPONSES} error-in-stream nested=true")
    transport = InProcess(create_app(simulated))
    async with httpx2.AsyncClient(transport=transport) as http:
        client = AsyncOpenAI(api_key="x", base_url=BASE_URL, max_retries=0, http_client=http)
        on = await conversation(client)
        stream = await begun(client, on)
        with pytest.raises(APIError, match="An error occurred"):
            await events_of(stream)

    assert struck(simulated) == [("error-in-stream", 2)]


async def test_a_held_stream_is_silent_until_it_is_let_go_while_its_run_completes(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-stream")
    stream = await begun(client, on)

    assert (await soon(anext(stream))).type == "response.created"
    await soon(faults.holding("fault_1", 1))
    await all_ended(simulated, 1)
    assert held_texts(simulated, on) == ANSWERED
    faults.let_go("fault_1")

    rest = await events_of(stream)
    assert (rest[0].type, rest[-1].type) == ("response.queued", "response.completed")


async def test_a_held_stream_runs_into_its_callers_time_limit(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-stream seconds=600")
    stream = await begun(client.with_options(timeout=0.05), on)

    with pytest.raises(APITimeoutError):
        await events_of(stream)

    await soon(faults.holding("fault_1", 0))
    assert held_texts(simulated, on) == ANSWERED


async def test_a_stream_that_its_caller_leaves_first_leaves_the_strike_to_the_next(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(
        simulated,
        f"{ON_RESPONSES} hold-stream events=1 times=1",
        f"{ON_RESPONSES} reset-stream events=2 times=1",
    )
    stream = await begun(client, on)
    await soon(faults.holding("fault_1", 1))
    await stream.close()
    await soon(faults.holding("fault_1", 0))
    await all_ended(simulated, 1)

    assert len(await seen_until_broken(await begun(client, on))) == 2
    assert struck(simulated) == [("hold-stream", 2), ("reset-stream", 3)]


async def test_rules_that_are_cleared_strike_no_run_and_no_stream_any_more(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(
        simulated,
        f"{ON_RESPONSES} hold-run at=admitted",
        f"{ON_RESPONSES} hold-run",
        f"{ON_RESPONSES} reset-stream events=5",
        f"{ON_RESPONSES} end-stream",
    )
    stream = await begun(client, on)
    await soon(faults.holding("fault_1", 1))

    faults.clear()

    assert (await events_of(stream))[-1].type == "response.completed"
    assert held_texts(simulated, on) == ANSWERED
    assert struck(simulated) == [("hold-run", 2)]


async def test_replies_that_are_no_streams_are_not_struck(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} reset-stream")

    made = await client.responses.create(model=MODEL, conversation=on, input="x")

    assert made.status == "completed"
    assert faults.seen()[0].matched == 0


async def test_many_callers_are_reset_and_held_at_once(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-run", f"{ON_RESPONSES} reset-stream")
    ons = [await conversation(client) for _ in range(10)]
    async with asyncio.TaskGroup() as tasks:
        for on in ons:
            tasks.create_task(broken(client, on))
    await soon(faults.holding("fault_1", 10))

    assert faults.let_go("fault_1", at_most=4) == 4
    await soon(faults.holding("fault_1", 6))
    assert faults.let_go("fault_1") == 6
    await all_ended(simulated, 10)

    assert [held_texts(simulated, on) for on in ons] == [ANSWERED] * 10


async def broken(client: AsyncOpenAI, on: str) -> None:
    with pytest.raises(APIConnectionError):
        await events_of(await begun(client, on))

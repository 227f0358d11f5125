"""The places where faults strike reach every fault that a turn must survive."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from openai import (
    APIConnectionError,
    AsyncOpenAI,
    AsyncStream,
    InternalServerError,
    RateLimitError,
)
from openai.types.responses import ResponseStreamEvent

from dadm.adapters.simulators.openai import SimulatedOpenAI
from dadm.adapters.simulators.openai.errors import ApiError
from dadm.adapters.simulators.openai.faults import Moment, NoFaults, Phase
from dadm.adapters.simulators.openai.wire import Call, ConnectionDropped, Events, Reply
from tests.adapters.simulators.short_forms import MODEL, ask, conversation, soon, texts

Perform = Callable[[], Awaitable[Reply]]


class OnResponses(NoFaults):
    """Strikes `POST /responses` once, in the way that `strike` says."""

    def __init__(self) -> None:
        self._has_struck = False

    async def around(self, call: Call, perform: Perform) -> Reply:
        if call.path != "/v1/responses" or self._has_struck:
            return await perform()
        self._has_struck = True
        return await self.strike(perform)

    async def strike(self, perform: Perform) -> Reply:
        return await perform()


class RequestLost(OnResponses):
    async def strike(self, perform: Perform) -> Reply:
        raise ConnectionDropped


class ReplyLost(OnResponses):
    async def strike(self, perform: Perform) -> Reply:
        await perform()
        raise ConnectionDropped


class Twice(OnResponses):
    async def strike(self, perform: Perform) -> Reply:
        await perform()
        return await perform()


class Late(OnResponses):
    """The caller hears nothing; the request arrives when `arrive` is set."""

    def __init__(self, simulated: SimulatedOpenAI) -> None:
        super().__init__()
        self._simulated = simulated
        self.arrive = asyncio.Event()
        self.has_arrived = asyncio.Event()

    async def strike(self, perform: Perform) -> Reply:
        async def later() -> None:
            await self.arrive.wait()
            await perform()
            self.has_arrived.set()

        _ = self._simulated.spawn(later())
        raise ConnectionDropped


class Refused(OnResponses):
    def __init__(self, status: int, **headers: str) -> None:
        super().__init__()
        self._status = status
        self._headers = headers

    async def strike(self, perform: Perform) -> Reply:
        raise ApiError("Not now.", status=self._status, kind="server_error", headers=self._headers)


async def test_a_lost_request_has_no_effect(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.faults = RequestLost()
    on = await conversation(client)

    with pytest.raises(APIConnectionError):
        await ask(client, on, "lost")

    assert await texts(client, on) == []
    assert simulated.ledger.model_calls() == []
    assert simulated.ledger.requests("POST", "/v1/responses")[0].outcome == "dropped"


async def test_a_lost_reply_has_its_effect(client: AsyncOpenAI, simulated: SimulatedOpenAI) -> None:
    simulated.faults = ReplyLost()
    on = await conversation(client)

    with pytest.raises(APIConnectionError):
        await ask(client, on, "done")

    assert await texts(client, on) == ["done", "I was told: done"]


async def test_a_duplicated_request_has_its_effect_twice(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.faults = Twice()
    on = await conversation(client)

    await ask(client, on, "x")

    assert len(simulated.ledger.model_calls(on)) == 2
    assert len(await texts(client, on)) == 4


async def test_a_late_request_arrives_after_it_was_thought_lost(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.faults = late = Late(simulated)
    on = await conversation(client)

    with pytest.raises(APIConnectionError):
        await ask(client, on, "late")
    await ask(client, on, "meanwhile")
    late.arrive.set()
    await soon(late.has_arrived.wait())

    assert [text for text in await texts(client, on) if " " not in text] == ["meanwhile", "late"]


async def test_a_refusal_of_the_service_carries_its_headers(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    simulated.faults = Refused(429, **{"retry-after": "7"})
    with pytest.raises(RateLimitError) as limited:
        await ask(client, on, "x")
    simulated.faults = Refused(503)
    with pytest.raises(InternalServerError):
        await ask(client, on, "x")

    assert limited.value.response.headers["retry-after"] == "7"
    assert simulated.ledger.model_calls() == []


class During(NoFaults):
    """Stops every run at one phase, until it is let on."""

    def __init__(self, phase: Phase, error: Exception | None = None) -> None:
        self._phase = phase
        self._error = error
        self.reached = asyncio.Event()
        self.let_on = asyncio.Event()

    async def during(self, moment: Moment) -> None:
        if moment.phase is not self._phase:
            return
        if self._error is not None:
            raise self._error
        self.reached.set()
        await self.let_on.wait()


async def begun(client: AsyncOpenAI, on: str) -> AsyncStream[ResponseStreamEvent]:
    return await client.responses.create(
        model=MODEL, conversation=on, input="x", stream=True, background=True
    )


async def kinds_of(stream: AsyncIterator[ResponseStreamEvent]) -> list[str]:
    async with asyncio.timeout(10):
        return [event.type for event in [event async for event in stream]]


async def seen_until_broken(stream: AsyncIterator[ResponseStreamEvent]) -> list[str]:
    seen: list[str] = []
    async with asyncio.timeout(10):
        try:
            async for event in stream:
                seen.append(event.type)  # noqa: PERF401 - what came before the break counts
        except APIConnectionError:
            return seen
    pytest.fail("the stream did not break")


@pytest.mark.parametrize(
    ("phase", "last", "calls"),
    [
        (Phase.ADMITTED, "response.queued", 0),
        (Phase.SPEAKING, "response.content_part.added", 1),
        (Phase.ANSWERED, "response.output_item.done", 1),
    ],
)
async def test_a_run_is_stopped_at_each_phase_with_nothing_appended(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, phase: Phase, last: str, calls: int
) -> None:
    simulated.faults = stop = During(phase)
    on = await conversation(client)
    stream = await begun(client, on)
    await soon(stop.reached.wait())

    response_id = next(iter(simulated.state.responses))
    assert simulated.state.responses[response_id].events.last_type == last
    assert len(simulated.ledger.model_calls()) == calls
    assert await texts(client, on) == []
    stop.let_on.set()

    assert (await kinds_of(stream))[-1] == "response.completed"
    assert len(await texts(client, on)) == 2


async def test_a_run_cancelled_in_mid_sentence_leaves_the_half_of_it_where_that_is_appended(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.switch(cancelled_appends="input_and_output")
    on = await conversation(client)
    simulated.faults = Halfway()
    stream = await begun(client, on)
    await soon(simulated.faults.reached.wait())

    cancelled = await client.responses.cancel(next(iter(simulated.state.responses)))

    assert cancelled.output_text == "I was"
    assert cancelled.output[0].status == "incomplete"  # type: ignore[union-attr]
    assert await texts(client, on) == ["x", "I was"]
    assert (await kinds_of(stream))[-1] == "response.output_text.delta"


class Halfway(During):
    """Stops at the third delta."""

    def __init__(self) -> None:
        super().__init__(Phase.SPEAKING)
        self._seen = 0

    async def during(self, moment: Moment) -> None:
        if moment.phase is Phase.SPEAKING:
            self._seen += 1
            if self._seen > 2:
                await super().during(moment)


@pytest.mark.parametrize(("status", "code"), [(500, "server_error"), (429, "rate_limit_exceeded")])
async def test_an_error_in_a_run_makes_the_response_fail(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, status: int, code: str
) -> None:
    simulated.faults = During(Phase.ANSWERED, ApiError("Broken.", status=status))
    on = await conversation(client)

    made = await ask(client, on, "x")

    assert made.status == "failed"
    assert made.error is not None
    assert made.error.code == code
    assert await texts(client, on) == []


class OnTheWay(NoFaults):
    """Lets a number of events through, then ends the stream as it is told."""

    def __init__(self, count: int, ending: str) -> None:
        self._count = count
        self._ending = ending

    def on_the_way(self, call: Call, events: Events) -> Events:
        return self._cut(events)

    async def _cut(self, events: Events) -> Events:
        async with aclosing(events):
            for _ in range(self._count):
                yield await anext(events)
        if self._ending == "reset":
            raise ConnectionDropped
        if self._ending == "error":
            yield {
                "type": "error",
                "sequence_number": 0,
                "code": None,
                "message": "x",
                "param": None,
            }


async def test_a_stream_is_reset_in_the_middle_while_its_run_goes_on(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.faults = OnTheWay(2, "reset")
    on = await conversation(client)
    stream = await begun(client, on)

    assert await seen_until_broken(stream) == ["response.created", "response.queued"]
    response_id = next(iter(simulated.state.responses))
    await soon(simulated.state.responses[response_id].events.wait_closed())
    assert len(await texts(client, on)) == 2


async def test_a_stream_ends_without_its_last_event_or_in_an_error(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    simulated.faults = OnTheWay(1, "end")
    assert await kinds_of(await begun(client, on)) == ["response.created"]
    await soon(
        simulated.state.responses[next(iter(simulated.state.responses))].events.wait_closed()
    )

    simulated.faults = OnTheWay(1, "error")
    assert await kinds_of(await begun(client, on)) == ["response.created", "error"]

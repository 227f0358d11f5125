"""A simulated OpenAI for probes: long answers take their time, pictures fail, and all is counted."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import httpx2

from dadm.adapters.backends.openai_probe import OpenAIProbe
from dadm.adapters.backends.openai_probe_ground import LONG_TOKENS
from dadm.adapters.backends.openai_probe_terms import Pace
from dadm.adapters.simulators.openai import (
    Answer,
    Behaviour,
    CountingIds,
    Echo,
    SimulatedOpenAI,
    create_app,
)
from dadm.adapters.simulators.openai.context import ShownMessage
from dadm.adapters.simulators.openai.errors import ApiError
from dadm.adapters.simulators.openai.faults import Moment, NoFaults, Phase
from dadm.adapters.simulators.openai.ledger import ModelCall
from dadm.adapters.simulators.openai.requests import ResponseRequest
from dadm.adapters.simulators.openai.state import StoredResponse
from dadm.adapters.simulators.openai.wire import Call, JsonObject, JsonReply, Reply
from dadm.ports.probe import Finding
from tests.adapters.backends.under_test import BASE_URL, KEY
from tests.adapters.simulators.in_process import InProcess

QUICK = Pace(poll=0.0, leave=0.3, question=10.0, clean_up=10.0)


class TakingTime(NoFaults):
    """Pauses a long answer behind its first words, until some more requests have come.

    Attributes:
        meanwhile: How many; more than a look at a running answer takes.
        calls: The requests so far.
    """

    meanwhile = 6

    def __init__(self) -> None:
        self.simulated: SimulatedOpenAI | None = None
        self.calls: list[Call] = []
        self._came = asyncio.Event()
        # A response that is forgotten, or goes on unseen, is not in the state any more.
        self._runs: dict[str, StoredResponse | None] = {}
        self._paused: dict[str, tuple[int, asyncio.Event]] = {}

    async def around(self, call: Call, perform: Callable[[], Awaitable[Reply]]) -> Reply:
        self.calls.append(call)
        self._came.set()
        for until, event in self._paused.values():
            if len(self.calls) >= until:
                event.set()
        return await perform()

    async def come(self, method: str, path: str) -> None:
        """Wait until such a request has come."""
        while not any((call.method, call.path) == (method, path) for call in self.calls):
            self._came.clear()
            await self._came.wait()

    async def during(self, moment: Moment) -> None:
        assert self.simulated is not None
        run = self._runs.setdefault(
            moment.response_id, self.simulated.state.responses.get(moment.response_id)
        )
        assert run is not None
        is_long = run.request.max_output_tokens == LONG_TOKENS
        has_spoken = run.events.last_type == "response.output_text.delta"
        if moment.phase is Phase.SPEAKING and is_long and has_spoken:
            until = len(self.calls) + self.meanwhile
            _, event = self._paused.setdefault(run.id, (until, asyncio.Event()))
            await event.wait()


class Rewriting(TakingTime):
    """Says otherwise where the API refuses with certain words; `instead` is raised or sent."""

    def __init__(self, words: str, instead: ApiError | JsonObject) -> None:
        super().__init__()
        self._words = words
        self._instead = instead

    async def around(self, call: Call, perform: Callable[[], Awaitable[Reply]]) -> Reply:
        try:
            return await super().around(call, perform)
        except ApiError as error:
            if self._words not in error.message:
                raise
            if isinstance(self._instead, ApiError):
                raise self._instead from error
            return JsonReply(body=self._instead)


class Refusing(TakingTime):
    """Answers requests by an error, so many times, whose method, path's end and content fit."""

    def __init__(
        self, method: str, ends: str, error: ApiError, *, holding: str = "", times: int = 10_000
    ) -> None:
        super().__init__()
        self._which = (method, ends)
        self._error = error
        self._holding = holding
        self._times = times

    async def around(self, call: Call, perform: Callable[[], Awaitable[Reply]]) -> Reply:
        method, ends = self._which
        fits = call.method == method and call.path.endswith(ends)
        if fits and self._holding in json.dumps(call.body) and self._times:
            self._times -= 1
            raise self._error
        return await super().around(call, perform)


class AtOnce(TakingTime):
    """Finishes every answer at once."""

    async def during(self, moment: Moment) -> None:
        del moment


class Endless(TakingTime):
    """Never finishes a long answer by itself."""

    meanwhile = 10_000


class BlindEcho:
    """Repeats texts, and fails where there is a picture."""

    async def __call__(
        self,
        instructions: str | None,
        messages: Sequence[ShownMessage],
        request: ResponseRequest,
    ) -> Answer | str:
        if any("[input_image]" in message.text for message in messages):
            return Answer(error_code="server_error")
        return await Echo()(instructions, messages, request)


@dataclass(slots=True, kw_only=True)
class Probed:
    """A probe, and the API that it probes."""

    probe: OpenAIProbe
    simulated: SimulatedOpenAI
    faults: TakingTime

    async def findings(self, *names: str) -> list[Finding]:
        """Open the probe, ask these questions (or all), and leave it."""
        asked = names or tuple(each.name for each in self.probe.questions)
        async with self.probe.opened(), aclosing(self.probe.findings(asked)) as findings:
            return [finding async for finding in findings]

    @property
    def run_count(self) -> int:
        """How often the model was asked."""
        return sum(isinstance(entry, ModelCall) for entry in self.simulated.ledger.entries)

    def what_is_left(self) -> list[str]:
        """Give the ids of all conversations, and of all responses that can still be retrieved."""
        return [*self.simulated.conversation_ids(), *filter(self._is_kept, self._response_ids())]

    def _response_ids(self) -> list[str]:
        return list(self.simulated.state.responses)

    def _is_kept(self, response_id: str) -> bool:
        try:
            self.simulated.state.response(response_id)
        except ApiError:
            return False
        return True


@asynccontextmanager
async def probed(
    behaviour: Behaviour | None = None,
    *,
    pace: Pace = QUICK,
    faults: TakingTime | None = None,
    key: str = KEY,
) -> AsyncIterator[Probed]:
    """Give a probe of an API that behaves so."""
    faults = faults or TakingTime()
    async with (
        SimulatedOpenAI(
            BlindEcho(), behaviour=behaviour, faults=faults, api_keys=[KEY], mint=CountingIds()
        ) as simulated,
        httpx2.AsyncClient(transport=InProcess(create_app(simulated))) as http,
    ):
        faults.simulated = simulated
        probe = OpenAIProbe(
            model="simulated", api_key=key, base_url=BASE_URL, pace=pace, http_client=http
        )
        yield Probed(probe=probe, simulated=simulated, faults=faults)

"""BackendLine: what a replica takes for the backend, with the network and broken streams in between."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from dadm.adapters.backends.openai_items import run_state
from dadm.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendUnavailable,
    ConversationBusy,
    ConversationLost,
    OutcomeUnknown,
)
from dadm.domain.json import JsonObject
from dadm.domain.thread import BackendIdentity, ConversationId
from dadm.domain.transcript import Message, messages_shown
from dadm.ports.backend import (
    Answered,
    AnswerPart,
    CutShort,
    ErasureReport,
    Finding,
    KeptMessage,
    MessagesShown,
    Question,
    ResponseStarted,
    RunState,
    TurnEvent,
)
from tests.simulation.backend import IDENTITY, Run, SimulatedBackend
from tests.simulation.network import GOES_WELL, Caller, Effect, Fate, Network
from tests.simulation.storm import Storm
from tests.simulation.weather import Trouble

FATES: dict[Trouble, tuple[Effect, Callable[[Storm], BackendError]]] = {
    Trouble.BACKEND_UNREACHABLE: (
        Effect.NEVER,
        lambda _: BackendUnavailable("It cannot be reached."),
    ),
    Trouble.BACKEND_BUSY_RATE: (
        Effect.NEVER,
        lambda storm: BackendUnavailable(
            "Too many requests.",
            retry_after=storm.pick((None, timedelta(seconds=1), timedelta(seconds=40))),
        ),
    ),
    Trouble.BACKEND_WRONG_KEY: (Effect.NEVER, lambda _: BackendMisconfigured("A wrong key.")),
    Trouble.BACKEND_LOST: (Effect.NEVER, lambda _: OutcomeUnknown("It never got there.")),
    Trouble.BACKEND_UNCONFIRMED: (Effect.NOW, lambda _: OutcomeUnknown("It got there.")),
    Trouble.BACKEND_LATE: (Effect.LATE, lambda _: OutcomeUnknown("It is under way.")),
    Trouble.BACKEND_TWICE: (Effect.NOW, lambda _: ConversationBusy("The second found the first.")),
    Trouble.BACKEND_NOT_FOUND: (Effect.NEVER, lambda _: ConversationLost("It is not there.")),
}
"""What a trouble makes of a call, and what its caller is told."""

WRITES = frozenset({"take_turn", "append", "link", "open"})
REQUESTS = WRITES | {"retrieve", "cancel", "look", "exists", "messages", "erase", "ping"}
OPEN_TO: dict[Trouble, frozenset[str]] = {
    Trouble.BACKEND_UNREACHABLE: REQUESTS,
    Trouble.BACKEND_BUSY_RATE: REQUESTS,
    Trouble.BACKEND_WRONG_KEY: REQUESTS,
    Trouble.BACKEND_LOST: REQUESTS,
    Trouble.BACKEND_UNCONFIRMED: WRITES,
    Trouble.BACKEND_LATE: WRITES,
}
OPEN_TO_WHERE_KEPT = OPEN_TO | {
    Trouble.BACKEND_TWICE: frozenset({"take_turn"}),
    Trouble.BACKEND_NOT_FOUND: frozenset({"take_turn", "append", "link"}),
}
"""Which methods a trouble may strike; what is said of a conversation, only where it is kept."""


class Stream:
    """The events of one run on their way to one caller."""

    def __init__(self, network: Network, backend: SimulatedBackend, run: Run) -> None:
        """Carry what `run` tells."""
        self._network = network
        self._backend = backend
        self._run = run
        self._latency = network.storm.latency()
        self._arrived: deque[TurnEvent | BackendError] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._is_silent = False
        self._is_left = False

    def begin(self, *, replica: str, task: str) -> None:
        """Tell how the run begins, and draw whether the stream lasts until its end."""
        storm = self._network.storm
        question = self._run.question
        if not self._backend.keeps_conversations:
            messages = messages_shown(
                instructions=question.assistant.instructions,
                window=question.history,
                prompt=question.prompt,
            )
            self._send(MessagesShown(messages=messages, left_out=question.history.left_out))
        elif storm.weather.names_runs:
            self._send(ResponseStarted(response_id=self._run.id))
        self._run.listeners.append(self._end)
        if storm.strikes(Trouble.STREAM_SILENT, replica=replica, about=task):
            self._is_silent = True
        elif storm.strikes(Trouble.STREAM_BROKEN, replica=replica, about=task):
            self._network.later(storm.seconds(0.01, 10.0), self._break)

    def leave(self) -> None:
        """Let the provider know that nobody listens any more."""
        if not self._is_left:
            self._is_left = True
            self._network.later(self._latency, partial(self._backend.caller_left, self._run))

    async def next(self) -> TurnEvent | BackendError:
        """Wait for what comes next, at the caller's side."""
        while not self._arrived:
            self._waiting = self._network.loop.create_future()
            await self._waiting
        return self._arrived.popleft()

    def _break(self) -> None:
        self._send(OutcomeUnknown("The stream broke off."))
        self._is_silent = True
        self.leave()

    def _end(self) -> None:
        state = run_state(self._run.response()) if not self._run.is_expired else None
        match state:
            case Answered():
                self._send(AnswerPart(text=state.text[:4]))
                self._send(self._as_told(state))
            case CutShort():
                self._send(state)
            case _:
                self._send(OutcomeUnknown(f"The stream ended without an answer: {state}."))

    def _as_told(self, answered: Answered) -> Answered:
        if not self._backend.keeps_conversations:
            return replace(answered, response_id="", last_item_id="")
        return answered

    def _send(self, event: TurnEvent | BackendError) -> None:
        if not self._is_silent:
            self._network.later(self._latency, partial(self._arrive, event))

    def _arrive(self, event: TurnEvent | BackendError) -> None:
        self._arrived.append(event)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class BackendLine:
    """One replica's way to the backend; a ConversationBackend."""

    identity = IDENTITY
    append_limit = SimulatedBackend.append_limit

    def __init__(self, caller: Caller, backend: SimulatedBackend) -> None:
        """Reach `backend` for `caller`."""
        self._caller = caller
        self._backend = backend
        self.keeps_conversations = backend.keeps_conversations
        self.links_items = backend.keeps_conversations and caller.network.storm.weather.links_items
        self.history_characters = backend.history_characters
        self._open_to = OPEN_TO_WHERE_KEPT if self.keeps_conversations else OPEN_TO

    # ConversationBackends: there is this one

    @property
    def default(self) -> "BackendLine":
        """This one."""
        return self

    async def reachable(self) -> Sequence["BackendLine"]:
        """Give this one."""
        return (self,)

    async def of(self, identity: BackendIdentity) -> "BackendLine":
        """Give this one."""
        assert identity == IDENTITY
        return self

    # ConversationBackend

    async def open(self, *, labels: JsonObject) -> ConversationId:
        if not self.keeps_conversations:
            return self._backend.open(labels)
        opened: ConversationId = await self._call(
            "open", lambda: self._backend.open(labels), about=str(labels["scope"])
        )
        return opened

    @asynccontextmanager
    async def take_turn(self, question: Question) -> AsyncGenerator[AsyncIterator[TurnEvent], None]:
        task = str(question.labels["task"])
        stream: Stream = await self._call("take_turn", lambda: self._begin(question), about=task)
        try:
            yield _events(stream)
        finally:
            stream.leave()

    def _begin(self, question: Question) -> Stream:
        run = self._backend.start(question)
        stream = Stream(self._caller.network, self._backend, run)
        self._caller.on_death.append(stream.leave)
        stream.begin(replica=self._caller.name, task=str(question.labels["task"]))
        return stream

    async def retrieve(self, conversation_id: ConversationId, response_id: str) -> RunState:
        state: RunState = await self._call(
            "retrieve", lambda: self._backend.retrieve(response_id), about=conversation_id
        )
        return state

    async def cancel(self, response_id: str) -> None:
        await self._call("cancel", lambda: self._backend.cancel(response_id), about=response_id)

    async def look(
        self, conversation_id: ConversationId, *, after_item: str, prompt: str
    ) -> Finding:
        finding: Finding = await self._call(
            "look",
            lambda: self._backend.look(conversation_id, after_item=after_item, prompt=prompt),
            about=conversation_id,
        )
        return finding

    async def exists(self, conversation_id: ConversationId) -> bool:
        if not self.keeps_conversations:
            return True
        is_there: bool = await self._call(
            "exists", lambda: self._backend.exists(conversation_id), about=conversation_id
        )
        return is_there

    async def messages(
        self, conversation_id: ConversationId, *, after_item: str = ""
    ) -> AsyncGenerator[KeptMessage, None]:
        kept: Sequence[KeptMessage] = await self._call(
            "messages",
            lambda: self._backend.messages(conversation_id, after_item=after_item),
            about=conversation_id,
        )
        for each in kept:
            yield each

    async def append(self, conversation_id: ConversationId, messages: Sequence[Message]) -> str:
        def act() -> str:
            if self._caller.network.storm.strikes(
                Trouble.BACKEND_TWICE, replica=self._caller.name, about=conversation_id
            ):
                # Both at once: what comes later to a conversation that is complete by then could
                # be told from nothing.
                self._backend.append(conversation_id, messages)
            return self._backend.append(conversation_id, messages)

        last: str = await self._call("append", act, about=conversation_id)
        return last

    async def link(self, conversation_id: ConversationId, item_ids: Sequence[str]) -> None:
        await self._call(
            "link", lambda: self._backend.link(conversation_id, item_ids), about=conversation_id
        )

    async def erase(
        self,
        conversation_id: ConversationId,
        *,
        response_ids: Sequence[str],
        spare: frozenset[str] = frozenset(),
    ) -> ErasureReport:
        report: ErasureReport = await self._call(
            "erase",
            lambda: self._backend.erase(conversation_id, response_ids=response_ids, spare=spare),
            about=conversation_id,
        )
        return report

    async def ping(self) -> str:
        await self._call("ping", lambda: None, about="")
        return "simulated"

    async def _call(self, method: str, act: Callable[[], Any], *, about: str) -> Any:
        async def work() -> Any:
            return act()

        fate = self._fate(method, about)
        return await self._caller.call(f"backend.{method}", work, fate, about=about)

    def _fate(self, method: str, about: str) -> Fate:
        caller = self._caller
        storm = caller.network.storm
        if storm.is_over:
            return GOES_WELL
        if caller.cut_off_until.get("backend", 0.0) > caller.network.loop.time():
            return Fate(Effect.NEVER, BackendUnavailable("The backend is down."))
        for trouble, (effect, error) in FATES.items():
            if method in self._open_to.get(trouble, ()) and storm.strikes(
                trouble, replica=caller.name, about=about
            ):
                return Fate(effect, error(storm))
        return GOES_WELL


async def _events(stream: Stream) -> AsyncGenerator[TurnEvent, None]:
    while True:
        event = await stream.next()
        if isinstance(event, BackendError):
            raise event
        yield event
        if isinstance(event, Answered | CutShort):
            return

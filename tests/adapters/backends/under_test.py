"""What the contract suite of backends asks for: a backend of each kind, and ways to trouble it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from dadm.adapters.backends.chat_completions import ChatCompletions
from dadm.adapters.backends.openai_conversations import OpenAIConversations
from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.adapters.simulators.openai import (
    Behaviour,
    CountingIds,
    Echo,
    Held,
    SimulatedOpenAI,
    create_app,
)
from dadm.domain.assistant import Assistant
from dadm.domain.thread import ConversationId
from dadm.domain.transcript import Exchange, Window
from dadm.ports.backend import Answered, ConversationBackend, Question, TurnEvent
from tests.adapters.backends.chat_server import ChatServer
from tests.adapters.simulators.in_process import InProcess

BASE_URL = "http://127.0.0.1/v1"
KEY = "sk-test-0123456789abcdef"
NO_HISTORY = Window(exchanges=(), left_out=0)
ANALYST = Assistant(name="analyst", instructions="Be brief.")


@dataclass(slots=True)
class HeldTurn:
    """A turn that is under way and does not end."""

    asked: Callable[[], Awaitable[object]]
    let_go: Callable[[], None]


@dataclass(slots=True)
class BackendUnderTest:
    """A backend, and what only its owner can do to it."""

    backend: ConversationBackend
    lose: Callable[[ConversationId], None]
    hold_turn: Callable[[], HeldTurn]
    can_cancel: bool = True


def question(conversation_id: ConversationId, prompt: str, **changes: Any) -> Question:
    """Give a question to the analyst, with nothing before it."""
    fields: dict[str, Any] = {
        "conversation_id": conversation_id,
        "assistant": ANALYST,
        "prompt": prompt,
        "history": NO_HISTORY,
        "labels": {"turn": "t1"},
    }
    return Question(**(fields | changes))


def history(*exchanges: tuple[str, str], left_out: int = 0) -> Window:
    """Give a window of exchanges."""
    return Window(
        exchanges=tuple(
            Exchange(sequence=sequence, prompt=prompt, answer=answer)
            for sequence, (prompt, answer) in enumerate(exchanges, 1)
        ),
        left_out=left_out,
    )


async def events_of(backend: ConversationBackend, asked: Question) -> list[TurnEvent]:
    """Take a turn to its end."""
    async with backend.take_turn(asked) as events:
        return [event async for event in events]


async def answer(
    backend: ConversationBackend, conversation_id: ConversationId, prompt: str, **changes: Any
) -> Answered:
    """Take a turn that is answered."""
    last = (await events_of(backend, question(conversation_id, prompt, **changes)))[-1]
    assert isinstance(last, Answered)
    return last


@asynccontextmanager
async def openai_under_test(
    behaviour: Behaviour | None = None, **settings: Any
) -> AsyncIterator[BackendUnderTest]:
    """Give the OpenAI backend before the simulator, which echoes."""
    async with (
        SimulatedOpenAI(Echo(), behaviour=behaviour, mint=CountingIds()) as simulated,
        httpx2.AsyncClient(transport=InProcess(create_app(simulated))) as http,
        OpenAIConversations(
            model="simulated", api_key=KEY, base_url=BASE_URL, http_client=http, **settings
        ) as backend,
    ):

        def hold_turn() -> HeldTurn:
            held = simulated.responder = Held(Echo())
            return HeldTurn(held.asked, held.let_go)

        yield BackendUnderTest(
            backend,
            simulated.delete_conversation,
            hold_turn,
            can_cancel=settings.get("use_background", True),
        )


@asynccontextmanager
async def chat_under_test() -> AsyncIterator[BackendUnderTest]:
    """Give the chat backend before a server that echoes."""
    async with (
        httpx2.AsyncClient(transport=InProcess(ChatServer())) as http,
        ChatCompletions(base_url=BASE_URL, model="tiny", http_client=http) as backend,
    ):
        yield BackendUnderTest(backend, not_possible, not_possible)


@asynccontextmanager
async def scripted_under_test(*, keeps_conversations: bool) -> AsyncIterator[BackendUnderTest]:
    """Give a scripted backend."""
    backend = ScriptedBackend(
        lambda asked: f"I was told: {asked.prompt}", keeps_conversations=keeps_conversations
    )

    def hold_turn() -> HeldTurn:
        hold = backend.hold_turn()
        return HeldTurn(hold.asked.wait, hold.let_go)

    async with backend:
        yield BackendUnderTest(backend, backend.lose, hold_turn)


def not_possible(*_: object) -> Any:
    """Fail: a backend of this kind cannot be troubled in this way."""
    raise NotImplementedError

"""ScriptedBackend: answers from a script, in memory and always the same, for tests and simulation."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dadm.adapters.backends.scripted_conversations import Conversations, Run
from dadm.adapters.backends.scripted_lines import Lines, Script
from dadm.domain.errors import BackendError, OutcomeUnknown
from dadm.domain.json import JsonObject
from dadm.domain.thread import BackendIdentity, ConversationId, Usage
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
    RunCancelled,
    RunFailed,
    RunGone,
    RunState,
    TurnEvent,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that reached the backend; `text` is the prompt, or the response id."""

    method: str
    conversation_id: str = ""
    text: str = ""


@dataclass(slots=True)
class Hold:
    """Keeps the next turn from ending: `asked` is set once it is under way, `let_go` ends it."""

    asked: asyncio.Event
    gone_on: asyncio.Event
    end: Callable[[], None] = lambda: None

    def let_go(self) -> None:
        """End the turn, whether or not its caller still waits for it."""
        self.end()
        self.gone_on.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    error: BackendError
    is_applied: bool


ITEMS_AT_ONCE = 20


class ScriptedBackend:
    """Plays the model's part by a script, and a backend's of either kind.

    Where it keeps conversations it does so as OpenAI does: a turn holds its conversation, is
    appended whole, and can be retrieved by its response id.

    Attributes:
        calls: Every call that was made, in order.
        questions: Every question that reached the model, in order.
        append_limit: As at OpenAI, or 0 where it keeps nothing.
        links_items: Whether it keeps any.
    """

    def __init__(
        self,
        answers: Script = "ok",
        *,
        keeps_conversations: bool = False,
        identity: BackendIdentity | None = None,
        history_characters: int = 100_000,
        new_id: Callable[[str], str] | None = None,
    ) -> None:
        """Prepare to answer.

        Args:
            answers: The script.
            keeps_conversations: Which kind of backend this is.
            identity: Who it is.
            history_characters: How much transcript it asks for, if it keeps none itself.
            new_id: Names things by a prefix; by default `conv_1`, `resp_1`, `msg_1`, `msg_2` …
        """
        self.calls: list[Call] = []
        self.questions: list[Question] = []
        self._lines = Lines(answers)
        self._identity = identity or BackendIdentity(adapter="scripted")
        self._history_characters = 0 if keeps_conversations else history_characters
        self.append_limit = ITEMS_AT_ONCE if keeps_conversations else 0
        self.links_items = keeps_conversations
        self._new_id = new_id or _counting()
        self._kept = Conversations(self._new_id) if keeps_conversations else None
        self._faults: list[_Fault] = []
        self._faults_by_method: dict[str, list[BackendError]] = {}
        self._holds: list[Hold] = []

    async def __aenter__(self) -> Self:
        """Do nothing."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Keep everything: the backend outlives those who use it."""

    # What a test does to it

    @property
    def conversation_ids(self) -> tuple[ConversationId, ...]:
        """The conversations there are."""
        return self._conversations.ids

    def lose(self, conversation_id: ConversationId) -> None:
        """Forget a conversation behind its owner's back."""
        self._conversations.lose(conversation_id)

    def fail_turn(self, error: BackendError, *, is_applied: bool = False) -> None:
        """Have the next turn raise `error`, before anything happened or after it was applied."""
        self._faults.append(_Fault(error=error, is_applied=is_applied))

    def fail(self, method: str, error: BackendError) -> None:
        """Have the next call of a method other than `take_turn` raise `error`, without effect."""
        self._faults_by_method.setdefault(method, []).append(error)

    def hold_turn(self) -> Hold:
        """Keep the next turn from ending until it is let go."""
        hold = Hold(asyncio.Event(), asyncio.Event())
        self._holds.append(hold)
        return hold

    # The port

    @property
    def identity(self) -> BackendIdentity:
        """Who this is."""
        return self._identity

    @property
    def keeps_conversations(self) -> bool:
        """Which kind of backend this is."""
        return self._kept is not None

    @property
    def history_characters(self) -> int:
        """How much transcript is worth reading."""
        return self._history_characters

    @staticmethod
    def parameter_names() -> frozenset[str]:
        """Give no names: a script takes no parameters."""
        return frozenset()

    async def open(self, *, labels: JsonObject) -> ConversationId:
        """Open a conversation, or name one."""
        del labels
        self._note("open")
        return self._kept.open() if self._kept else ConversationId(self._new_id("conv"))

    @asynccontextmanager
    async def take_turn(self, question: Question) -> AsyncGenerator[AsyncIterator[TurnEvent], None]:
        """Answer by the script; a run that its caller leaves has its end all the same."""
        self._note("take_turn", question.conversation_id, question.prompt)
        fault = self._faults.pop(0) if self._faults else None
        if fault and not fault.is_applied:
            raise fault.error
        line = await self._lines.line(question)
        if isinstance(line, BackendError):
            raise line
        run = self._kept.start(question.conversation_id, question.prompt) if self._kept else None
        self.questions.append(question)
        turn = _Turn(question=question, run=run, state=_state(question, line))
        hold = self._holds.pop(0) if self._holds else None
        if hold is None:
            self._end(turn)
        else:
            hold.end = lambda: self._end(turn)
        async with aclosing(self._events(turn, hold, fault)) as events:
            yield events

    def _end(self, turn: "_Turn") -> None:
        if self._kept and turn.run:
            self._kept.end(turn.run, turn.state)
            turn.state = turn.run.state

    async def _events(
        self, turn: "_Turn", hold: Hold | None, fault: _Fault | None
    ) -> AsyncGenerator[TurnEvent, None]:
        if turn.run:
            yield ResponseStarted(response_id=turn.run.response_id)
        else:
            yield _shown(turn.question)
        if hold:
            hold.asked.set()
            await hold.gone_on.wait()
        if fault:
            raise fault.error
        # Somebody may have cancelled the run meanwhile.
        match turn.run.state if turn.run else turn.state:
            case Answered() as answered:
                yield AnswerPart(text=answered.text)
                yield answered
            case CutShort() as cut:
                yield cut
            case state:
                raise OutcomeUnknown(f"The stream ended without an answer: {state}.")

    async def retrieve(self, conversation_id: ConversationId, response_id: str) -> RunState:
        """Say how a run stands."""
        self._note("retrieve", conversation_id, response_id)
        run = self._conversations.run(response_id)
        return run.state if run else RunGone()

    async def cancel(self, response_id: str) -> None:
        """End a run without an answer."""
        self._note("cancel", text=response_id)
        run = self._kept.run(response_id) if self._kept else None
        if self._kept and run:
            self._kept.end(run, RunCancelled())

    async def look(
        self, conversation_id: ConversationId, *, after_item: str, prompt: str
    ) -> Finding:
        """Look through the messages; see the port."""
        self._note("look", conversation_id, prompt)
        return self._conversations.look(conversation_id, after_item=after_item, prompt=prompt)

    async def exists(self, conversation_id: ConversationId) -> bool:
        """Say whether the conversation is there; always, where none are kept."""
        self._note("exists", conversation_id)
        return self._kept.exists(conversation_id) if self._kept else True

    def messages(
        self, conversation_id: ConversationId, *, after_item: str = ""
    ) -> AsyncIterator[KeptMessage]:
        """Give messages, the oldest first."""
        self._note("messages", conversation_id)
        return _each(self._conversations, conversation_id, after_item)

    async def append(self, conversation_id: ConversationId, messages: Sequence[Message]) -> str:
        """Append messages."""
        self._note("append", conversation_id)
        return self._conversations.append(conversation_id, messages)

    async def link(self, conversation_id: ConversationId, item_ids: Sequence[str]) -> None:
        """Put items of other conversations at the end of this one, once."""
        self._note("link", conversation_id)
        self._conversations.link(conversation_id, item_ids)

    async def erase(
        self,
        conversation_id: ConversationId,
        *,
        response_ids: Sequence[str],
        spare: frozenset[str] = frozenset(),
    ) -> ErasureReport:
        """Forget the conversation, and the runs that are named."""
        self._note("erase", conversation_id)
        if self._kept is None:
            return ErasureReport(deleted_items=0, deleted_responses=0)
        return self._kept.erase(conversation_id, response_ids, spare)

    async def ping(self) -> str:
        """Say that the script is there."""
        self._note("ping")
        return f"{self._identity.adapter}: answers from a script."

    @property
    def _conversations(self) -> Conversations:
        if self._kept is None:
            raise NotImplementedError
        return self._kept

    def _note(self, method: str, conversation_id: str = "", text: str = "") -> None:
        """Record a call; raise what it is to fail with."""
        self.calls.append(Call(method=method, conversation_id=conversation_id, text=text))
        faults = self._faults_by_method.get(method)
        if faults:
            raise faults.pop(0)


@dataclass(slots=True)
class _Turn:
    question: Question
    run: Run | None
    state: RunState


def _state(question: Question, line: str | CutShort | RunFailed) -> RunState:
    if not isinstance(line, str):
        return line
    read = sum(len(message.text.split()) for message in _shown(question).messages)
    return Answered(text=line, usage=Usage(input_tokens=read, output_tokens=len(line.split())))


def _shown(question: Question) -> MessagesShown:
    messages = messages_shown(
        instructions=question.assistant.instructions,
        window=question.history,
        prompt=question.prompt,
    )
    return MessagesShown(messages=messages, left_out=question.history.left_out)


async def _each(
    conversations: Conversations, conversation_id: ConversationId, after_item: str
) -> AsyncGenerator[KeptMessage, None]:
    for message in conversations.messages(conversation_id, after_item=after_item):
        yield message


def _counting() -> Callable[[str], str]:
    counts: Counter[str] = Counter()

    def new_id(prefix: str) -> str:
        counts[prefix] += 1
        return f"{prefix}_{counts[prefix]}"

    return new_id

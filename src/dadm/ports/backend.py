"""ConversationBackend: who continues a conversation, and what it can be asked about it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from dadm.domain.assistant import Assistant
from dadm.domain.errors import BackendError, BackendRefused
from dadm.domain.json import JsonObject
from dadm.domain.thread import BackendIdentity, ConversationId, Usage
from dadm.domain.transcript import Message, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One turn as a backend takes it.

    `history` is what a backend that keeps nothing shows the model before the prompt; it trims
    that to the model's window itself. A backend that keeps conversations ignores it.
    `answer_schema` already includes the assistant's own. `labels` are short texts for the
    backend's own records (turn and thread), never needed to find anything again. `attempt`
    names this one request and no other, `""` for none: a backend that knows a repeated request
    by such a name answers it once.
    """

    conversation_id: ConversationId
    assistant: Assistant
    prompt: str
    history: Window
    answer_schema: JsonObject | None = None
    labels: JsonObject
    attempt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesShown:
    """The messages the model is shown, all of them, in order; only where the backend keeps none."""

    messages: tuple[Message, ...]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseStarted:
    """The backend has named the run; it can be retrieved by `response_id` from now on."""

    response_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPart:
    """A piece of the answer as it is being written, for progress only."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The definite answer.

    `last_item_id` is the conversation's last item now. A backend that keeps conversations always
    says it, for the next turn is looked for behind it; where nothing is kept it is `""`.
    """

    text: str
    usage: Usage
    response_id: str = ""
    last_item_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutShort:
    """The backend ended the answer early and definitely (length, content filter).

    Whether the exchange is in the conversation must be looked up.
    """

    reason: str
    partial_text: str
    usage: Usage
    response_id: str = ""


TurnEvent: TypeAlias = MessagesShown | ResponseStarted | AnswerPart | Answered | CutShort


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The run is still under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed:
    """The run ended with an error; `is_temporary` for server and rate-limit errors.

    Where it is not, `error` is what a request with the same fault would have raised at once:
    BackendRefused, BackendMisconfigured or ConversationTooLong.
    """

    reason: str
    is_temporary: bool
    error: type[BackendError] = BackendRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled:
    """The run was cancelled: it is over, and nothing more of it will come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGone:
    """The backend no longer knows the run, whatever has become of it."""


RunState: TypeAlias = Running | Answered | CutShort | RunFailed | RunCancelled | RunGone
"""What a run that was named is doing, or how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAnswered:
    """Our message and its answer are in the conversation.

    `is_by_text_alone` says that the known item was gone, so that an earlier message of the same
    words may have been taken for ours.
    """

    answered: Answered
    foreign_items: int = 0
    is_by_text_alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundUnanswered:
    """Our message is in the conversation without an answer, or with an orphaned tool call."""

    foreign_items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundNothing:
    """Nothing of ours came after the item we knew. A request may still be under way."""

    foreign_items: int = 0


Finding: TypeAlias = FoundAnswered | FoundUnanswered | FoundNothing
"""What looking at a conversation found after an item we knew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMessage:
    """A message as the backend keeps it."""

    item_id: str
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """What an erasure removed, and what it could not reach."""

    deleted_items: int
    deleted_responses: int
    unreachable: tuple[str, ...] = ()


class ConversationBackend(Protocol):
    """Continues conversations.

    Two kinds: those that keep conversations (`keeps_conversations`), where a turn is appended
    to what is there; and those that keep nothing, which are shown a window of our transcript
    each time. The latter mint conversation ids, answer `exists` with True, and raise
    `NotImplementedError` from `retrieve`, `look`, `messages`, `append` and `link`, which the
    application never calls there.

    Errors common to all methods: BackendUnavailable (surely not accepted), OutcomeUnknown (no
    definite answer, a reply that is not the backend's included), BackendMisconfigured (our key, model or parameters), ConversationLost (the
    backend answered that it has no such conversation). No method retries a write by itself, and
    none answers from a guess: what is not known is OutcomeUnknown.

    Used as an async context manager; entering opens connections and costs no request.
    """

    @property
    def identity(self) -> BackendIdentity:
        """Who this is; a conversation opened under another identity is never asked for here."""
        ...

    @property
    def keeps_conversations(self) -> bool:
        """Whether the backend keeps conversations itself."""
        ...

    @property
    def append_limit(self) -> int:
        """How many messages one `append` takes at most."""
        ...

    @property
    def links_items(self) -> bool:
        """Whether `link` works here."""
        ...

    @property
    def history_characters(self) -> int:
        """How much transcript is worth reading for `Question.history`, in characters; 0 for none."""
        ...

    async def open(self, *, labels: JsonObject) -> ConversationId:
        """Open an empty conversation. Repeating opens another; an unknown outcome leaks one."""
        ...

    def take_turn(
        self, question: Question
    ) -> AbstractAsyncContextManager[AsyncIterator[TurnEvent]]:
        """Ask once. The events end with exactly one Answered or CutShort, or an error is raised.

        MessagesShown or ResponseStarted come first where they apply, AnswerPart may follow.
        Closing the iterator early, or cancelling, leaves the run as it is at the backend.

        Raises (from entering or iterating):
            BackendUnavailable: Not applied.
            BackendMisconfigured: Not applied.
            BackendRefused: Not applied; the backend will not answer this.
            ConversationTooLong: Not applied.
            ConversationLost: Not applied; reported by the turn itself, to be confirmed.
            ConversationBusy: Another run holds the conversation.
            OutcomeUnknown: Everything else, a broken or silent stream included; and nothing else
                once ResponseStarted was given.
        """
        ...

    async def retrieve(self, conversation_id: ConversationId, response_id: str) -> RunState:
        """Say what the run of that name is doing. Safe to repeat."""
        ...

    async def cancel(self, response_id: str) -> None:
        """Stop a run where the backend can; a run that has ended or is unknown is no error."""
        ...

    async def look(
        self, conversation_id: ConversationId, *, after_item: str, prompt: str
    ) -> Finding:
        """Look for our message `prompt` and its answer behind `after_item` (`""`: from the start).

        Reads pages of items until the end; where `after_item` is itself gone, pages backwards
        to the latest message of our words, and says so. Never writes. Safe to repeat.

        Raises:
            ConversationLost: The conversation is confirmed to be gone.
        """
        ...

    async def exists(self, conversation_id: ConversationId) -> bool:
        """Say whether the backend has the conversation; False only if it said so definitely."""
        ...

    def messages(
        self, conversation_id: ConversationId, *, after_item: str = ""
    ) -> AsyncIterator[KeptMessage]:
        """Read the user and assistant messages behind `after_item`, oldest first, in pages.

        `""` is for all of them. Safe to repeat.

        Raises:
            ConversationBroken: There is no item `after_item` any more.
        """
        ...

    async def append(self, conversation_id: ConversationId, messages: Sequence[Message]) -> str:
        """Append at most `append_limit` messages in one request; give the last item's id.

        Not repeatable: after OutcomeUnknown the caller looks before it goes on.

        Raises:
            ConversationBusy: A run holds the conversation; not applied.
        """
        ...

    async def link(self, conversation_id: ConversationId, item_ids: Sequence[str]) -> None:
        """Put items that are kept in another conversation of ours at the end of this one.

        They keep their ids and are there once, however often this is repeated, also when an
        earlier request arrives late. At most `append_limit` items; all of them or none.
        Only where `links_items`.

        Raises:
            ConversationBusy: A run holds the conversation; not applied.
        """
        ...

    async def erase(
        self,
        conversation_id: ConversationId,
        *,
        response_ids: Sequence[str],
        spare: frozenset[str] = frozenset(),
    ) -> ErasureReport:
        """Delete the conversation, its items and the named responses; what is gone counts as done.

        Items of the ids in `spare` are left as they are, for another conversation holds them too
        (see `link`). Safe to repeat; picks up where it stopped.
        """
        ...

    async def ping(self) -> str:
        """Make the cheapest request that proves the backend usable; give a short description.

        Raises:
            BackendUnavailable: Not reachable.
            BackendMisconfigured: Reachable, but our key or model is wrong.
        """
        ...


class ConversationBackends(Protocol):
    """The backends this replica can reach, found by the identity a conversation was opened under."""

    @property
    def default(self) -> ConversationBackend:
        """The backend that new threads are opened at."""
        ...

    async def reachable(self) -> Sequence[ConversationBackend]:
        """Give all that may keep conversations and can be used as things are set, started.

        Starting costs no request. Those that keep nothing are among them only if in use.
        """
        ...

    async def of(self, identity: BackendIdentity) -> ConversationBackend:
        """Give the backend of that identity, starting it if need be.

        Raises:
            BackendMisconfigured: None is configured under that identity; the message says which
                it is and what to set.
        """
        ...

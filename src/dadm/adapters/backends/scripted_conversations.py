"""Conversations in memory, with runs on them: what the scripted backend keeps when it keeps any."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dadm.domain.errors import (
    BackendRefused,
    ConversationBroken,
    ConversationBusy,
    ConversationLost,
)
from dadm.domain.thread import NO_USAGE, ConversationId
from dadm.domain.transcript import Message, Role
from dadm.ports.backend import (
    Answered,
    CutShort,
    ErasureReport,
    Finding,
    FoundAnswered,
    FoundNothing,
    FoundUnanswered,
    KeptMessage,
    Running,
    RunState,
)


@dataclass(slots=True, kw_only=True)
class Run:
    """A run on a conversation, from its start to its end."""

    response_id: str
    conversation_id: ConversationId
    prompt: str
    state: RunState = field(default_factory=Running)


@dataclass(slots=True)
class _Conversation:
    messages: list[KeptMessage] = field(default_factory=list)
    cut_short: set[str] = field(default_factory=set)
    """Items that are half an answer."""
    running: str = ""


class Conversations:
    """Keeps messages as OpenAI does: an exchange appears whole or not at all, one run at a time."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        """Name everything by `new_id`."""
        self._new_id = new_id
        self._conversations: dict[ConversationId, _Conversation] = {}
        self._runs: dict[str, Run] = {}
        self._items: dict[str, KeptMessage] = {}

    @property
    def ids(self) -> tuple[ConversationId, ...]:
        """The conversations there are, in the order they were opened."""
        return tuple(self._conversations)

    def open(self) -> ConversationId:
        conversation_id = ConversationId(self._new_id("conv"))
        self._conversations[conversation_id] = _Conversation()
        return conversation_id

    def lose(self, conversation_id: ConversationId) -> None:
        """Forget a conversation, if it is there."""
        self._conversations.pop(conversation_id, None)

    def exists(self, conversation_id: ConversationId) -> bool:
        return conversation_id in self._conversations

    def messages(
        self, conversation_id: ConversationId, *, after_item: str = ""
    ) -> tuple[KeptMessage, ...]:
        """Give the messages behind an item, or all, the oldest first.

        Raises:
            ConversationLost: There is no such conversation.
            ConversationBroken: There is no such item in it.
        """
        kept = self._of(conversation_id).messages
        if not after_item:
            return tuple(kept)
        for place, message in enumerate(kept):
            if message.item_id == after_item:
                return tuple(kept[place + 1 :])
        raise ConversationBroken(f"There is no item {after_item} in {conversation_id}.")

    def append(self, conversation_id: ConversationId, messages: Sequence[Message]) -> str:
        """Add messages; give the id of the last.

        Raises:
            ConversationLost: There is no such conversation.
            ConversationBusy: A run holds it.
        """
        conversation = self._of(conversation_id)
        self._refuse_if_running(conversation)
        return self._add(conversation, messages)

    def link(self, conversation_id: ConversationId, item_ids: Sequence[str]) -> None:
        """Add items of other conversations under their own ids, unless they are there already.

        Raises:
            ConversationLost: There is no such conversation.
            ConversationBusy: A run holds it.
            BackendRefused: There is no such item anywhere.
        """
        conversation = self._of(conversation_id)
        self._refuse_if_running(conversation)
        there = {message.item_id for message in conversation.messages}
        if there & set(item_ids):
            return
        unknown = [item_id for item_id in item_ids if item_id not in self._items]
        if unknown:
            raise BackendRefused(f"There is no item {unknown[0]}.")
        conversation.messages.extend(self._items[item_id] for item_id in item_ids)

    def start(self, conversation_id: ConversationId, prompt: str) -> Run:
        """Begin a run, which holds the conversation until it is ended.

        Raises:
            ConversationLost: There is no such conversation.
            ConversationBusy: A run holds it.
        """
        conversation = self._of(conversation_id)
        self._refuse_if_running(conversation)
        run = Run(response_id=self._new_id("resp"), conversation_id=conversation_id, prompt=prompt)
        conversation.running = run.response_id
        self._runs[run.response_id] = run
        return run

    def end(self, run: Run, state: RunState) -> None:
        """End a run, once; what was asked and answered is added where there is an answer."""
        if not isinstance(run.state, Running):
            return
        conversation = self._conversations.get(run.conversation_id) or _Conversation()
        conversation.running = ""
        if isinstance(state, Answered | CutShort):
            is_whole = isinstance(state, Answered)
            text = state.text if isinstance(state, Answered) else state.partial_text
            exchange = (
                Message(role=Role.USER, text=run.prompt),
                Message(role=Role.ASSISTANT, text=text),
            )
            last = self._add(conversation, exchange)
            if not is_whole:
                conversation.cut_short.add(last)
            state = replace(state, response_id=run.response_id)
            state = replace(state, last_item_id=last) if isinstance(state, Answered) else state
        run.state = state

    def run(self, response_id: str) -> Run | None:
        return self._runs.get(response_id)

    def erase(
        self, conversation_id: ConversationId, response_ids: Sequence[str], spare: frozenset[str]
    ) -> ErasureReport:
        """Delete a conversation and its items, which are then in no other one either."""
        erased = self._conversations.pop(conversation_id, _Conversation())
        gone = {each.item_id for each in erased.messages} - spare
        for item_id in gone:
            self._items.pop(item_id, None)
        for conversation in self._conversations.values():
            conversation.messages = [
                each for each in conversation.messages if each.item_id not in gone
            ]
        runs = [self._runs.pop(name) for name in response_ids if name in self._runs]
        return ErasureReport(deleted_items=len(gone), deleted_responses=len(runs))

    def look(self, conversation_id: ConversationId, *, after_item: str, prompt: str) -> Finding:
        """Look for an exchange behind an item, or backwards if that item is not there.

        Raises:
            ConversationLost: There is no such conversation.
        """
        conversation = self._of(conversation_id)
        kept = conversation.messages
        question = Message(role=Role.USER, text=prompt)
        places = [place for place, each in enumerate(kept) if each.message == question]
        known = [place for place, each in enumerate(kept) if each.item_id == after_item]
        start = known[0] + 1 if known else 0
        if after_item and not known:
            # Only our latest question can be told from older ones of the same words.
            places, start = places[-1:], places[-1] if places else len(kept)
        places = [place for place in places if place >= start]
        foreign = len(kept) - start
        if not places:
            return FoundNothing(foreign_items=foreign)
        answer = kept[places[0] + 1] if places[0] + 1 < len(kept) else None
        if answer is None or answer.message.role is not Role.ASSISTANT:
            return FoundUnanswered(foreign_items=foreign - 1)
        if answer.item_id in conversation.cut_short:
            return FoundUnanswered(foreign_items=foreign - 2)
        answered = Answered(text=answer.message.text, usage=NO_USAGE, last_item_id=kept[-1].item_id)
        return FoundAnswered(
            answered=answered,
            foreign_items=foreign - 2,
            is_by_text_alone=bool(after_item) and not known,
        )

    def _of(self, conversation_id: ConversationId) -> _Conversation:
        found = self._conversations.get(conversation_id)
        if found is None:
            raise ConversationLost(f"There is no conversation {conversation_id}.")
        return found

    def _refuse_if_running(self, conversation: _Conversation) -> None:
        if conversation.running:
            raise ConversationBusy(f"{conversation.running} is running on this conversation.")

    def _add(self, conversation: _Conversation, messages: Sequence[Message]) -> str:
        for message in messages:
            kept = KeptMessage(item_id=self._new_id("msg"), message=message)
            self._items[kept.item_id] = kept
            conversation.messages.append(kept)
        return conversation.messages[-1].item_id

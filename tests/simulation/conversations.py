"""Conversations as OpenAI keeps them: items, one run at a time, an exchange whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dadm.adapters.backends.openai_items import find_exchange, is_question, kept_message
from dadm.domain.errors import ConversationBroken, ConversationBusy, ConversationLost
from dadm.domain.transcript import Message, Role
from dadm.ports.backend import Finding, KeptMessage

Item = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Conversation:
    """One conversation; `locked_by` names the run that holds it."""

    id: str
    items: list[Item] = field(default_factory=list)
    locked_by: str = ""
    foreign: set[str] = field(default_factory=set)
    """Items that somebody else wrote or that the weather took: no work of ours."""

    def messages(self) -> tuple[Message, ...]:
        """Give the messages in it, oldest first."""
        return tuple(kept.message for kept in map(kept_message, self.items) if kept)

    def kept(self) -> tuple[KeptMessage, ...]:
        """Give the messages in it with their ids, oldest first."""
        return tuple(kept for kept in map(kept_message, self.items) if kept)

    def refuse_if_locked(self) -> None:
        """Let nobody write while a run holds it.

        Raises:
            ConversationBusy: One does.
        """
        if self.locked_by:
            raise ConversationBusy(f"{self.locked_by} holds {self.id}.")

    def refuse_if_broken(self) -> None:
        """Let no run begin behind a call that nobody answered.

        Raises:
            ConversationBroken: There is one.
        """
        if any(item["type"] == "function_call" for item in self.items):
            raise ConversationBroken(f"No tool output found for a call in {self.id}.")

    def find(self, *, after_item: str, prompt: str) -> Finding:
        """Look behind an item, or backwards to our message where that item is not there."""
        place = next((n for n, item in enumerate(self.items) if item["id"] == after_item), None)
        if not after_item or place is not None:
            start = 0 if place is None else place + 1
            return find_exchange(self.items[start:], prompt)
        ours = [n for n, item in enumerate(self.items) if is_question(item, prompt)]
        return find_exchange(self.items[ours[-1] :] if ours else [], prompt)


class Conversations:
    """The conversations there are."""

    def __init__(self) -> None:
        self.by_id: dict[str, Conversation] = {}
        self._items = 0

    def of(self, conversation_id: str) -> Conversation:
        """Find a conversation.

        Raises:
            ConversationLost: There is none of that id.
        """
        found = self.by_id.get(conversation_id)
        if found is None:
            raise ConversationLost(f"There is no conversation {conversation_id}.")
        return found

    def message_items(self, messages: Sequence[Message]) -> list[Item]:
        """Make items of messages."""
        return [
            {
                "id": self.new_item_id(),
                "type": "message",
                "role": message.role.value,
                "content": message.text,
            }
            for message in messages
        ]

    def new_item_id(self) -> str:
        """Name an item."""
        self._items += 1
        return f"item_{self._items}"


def question_and_answer(prompt: str, answer: str) -> tuple[Message, Message]:
    """Give the two messages of an exchange."""
    return Message(role=Role.USER, text=prompt), Message(role=Role.ASSISTANT, text=answer)

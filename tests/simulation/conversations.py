"""Conversations as OpenAI keeps them: items, one run at a time, an exchange whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dadm.adapters.backends.openai_items import find_exchange, is_question, kept_message
from dadm.domain.errors import ConversationBroken, ConversationBusy, ConversationLost
from dadm.domain.transcript import Message
from dadm.ports.backend import Finding, FoundAnswered, KeptMessage

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

    def kept(self, *, after_item: str) -> tuple[KeptMessage, ...]:
        """Give the messages behind an item, or all, with their ids, oldest first.

        Raises:
            ConversationBroken: There is no such item.
        """
        place = self._place_of(after_item)
        if place is None:
            raise ConversationBroken(f"There is no item {after_item} in {self.id}.")
        return tuple(kept for kept in map(kept_message, self.items[place:]) if kept)

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
        place = self._place_of(after_item)
        if place is not None:
            return find_exchange(self.items[place:], prompt)
        ours = [n for n, item in enumerate(self.items) if is_question(item, prompt)]
        finding = find_exchange(self.items[ours[-1] :] if ours else [], prompt)
        if isinstance(finding, FoundAnswered):
            return replace(finding, is_by_text_alone=True)
        return finding

    def _place_of(self, after_item: str) -> int | None:
        """Find where what follows an item begins; None where there is no such item."""
        if not after_item:
            return 0
        behind = (n + 1 for n, item in enumerate(self.items) if item["id"] == after_item)
        return next(behind, None)


class Conversations:
    """The conversations there are."""

    def __init__(self) -> None:
        self.by_id: dict[str, Conversation] = {}
        self.items: dict[str, Item] = {}
        """Every item that was ever made: items outlive the conversations they were in."""

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
            self.new_item(type="message", role=message.role.value, content=message.text)
            for message in messages
        ]

    def new_item(self, **content: str) -> Item:
        """Make an item with an id of its own."""
        item: Item = {"id": f"item_{len(self.items) + 1}", **content}
        self.items[item["id"]] = item
        return item

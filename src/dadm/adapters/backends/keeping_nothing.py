"""What a backend that keeps nothing says when asked about what it kept."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NoReturn

from dadm.domain.json import JsonObject
from dadm.domain.thread import ConversationId
from dadm.domain.transcript import Message
from dadm.ports.backend import ErasureReport, KeptMessage


class KeepsNothing:
    """The half of a backend that is the same wherever the transcript is all there is.

    A conversation is a name. It always exists, since it is nowhere else, and erasing it takes
    nothing away; there is nothing to look at.
    """

    keeps_conversations = False
    append_limit = 0
    links_items = False

    def __init__(self, new_id: Callable[[], str]) -> None:
        """Name conversations by `new_id`."""
        self._new_id = new_id

    async def open(self, *, labels: JsonObject) -> ConversationId:
        """Name a conversation."""
        del labels
        return ConversationId(self._new_id())

    async def exists(self, conversation_id: ConversationId) -> bool:
        """Say yes."""
        del conversation_id
        return True

    async def cancel(self, response_id: str) -> None:
        """Do nothing: a run ends when its caller leaves."""
        del response_id

    async def erase(
        self,
        conversation_id: ConversationId,
        *,
        response_ids: Sequence[str],
        spare: frozenset[str] = frozenset(),
    ) -> ErasureReport:
        """Report that there was nothing."""
        del conversation_id, response_ids, spare
        return ErasureReport(deleted_items=0, deleted_responses=0)

    async def retrieve(self, conversation_id: ConversationId, response_id: str) -> NoReturn:
        """Refuse: there are no runs to retrieve."""
        raise NotImplementedError(conversation_id, response_id)

    async def look(
        self, conversation_id: ConversationId, *, after_item: str, prompt: str
    ) -> NoReturn:
        """Refuse: there is nothing to look at."""
        raise NotImplementedError(conversation_id, after_item, prompt)

    def messages(
        self, conversation_id: ConversationId, *, after_item: str = ""
    ) -> AsyncIterator[KeptMessage]:
        """Refuse: there are no messages."""
        raise NotImplementedError(conversation_id, after_item)

    async def append(
        self, conversation_id: ConversationId, messages: Sequence[Message]
    ) -> NoReturn:
        """Refuse: nothing would keep them."""
        raise NotImplementedError(conversation_id, messages)

    async def link(self, conversation_id: ConversationId, item_ids: Sequence[str]) -> NoReturn:
        """Refuse: there are no items."""
        raise NotImplementedError(conversation_id, item_ids)

"""Deleting a conversation at OpenAI with all that belongs to it, as far as OpenAI lets us."""

from collections.abc import Awaitable, Sequence

import openai

from dadm.adapters.backends.openai_errors import ErrorTable
from dadm.adapters.backends.openai_pages import ItemPages
from dadm.adapters.backends.openai_replies import says_gone_or_not_offered
from dadm.domain.errors import BackendRefused, ConversationLost
from dadm.domain.thread import ConversationId
from dadm.ports.backend import ErasureReport


class Erasure:
    """Deletes item by item, since a deleted conversation leaves its items behind.

    What is already gone is done; what the server refuses to delete, or never deletes, is reported
    as unreachable; any other error ends the erasure, which can be run again.
    """

    def __init__(self, client: openai.AsyncOpenAI, pages: ItemPages, errors: ErrorTable) -> None:
        """Delete through `client`."""
        self._client = client
        self._pages = pages
        self._errors = errors.of_deletions()
        self._unreachable: list[str] = []

    async def run(
        self,
        conversation_id: ConversationId,
        response_ids: Sequence[str],
        spare: frozenset[str] = frozenset(),
    ) -> ErasureReport:
        """Delete the items but those to spare, the responses, then the conversation itself.

        A deleted conversation leaves its items as they are, so what is spared stays where else
        it is held.

        Raises:
            BackendError: Something was not deleted, and may be when this is repeated.
        """
        items = [each for each in await self._item_ids(conversation_id) if each not in spare]
        deleted_items = 0
        for item_id in items:
            deletion = self._client.conversations.items.delete(
                item_id, conversation_id=conversation_id
            )
            deleted_items += await self._done(item_id, deletion)
        deleted_responses = 0
        for response_id in dict.fromkeys(response_ids):
            deletion_of_response = self._client.responses.delete(response_id)
            deleted_responses += await self._done(response_id, deletion_of_response)
        await self._done(conversation_id, self._client.conversations.delete(conversation_id))
        return ErasureReport(
            deleted_items=deleted_items,
            deleted_responses=deleted_responses,
            unreachable=tuple(self._unreachable),
        )

    async def _item_ids(self, conversation_id: ConversationId) -> list[str]:
        # All of them before the first is deleted: a cursor must not vanish under the listing.
        try:
            return [
                str(item["id"])
                async for page in self._pages.pages(conversation_id, order="asc")
                for item in page
            ]
        except ConversationLost:
            return []

    async def _done(self, name: str, deletion: Awaitable[object]) -> bool:
        """Delete; say whether it was there, and note it where it cannot be deleted."""
        try:
            with self._errors.at_boundary(but=says_gone_or_not_offered):
                await deletion
        except openai.NotFoundError:
            return False
        except (BackendRefused, openai.APIStatusError):
            self._unreachable.append(name)
            return False
        return True

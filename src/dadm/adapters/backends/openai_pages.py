"""A conversation's items at OpenAI, read page by page in either direction; nothing is written."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Literal
from urllib.parse import quote

import openai

from dadm.adapters.backends.openai_client import listed
from dadm.adapters.backends.openai_errors import ErrorTable
from dadm.adapters.backends.openai_items import Json, find_exchange, is_question
from dadm.adapters.backends.openai_replies import says_unknown_item
from dadm.domain.thread import ConversationId
from dadm.ports.backend import Finding, FoundAnswered

PAGE_SIZE = 100
Order = Literal["asc", "desc"]


class ItemPages:
    """Reads the items of conversations."""

    def __init__(self, client: openai.AsyncOpenAI, errors: ErrorTable) -> None:
        """Read through `client`."""
        self._client = client
        self._errors = errors

    async def pages(
        self, conversation_id: ConversationId, *, order: Order, after: str = ""
    ) -> AsyncGenerator[list[Json], None]:
        """Give the items behind `after` in pages; from that end of the conversation for `""`.

        Raises:
            BackendError: As the table says.
            openai.NotFoundError: There is no item `after`.
        """
        while True:
            page = await self._page(conversation_id, order, after)
            items: list[Json] = list(page.get("data") or [])
            yield items
            after = str(items[-1].get("id") or "") if items else ""
            if not after or not page.get("has_more"):
                return

    async def last_id(self, conversation_id: ConversationId) -> str:
        """Give the id of the conversation's last item; `""` if it has none."""
        page = await self._page(conversation_id, "desc", "", limit=1)
        items = page.get("data") or []
        return str(items[0].get("id") or "") if items else ""

    async def find(self, conversation_id: ConversationId, *, after: str, prompt: str) -> Finding:
        """Look for our exchange behind `after`, or backwards if that item is gone."""
        try:
            items = [
                item
                async for page in self.pages(conversation_id, order="asc", after=after)
                for item in page
            ]
        except openai.NotFoundError:
            finding = find_exchange(await self._back_to(conversation_id, prompt), prompt)
            if isinstance(finding, FoundAnswered):
                return replace(finding, is_by_text_alone=True)
            return finding
        return find_exchange(items, prompt)

    async def _back_to(self, conversation_id: ConversationId, prompt: str) -> list[Json]:
        """Give the items from our latest message `prompt` on, oldest first; none if it is not there."""
        behind: list[Json] = []
        async for page in self.pages(conversation_id, order="desc"):
            for item in page:
                behind.append(item)
                if is_question(item, prompt):
                    return behind[::-1]
        return []

    async def _page(
        self, conversation_id: ConversationId, order: Order, after: str, *, limit: int = PAGE_SIZE
    ) -> Json:
        params = {"after": after} if after else {}
        with self._errors.at_boundary(but=says_unknown_item):
            return await listed(
                self._client,
                items_path(conversation_id),
                service=self._errors.service,
                **params,
                limit=limit,
                order=order,
            )


def items_path(conversation_id: str) -> str:
    """Give where a conversation's items are listed."""
    return f"/conversations/{quote(conversation_id, safe='')}/items"

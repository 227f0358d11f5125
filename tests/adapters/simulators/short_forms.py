"""Short forms of what these tests send through the official SDK and read from its replies."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseInputItemParam

MODEL = "simulated"
PATIENCE_SECONDS = 10
T = TypeVar("T")


def user(text: str) -> ResponseInputItemParam:
    return {"role": "user", "content": text, "type": "message"}


def assistant(text: str) -> ResponseInputItemParam:
    return {"role": "assistant", "content": text, "type": "message"}


def untyped(**fields: object) -> ResponseInputItemParam:
    """Give an item, right or wrong, past the SDK's own types."""
    return cast("ResponseInputItemParam", fields)


def message(role: str, *parts: dict[str, Any]) -> ResponseInputItemParam:
    return untyped(role=role, content=list(parts))


def reference(item_id: str) -> ResponseInputItemParam:
    return {"type": "item_reference", "id": item_id}


def call_of(name: str, call_id: str) -> ResponseInputItemParam:
    return {"type": "function_call", "name": name, "call_id": call_id, "arguments": "{}"}


def output_of(call_id: str, output: str) -> ResponseInputItemParam:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def id_of(item: object) -> str:
    return str(item.id)  # type: ignore[attr-defined]  # one of thirty types of item


def text_of(item: object) -> str:
    """Give the text of a message's first part, wherever the SDK's types put it."""
    return str(item.content[0].text)  # type: ignore[attr-defined]  # one of thirty types of item


async def texts(client: AsyncOpenAI, conversation_id: str, *, page: int = 100) -> list[str]:
    """Give the texts of a conversation's messages, oldest first."""
    listed = client.conversations.items.list(conversation_id, order="asc", limit=page)
    return [text_of(item) async for item in listed if item.type == "message"]


async def conversation(client: AsyncOpenAI, *items: ResponseInputItemParam) -> str:
    return (await client.conversations.create(items=items)).id


async def ask(client: AsyncOpenAI, conversation_id: str, text: str) -> Response:
    return await client.responses.create(model=MODEL, conversation=conversation_id, input=text)


async def soon(work: Awaitable[T]) -> T:
    """Wait for something that only a bug would delay."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await work

"""Conversations and their items, through the official SDK."""

import pytest
from openai import AsyncOpenAI, NotFoundError

from dadm.adapters.simulators.openai import SimulatedOpenAI
from tests.adapters.simulators.conftest import NOON
from tests.adapters.simulators.short_forms import (
    assistant,
    call_of,
    conversation,
    id_of,
    message,
    output_of,
    reference,
    text_of,
    texts,
    untyped,
    user,
)


async def test_a_conversation_is_made_empty_with_its_metadata_and_time(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(metadata={"thread": "t-1"})

    assert made.id.startswith("conv_")
    assert made.created_at == NOON
    assert made.metadata == {"thread": "t-1"}
    assert await client.conversations.retrieve(made.id) == made
    listed = await client.conversations.items.list(made.id)
    assert listed.data == []
    assert listed.has_more is False


async def test_a_conversation_is_made_with_items(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=[user("one"), assistant("two")])

    assert await texts(client, made.id) == ["one", "two"]


async def test_added_items_come_back_with_minted_ids_in_order(client: AsyncOpenAI) -> None:
    made = await client.conversations.create()

    added = await client.conversations.items.create(
        made.id,
        items=[
            user("question"),
            message("assistant", {"type": "output_text", "text": "answer"}),
            call_of("f", "call_1"),
            output_of("call_1", "done"),
            {"type": "reasoning", "summary": [], "id": "rs_mine"},
        ],
    )

    kinds = [item.type for item in added.data]
    assert kinds == ["message", "message", "function_call", "function_call_output", "reasoning"]
    assert len({item.id for item in added.data}) == 5
    assert added.data[4].id != "rs_mine"
    assert added.first_id == added.data[0].id
    assert added.last_id == added.data[-1].id
    one = await client.conversations.items.retrieve(id_of(added.data[1]), conversation_id=made.id)
    assert one == added.data[1]


async def test_listing_is_newest_first_in_pages_of_twenty(client: AsyncOpenAI) -> None:
    made = await client.conversations.create()
    for start in (0, 15):
        batch = [user(str(number)) for number in range(start, start + 15)]
        await client.conversations.items.create(made.id, items=batch)

    page = await client.conversations.items.list(made.id)

    shown = [text_of(item) for item in page.data]
    assert shown == [str(number) for number in range(29, 9, -1)]
    assert page.has_more is True
    rest = await page.get_next_page()
    assert [text_of(item) for item in rest.data][-1] == "0"
    assert rest.has_more is False
    assert await texts(client, made.id) == [str(number) for number in range(30)]


async def test_after_goes_on_behind_an_item_in_either_order(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=[user("1"), user("2"), user("3")])
    middle = (await client.conversations.items.list(made.id)).data[1]

    later = await client.conversations.items.list(made.id, after=id_of(middle), order="asc")
    earlier = await client.conversations.items.list(made.id, after=id_of(middle))

    assert [text_of(item) for item in later.data] == ["3"]
    assert [text_of(item) for item in earlier.data] == ["1"]


async def test_an_update_sets_the_metadata(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(metadata={"a": "1"})

    updated = await client.conversations.update(made.id, metadata={"b": "2"})

    assert updated.metadata == {"b": "2"}
    assert (await client.conversations.retrieve(made.id)).metadata == {"b": "2"}


async def test_a_removed_item_is_gone_from_its_conversation_alone(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=[user("1"), user("2")])
    first = (await client.conversations.items.list(made.id, order="asc")).data[0]

    told = await client.conversations.items.delete(id_of(first), conversation_id=made.id)

    assert told == await client.conversations.retrieve(made.id)
    assert await texts(client, made.id) == ["2"]
    with pytest.raises(NotFoundError):
        await client.conversations.items.retrieve(id_of(first), conversation_id=made.id)
    with pytest.raises(NotFoundError):
        await client.conversations.items.delete(id_of(first), conversation_id=made.id)


async def test_a_deleted_conversation_answers_404_to_everything(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=[user("1")])
    item = (await client.conversations.items.list(made.id)).data[0]

    deleted = await client.conversations.delete(made.id)

    assert deleted.deleted is True
    for call in (
        client.conversations.retrieve(made.id),
        client.conversations.update(made.id, metadata={}),
        client.conversations.delete(made.id),
        client.conversations.items.list(made.id),
        client.conversations.items.create(made.id, items=[user("2")]),
        client.conversations.items.retrieve(id_of(item), conversation_id=made.id),
        client.conversations.items.delete(id_of(item), conversation_id=made.id),
    ):
        with pytest.raises(NotFoundError, match="Conversation with id"):
            await call


async def test_an_item_is_linked_elsewhere_by_its_id_with_its_original_content(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    one = await client.conversations.create(items=[user("original")])
    item_id = simulated.items_of(one.id)[0]["id"]
    two, three = await client.conversations.create(), await client.conversations.create()

    by_reference = await client.conversations.items.create(two.id, items=[reference(item_id)])
    by_own_id = await client.conversations.items.create(
        three.id,
        items=[untyped(type="message", id=item_id, role="user", content="changed")],
    )

    assert [item.id for item in by_reference.data] == [item_id]
    assert [item.id for item in by_own_id.data] == [item_id]
    assert await texts(client, three.id) == ["original"]


async def test_a_fresh_conversation_takes_one_item_twice_in_a_batch(client: AsyncOpenAI) -> None:
    one = await client.conversations.create(items=[user("again")])
    item_id = (await client.conversations.items.list(one.id)).last_id or ""
    fresh = await client.conversations.create()

    same = reference(item_id)
    await client.conversations.items.create(fresh.id, items=[same, same])

    assert await texts(client, fresh.id) == ["again", "again"]


async def test_images_and_files_are_kept_as_they_were_given(client: AsyncOpenAI) -> None:
    made = await conversation(
        client,
        message(
            "user",
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "image_url": "data:,x", "detail": "low"},
            {"type": "input_file", "file_id": "file-1"},
        ),
    )

    item = (await client.conversations.items.list(made)).data[0]

    assert item.type == "message"
    assert [part.type for part in item.content] == ["input_text", "input_image", "input_file"]

"""The operations on conversations and their items."""

from dadm.adapters.simulators.openai import errors, validation
from dadm.adapters.simulators.openai.items import ITEMS_PER_CALL, read_batch, read_items
from dadm.adapters.simulators.openai.payloads import (
    conversation_body,
    conversation_deleted,
    listing,
    page,
)
from dadm.adapters.simulators.openai.simulated import SimulatedOpenAI
from dadm.adapters.simulators.openai.state import Conversation
from dadm.adapters.simulators.openai.wire import Call, JsonObject, JsonReply


async def create(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    replayed = _replayed(simulated, call)
    if replayed is not None:
        return replayed
    validation.only_known(call.body, {"items", "metadata"})
    metadata = validation.metadata(call.body)
    given = validation.array(call.body, "items") or []
    if len(given) > ITEMS_PER_CALL:
        raise errors.array_too_long("items", len(given), ITEMS_PER_CALL)
    resolved = simulated.state.resolve(read_items(given, param="items"))
    conversation = simulated.state.open_conversation(metadata)
    if resolved:
        simulated.state.append(conversation, [item for item, _ in resolved], response_id=None)
    return _first_reply(simulated, call, conversation_body(conversation))


async def retrieve(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    return JsonReply(body=conversation_body(_conversation(simulated, call)))


async def update(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    conversation = _conversation(simulated, call)
    validation.only_known(call.body, {"metadata"})
    if "metadata" not in call.body:
        raise errors.missing_parameter("metadata")
    metadata = validation.metadata(call.body)
    if simulated.behaviour.update_merges_metadata:
        metadata = validation.metadata({"metadata": conversation.metadata | metadata})
    _refuse_if_locked(conversation, unless=simulated.behaviour.metadata_updated_while_locked)
    conversation.metadata = metadata
    return JsonReply(body=conversation_body(conversation))


async def delete(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    conversation = _conversation(simulated, call)
    simulated.state.remove_conversation(conversation, simulated.behaviour)
    return JsonReply(body=conversation_deleted(conversation.id))


async def create_items(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    conversation = _conversation(simulated, call)
    replayed = _replayed(simulated, call)
    if replayed is not None:
        return replayed
    validation.only_known(call.body, {"items"})
    given = validation.array(call.body, "items")
    if given is None:
        raise errors.missing_parameter("items")
    items = [item for item, _ in simulated.state.resolve(read_batch(given))]
    _refuse_repeated(conversation, items)
    _refuse_if_locked(conversation, unless=simulated.behaviour.items_changed_while_locked)
    simulated.state.append(conversation, items, response_id=None)
    return _first_reply(simulated, call, listing(items))


async def list_items(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    conversation = _conversation(simulated, call)
    _refuse_if_locked(conversation, unless=simulated.behaviour.items_listed_while_locked)
    return JsonReply(body=page(simulated.state.items_of(conversation), call.query))


async def retrieve_item(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    conversation = _conversation(simulated, call)
    _refuse_if_locked(conversation, unless=simulated.behaviour.items_listed_while_locked)
    return JsonReply(body=simulated.state.items[_item_id(conversation, call)])


async def delete_item(simulated: SimulatedOpenAI, call: Call) -> JsonReply:
    conversation = _conversation(simulated, call)
    item_id = _item_id(conversation, call)
    _refuse_if_locked(conversation, unless=simulated.behaviour.items_changed_while_locked)
    simulated.state.remove_item(
        conversation, item_id, is_kept=simulated.behaviour.items_outlive_removal
    )
    return JsonReply(body=conversation_body(conversation))


def _conversation(simulated: SimulatedOpenAI, call: Call) -> Conversation:
    conversation_id = validation.identifier(
        call.named["conversation_id"], "conv", param="conversation_id"
    )
    azure = simulated.behaviour.azure_error_bodies
    return simulated.state.conversation(conversation_id, azure=azure)


def _item_id(conversation: Conversation, call: Call) -> str:
    item_id = call.named["item_id"]
    if item_id not in conversation.item_ids:
        raise errors.item_not_in_conversation(item_id, conversation.id)
    return item_id


def _refuse_if_locked(conversation: Conversation, *, unless: bool) -> None:
    if conversation.is_locked and not unless:
        raise errors.conversation_locked()


def _refuse_repeated(conversation: Conversation, items: list[JsonObject]) -> None:
    if not conversation.item_ids:
        # The real API was seen to take an item twice in one batch to a fresh conversation.
        return
    seen = set(conversation.item_ids)
    for item in items:
        if item["id"] in seen:
            raise errors.item_already_in_conversation()
        seen.add(item["id"])


def _replayed(simulated: SimulatedOpenAI, call: Call) -> JsonReply | None:
    if not simulated.behaviour.idempotency_key_honoured or call.idempotency_key is None:
        return None
    body = simulated.replies_by_key.get((call.path, call.idempotency_key))
    return None if body is None else JsonReply(body=body)


def _first_reply(simulated: SimulatedOpenAI, call: Call, body: JsonObject) -> JsonReply:
    if call.idempotency_key is not None:
        simulated.replies_by_key[call.path, call.idempotency_key] = body
    return JsonReply(body=body)

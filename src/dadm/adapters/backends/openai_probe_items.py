"""Open questions about items at OpenAI: their ids, links between conversations, and deletion."""

from dadm.adapters.backends.openai_items import Json, text_of
from dadm.adapters.backends.openai_probe_ground import ProbeGround, ProbeQuestion
from dadm.adapters.backends.openai_probe_terms import (
    NotAnswered,
    Observed,
    Refusal,
    check_reason,
    yes_or_no,
)

READ_AFTER_EACH_TURN = "set DADM_OPENAI__OUTPUT_IDS_ARE_ITEM_IDS=false"
THERE_ALREADY = ("duplicate", "already")
UNLINKED = "set DADM_OPENAI__LINKS_ITEMS=false"
LINKS_UNUSED = "no setting: DADM sends a question as text"


async def output_ids_are_item_ids(ground: ProbeGround) -> Observed:
    on = await ground.open()
    output = await _output(ground, on)
    kept = [str(item.get("id")) for item in await ground.items(on)]
    told = [str(item.get("id")) for item in output]
    evidence = f"the response named {', '.join(told)}; the conversation holds {', '.join(kept)}"
    return Observed(answer=yes_or_no(set(told) <= set(kept)), evidence=evidence)


async def last_output_is_last_item(ground: ProbeGround) -> Observed:
    on = await ground.open()
    last_output = (await _output(ground, on))[-1]
    last_item = (await ground.items(on))[-1]
    is_same = _content(last_output) == _content(last_item)
    evidence = (
        f"the output ends with an item of type {last_output.get('type')}, the conversation with "
        f"{'that' if is_same else 'another'} of type {last_item.get('type')}"
    )
    return Observed(answer=yes_or_no(is_same), evidence=evidence)


async def referenced_input_keeps_id(ground: ProbeGround) -> Observed:
    on, item_id = await _asked_by_reference(ground)
    first = (await ground.items(on))[0].get("id")
    evidence = f"{item_id} was referred to; the conversation's first item is {first}"
    return Observed(answer=yes_or_no(first == item_id), evidence=evidence)


async def repeated_reference_refused(ground: ProbeGround) -> Observed:
    on, item_id = await _asked_by_reference(ground)
    before = len(await ground.items(on))
    again = await ground.ask(on, _reference(item_id))
    if isinstance(again, Refusal):
        check_reason(again, *THERE_ALREADY)
        return Observed(answer="yes", evidence=again.told)
    after = len(await ground.items(on))
    evidence = f"a second response was taken: {before} items became {after}"
    return Observed(answer="no", evidence=evidence)


async def links_items(ground: ProbeGround) -> Observed:
    item_id = await ground.say(await ground.open())
    on = await ground.open()
    linked = await ground.link(on, item_id)
    if isinstance(linked, Refusal):
        return Observed(answer="no", evidence=linked.told)
    kept = [str(item.get("id")) for item in await ground.items(on)]
    if kept != [item_id]:
        evidence = f"{item_id} was linked; the conversation holds {', '.join(kept) or 'nothing'}"
        return Observed(answer="copied", evidence=evidence)
    again = await ground.link(on, item_id)
    if isinstance(again, Refusal):
        check_reason(again, *THERE_ALREADY)
        return Observed(answer="yes", evidence=again.told)
    evidence = f"it was taken twice: the conversation has {len(await ground.items(on))} items"
    return Observed(answer="repeatedly", evidence=evidence)


async def items_outlive_conversation(ground: ProbeGround) -> Observed:
    on = await ground.open()
    item_id = await ground.say(on)
    await ground.delete(on)
    return await _linked_elsewhere(ground, item_id)


async def items_outlive_removal(ground: ProbeGround) -> Observed:
    on = await ground.open()
    item_id = await ground.say(on)
    await ground.remove_item(on, item_id)
    return await _linked_elsewhere(ground, item_id)


async def items_outlive_response(ground: ProbeGround) -> Observed:
    on = await ground.open()
    response = await ground.answered(on)
    before = len(await ground.items(on))
    await ground.delete_response(str(response["id"]))
    after = len(await ground.items(on))
    evidence = f"{before} items before the response was deleted, {after} after"
    return Observed(answer=yes_or_no(after > 0), evidence=evidence)


async def responses_outlive_conversation(ground: ProbeGround) -> Observed:
    on = await ground.open()
    response_id = str((await ground.answered(on))["id"])
    # Item by item, since a conversation leaves them behind; nothing is asked about them here.
    for item in await ground.items(on):
        await ground.remove_item(on, str(item.get("id")))
    await ground.delete(on)
    kept = await ground.response(response_id)
    evidence = "it can be retrieved" if kept else "it is not found"
    return Observed(answer=yes_or_no(kept is not None), evidence=evidence)


async def _output(ground: ProbeGround, on: str) -> list[Json]:
    output = (await ground.answered(on)).get("output")
    if not isinstance(output, list) or not output or not await ground.items(on):
        raise NotAnswered("A completed response has no output, or left no items.")
    return output


async def _asked_by_reference(ground: ProbeGround) -> tuple[str, str]:
    staging = await ground.open()
    item_id = await ground.say(staging)
    on = await ground.open()
    await ground.answered(on, _reference(item_id))
    if not await ground.items(on):
        raise NotAnswered("A completed response left no items.")
    return on, item_id


async def _linked_elsewhere(ground: ProbeGround, item_id: str) -> Observed:
    linked = await ground.link(await ground.open(), item_id)
    if isinstance(linked, Refusal):
        check_reason(linked, "not found")
        return Observed(answer="no", evidence=linked.told)
    return Observed(answer="yes", evidence=f"{item_id} could be linked to another conversation")


def _reference(item_id: str) -> list[dict[str, str]]:
    return [{"type": "item_reference", "id": item_id}]


def _content(item: Json) -> tuple[str, str]:
    return str(item.get("type") or "message"), text_of(item)


QUESTIONS = (
    ProbeQuestion(
        name="output_ids_are_item_ids",
        asks="Are the ids in a response's output those of the conversation's items?",
        look=output_ids_are_item_ids,
        requests=4,
        runs=1,
        decides={
            "yes": "keep DADM_OPENAI__OUTPUT_IDS_ARE_ITEM_IDS=true",
            "no": READ_AFTER_EACH_TURN,
        },
    ),
    ProbeQuestion(
        name="last_output_is_last_item",
        asks="Is the last item of a response's output the conversation's last item?",
        look=last_output_is_last_item,
        requests=4,
        runs=1,
        decides={
            "yes": "keep DADM_OPENAI__OUTPUT_IDS_ARE_ITEM_IDS=true",
            "no": READ_AFTER_EACH_TURN,
        },
    ),
    ProbeQuestion(
        name="referenced_input_keeps_id",
        asks="Is an input item that is given by reference appended under the same id?",
        look=referenced_input_keeps_id,
        requests=5,
        runs=1,
        decides={"yes": LINKS_UNUSED, "no": LINKS_UNUSED},
    ),
    ProbeQuestion(
        name="repeated_reference_refused",
        asks="Is a second response refused that refers to an item which is there already?",
        look=repeated_reference_refused,
        requests=8,
        runs=2,
        decides={"yes": LINKS_UNUSED, "no": LINKS_UNUSED},
    ),
    ProbeQuestion(
        name="links_items",
        asks="Can an item be put into another conversation by its id, and is it refused there twice?",
        look=links_items,
        requests=6,
        runs=0,
        decides={
            "yes": "keep DADM_OPENAI__LINKS_ITEMS=true",
            "no": UNLINKED,
            "copied": UNLINKED,
            "repeatedly": UNLINKED,
        },
    ),
    ProbeQuestion(
        name="items_outlive_conversation",
        asks="Can the items of a deleted conversation still be used?",
        look=items_outlive_conversation,
        requests=5,
        runs=0,
        decides={
            "yes": "confirms that erasure deletes items one by one",
            "no": "erasure deletes items one by one, and need not",
        },
    ),
    ProbeQuestion(
        name="items_outlive_removal",
        asks="Can an item that was deleted from its conversation still be used?",
        look=items_outlive_removal,
        requests=5,
        runs=0,
        decides={
            "yes": "breaks that erasure reaches items: what they held stays at OpenAI",
            "no": "confirms that erasure reaches items",
        },
    ),
    ProbeQuestion(
        name="items_outlive_response",
        asks="Do the items of a deleted response stay in their conversation?",
        look=items_outlive_response,
        requests=5,
        runs=1,
        decides={
            "yes": "confirms that erasure deletes items beside responses",
            "no": "no setting: erasure deletes items first",
        },
    ),
    ProbeQuestion(
        name="responses_outlive_conversation",
        asks="Can a response on a deleted conversation still be retrieved?",
        look=responses_outlive_conversation,
        requests=7,
        runs=1,
        decides={
            "yes": "confirms that erasure deletes responses beside the conversation",
            "no": "no setting: erasure deletes responses first",
        },
    ),
)

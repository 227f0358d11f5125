"""Open questions about single requests to OpenAI: what they may leave out, repeat, and be told."""

from typing import Any

from dadm.adapters.backends.openai_probe_ground import SHORT, ProbeGround, ProbeQuestion
from dadm.adapters.backends.openai_probe_terms import (
    NotAnswered,
    Observed,
    Refusal,
    check_reason,
    yes_or_no,
)
from dadm.adapters.backends.openai_replies import says_unknown_item
from dadm.domain.errors import ConversationLost

COMPACTION = [{"type": "compaction", "compact_threshold": 1000}]


async def input_optional_with_conversation(ground: ProbeGround) -> Observed:
    on = await ground.open()
    await ground.say(on, SHORT)
    reply = await ground.ask(on, None)
    if isinstance(reply, Refusal):
        check_reason(reply, "input")
        return Observed(answer="no", evidence=reply.told)
    return Observed(answer="yes", evidence=f"the response is {reply.get('status')}")


async def update_merges_metadata(ground: ProbeGround) -> Observed:
    on = await ground.open(kept="yes")
    await ground.done(lambda: ground.client.conversations.update(on, metadata={"added": "yes"}))
    read = await ground.done(lambda: ground.client.conversations.retrieve(on))
    names = sorted(read.get("metadata") or {})
    evidence = f"'added' was sent to what had 'kept'; it has: {', '.join(names) or 'nothing'}"
    return Observed(answer=yes_or_no("kept" in names), evidence=evidence)


async def compaction_in_conversation(ground: ProbeGround) -> Observed:
    more: dict[str, Any] = {"context_management": COMPACTION}
    reply = await ground.ask(await ground.open(), **more)
    if not isinstance(reply, Refusal):
        return Observed(answer="yes", evidence=f"the response is {reply.get('status')}")
    alone = await ground.ask(None, **more)
    if isinstance(alone, Refusal):
        raise NotAnswered(f"It is refused without a conversation as well: {alone.told}")
    return Observed(answer="no", evidence=reply.told)


async def background_needs_store(ground: ProbeGround) -> Observed:
    reply = await ground.ask(None, background=True, store=False)
    if isinstance(reply, Refusal):
        check_reason(reply, "store")
        return Observed(answer="yes", evidence=reply.told)
    return Observed(answer="no", evidence=f"the response is {reply.get('status')}")


async def idempotency_key_honoured(ground: ProbeGround) -> Observed:
    on = await ground.open()
    # An id of OpenAI's own has never been a key before.
    headers = {"Idempotency-Key": f"dadm-probe-{on}"}
    first = await ground.answered(on, extra_headers=headers)
    again = await ground.answered(on, extra_headers=headers)
    is_same = first["id"] == again["id"]
    evidence = (
        f"the same key brought {'the same response' if is_same else 'another response'}; the "
        f"conversation has {len(await ground.items(on))} items"
    )
    return Observed(answer=yes_or_no(is_same), evidence=evidence)


async def missing_conversation(ground: ProbeGround) -> Observed:
    on = await ground.open()
    await ground.delete(on)
    retrieved = await ground.attempt(lambda: ground.client.conversations.retrieve(on))
    asked = await ground.ask(on)
    for reply in (retrieved, asked):
        if not isinstance(reply, Refusal):
            return Observed(answer="not_told", evidence="a deleted conversation was used")
        if not isinstance(ground.errors.translate(reply.error), ConversationLost):
            return Observed(answer="not_recognised", evidence=reply.told)
    is_azure = isinstance(asked, Refusal) and asked.param == "conversation_id"
    evidence = asked.told if isinstance(asked, Refusal) else ""
    return Observed(answer="as_azure" if is_azure else "as_openai", evidence=evidence)


async def unknown_cursor(ground: ProbeGround) -> Observed:
    on = await ground.open()
    gone = await ground.say(on)
    await ground.say(on)
    await ground.remove_item(on, gone)
    listed = await ground.list_items(on, after=gone, order="asc")
    if not isinstance(listed, Refusal):
        count = len(listed.get("data") or [])
        return Observed(answer="listed", evidence=f"{count} items were listed behind it")
    is_known = says_unknown_item(listed.error)
    return Observed(answer="told" if is_known else "not_recognised", evidence=listed.told)


QUESTIONS = (
    ProbeQuestion(
        name="input_optional_with_conversation",
        asks="May a response on a conversation have no input?",
        look=input_optional_with_conversation,
        requests=3,
        runs=1,
        decides={
            "yes": "no setting: DADM always sends the question",
            "no": "confirms that DADM always sends the question",
        },
    ),
    ProbeQuestion(
        name="update_merges_metadata",
        asks="Does updating a conversation keep the metadata that is not sent?",
        look=update_merges_metadata,
        requests=3,
        runs=0,
        decides={
            "yes": "no setting: DADM never updates metadata",
            "no": "no setting: DADM never updates metadata",
        },
    ),
    ProbeQuestion(
        name="compaction_in_conversation",
        asks="Does compaction (context_management) work on a conversation?",
        look=compaction_in_conversation,
        requests=3,
        runs=1,
        decides={
            "yes": "an assistant's parameters may set context_management",
            "no": "an assistant's parameters must not set context_management",
        },
    ),
    ProbeQuestion(
        name="background_needs_store",
        asks="Is a background response refused that is not to be stored?",
        look=background_needs_store,
        requests=1,
        runs=1,
        decides={
            "yes": "confirms that DADM_OPENAI__BACKGROUND=true does not go with zero data retention",
            "no": "no setting: DADM always stores",
        },
    ),
    ProbeQuestion(
        name="idempotency_key_honoured",
        asks="Does a repeated Idempotency-Key bring the first response again?",
        look=idempotency_key_honoured,
        requests=4,
        runs=2,
        decides={
            "yes": "no setting: DADM relies on no key; a turn could be made safe to repeat by one",
            "no": "confirms that DADM never repeats a request of unknown outcome unseen",
        },
    ),
    ProbeQuestion(
        name="missing_conversation",
        asks="How is a conversation told that does not exist?",
        look=missing_conversation,
        requests=4,
        runs=1,
        decides={
            "as_openai": "confirms that a lost conversation is recognised, and healed",
            "as_azure": "confirms that a lost conversation is recognised, and healed",
            "not_recognised": "breaks that a lost conversation is recognised: please report it",
            "not_told": "breaks that a lost conversation is told: its memory is lost unseen",
        },
    ),
    ProbeQuestion(
        name="unknown_cursor",
        asks="How is it told that the item which a listing is to begin behind is gone?",
        look=unknown_cursor,
        requests=5,
        runs=0,
        decides={
            "told": "confirms that DADM then looks backwards",
            "listed": "breaks that DADM sees that its last item is gone: please report it",
            "not_recognised": "breaks that DADM then looks backwards: please report it",
        },
    ),
)

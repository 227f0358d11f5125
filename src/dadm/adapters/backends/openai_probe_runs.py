"""Open questions about runs at OpenAI: what they lock, and what becomes of those that are left."""

import asyncio

from dadm.adapters.backends.openai_items import text_of
from dadm.adapters.backends.openai_probe_ground import (
    LONG,
    LONG_TOKENS,
    ProbeGround,
    ProbeQuestion,
)
from dadm.adapters.backends.openai_probe_terms import (
    NotAnswered,
    Observed,
    Refusal,
    Reply,
    check_reason,
    check_status,
    yes_or_no,
)

KEEP_BACKGROUND = "keep DADM_OPENAI__BACKGROUND=true"
LOCKED = "conversation_locked"
RAN_ON = frozenset({"completed", "incomplete"})


# What a run locks


async def locked_while_running(ground: ProbeGround) -> Observed:
    on = await ground.open()
    async with ground.running(on, background=True) as run:
        other = await ground.ask(on)
        await _stop_running(ground, run)
    return _permitted(other, "a second response was taken", is_yes_refused=True)


async def items_listed_while_locked(ground: ProbeGround) -> Observed:
    on = await ground.open()
    async with ground.running(on, background=True) as run:
        listed = await ground.list_items(on)
        await _stop_running(ground, run)
    return _permitted(listed, "they were listed")


async def items_changed_while_locked(ground: ProbeGround) -> Observed:
    on, other = await ground.open(), await ground.open()
    item_id = await ground.say(other)
    async with ground.running(on, background=True) as run:
        linked = await ground.link(on, item_id)
        await _stop_running(ground, run)
    return _permitted(linked, "an item was appended")


async def metadata_updated_while_locked(ground: ProbeGround) -> Observed:
    on = await ground.open()
    async with ground.running(on, background=True) as run:
        updated = await ground.attempt(
            lambda: ground.client.conversations.update(on, metadata={"made_by": "dadm probe"})
        )
        await _stop_running(ground, run)
    return _permitted(updated, "its metadata was updated")


# Attaching, leaving, cancelling


async def reattach_after_end(ground: ProbeGround) -> Observed:
    on = await ground.open()
    refused = await ground.attached(await ground.streamed(on))
    if refused:
        check_reason(refused, "stream")
    evidence = refused.told if refused else "the stream was given again right after the end"
    return Observed(answer=yes_or_no(refused is None), evidence=evidence)


async def reattach_needs_streamed_creation(ground: ProbeGround) -> Observed:
    on = await ground.open()
    reply = await ground.ask(on, LONG, max_output_tokens=LONG_TOKENS, background=True)
    if isinstance(reply, Refusal):
        raise NotAnswered(f"A background response was refused: {reply.told}")
    run = str(reply["id"])
    refused = await ground.attached(run)
    await _stop_running(ground, run)
    if refused:
        check_reason(refused, "stream")
    evidence = refused.told if refused else "its stream was given though none was asked for"
    return Observed(answer=yes_or_no(refused is not None), evidence=evidence)


async def background_disconnect(ground: ProbeGround) -> Observed:
    return await _left(ground, background=True)


async def streamed_disconnect(ground: ProbeGround) -> Observed:
    return await _left(ground, background=False)


async def unstreamed_disconnect(ground: ProbeGround) -> Observed:
    on = await ground.open()
    try:
        async with asyncio.timeout(ground.pace.leave):
            await ground.ask_and_leave(on, LONG, max_output_tokens=LONG_TOKENS)
    except TimeoutError:
        ground.traces.made_without_a_name(f"the response left early on {on}, for thirty days")
    else:
        raise NotAnswered("The response ended before its caller could leave.")
    is_there = await _came(ground, on)
    evidence = f"its items {'came' if is_there else 'never came'}, then the conversation was free"
    return Observed(answer="goes_on" if is_there else "stopped", evidence=evidence)


async def foreground_cancel_allowed(ground: ProbeGround) -> Observed:
    on = await ground.open()
    async with ground.running(on, background=False) as run:
        reply = await ground.cancel(run)
        if isinstance(reply, Refusal):
            # One that has ended may be refused for that alone.
            await ground.check_running(run, may_be_unknown=True)
            return Observed(answer="no", evidence=reply.told)
        check_status(reply, "cancelled")
    return Observed(answer="yes", evidence="it was taken, and the response is cancelled")


async def _left(ground: ProbeGround, *, background: bool) -> Observed:
    on = await ground.open()
    async with ground.running(on, background=background) as run:
        await ground.check_running(run, may_be_unknown=not background)
    response = await ground.ended(run)
    if response is None:
        if await _came(ground, on):
            evidence = "the response is not found, and its items came"
            return Observed(answer="goes_on_unseen", evidence=evidence)
        evidence = "the response is not found, and no items came before the conversation was free"
        return Observed(answer="forgotten", evidence=evidence)
    status = str(response.get("status"))
    evidence = f"the response is {status}; the conversation has {len(await ground.items(on))} items"
    if status == "cancelled":
        return Observed(answer="cancelled", evidence=evidence)
    if status in RAN_ON:
        return Observed(answer="goes_on", evidence=evidence)
    raise NotAnswered(f"The response ended as {status}.")


async def _came(ground: ProbeGround, on: str) -> bool:
    """Wait until the items of a response come, or the conversation is free without them."""
    while not (items := await ground.items(on)):
        reply = await ground.ask(on)
        if not isinstance(reply, Refusal):
            items = await ground.items(on)
            break
        check_reason(reply, LOCKED)
        await asyncio.sleep(ground.pace.poll)
    return any(LONG in text_of(item) for item in items)


async def _stop_running(ground: ProbeGround, run: str) -> None:
    await ground.check_running(run)
    await ground.cancel(run)


def _permitted(reply: Reply, taken: str, *, is_yes_refused: bool = False) -> Observed:
    if not isinstance(reply, Refusal):
        return Observed(answer=yes_or_no(not is_yes_refused), evidence=taken)
    check_reason(reply, LOCKED)
    return Observed(answer=yes_or_no(is_yes_refused), evidence=reply.told)


QUESTIONS = (
    ProbeQuestion(
        name="locked_while_running",
        asks="Is a second response refused while one is running?",
        look=locked_while_running,
        requests=5,
        runs=2,
        decides={
            "yes": "confirms that a conversation has one writer at a time",
            "no": "breaks that a conversation has one writer at a time: only DADM's leases see to it",
        },
    ),
    ProbeQuestion(
        name="items_listed_while_locked",
        asks="Can items be listed while a response runs?",
        look=items_listed_while_locked,
        requests=5,
        runs=1,
        decides={
            "yes": "confirms that DADM can look while a run may be alive",
            "no": "breaks that DADM can look while a run may be alive: it waits until it is over",
        },
    ),
    ProbeQuestion(
        name="items_changed_while_locked",
        asks="Can items be appended while a response runs?",
        look=items_changed_while_locked,
        requests=7,
        runs=1,
        decides={
            "yes": "no setting: DADM appends only to conversations that it just opened",
            "no": "no setting: DADM appends only to conversations that it just opened",
        },
    ),
    ProbeQuestion(
        name="metadata_updated_while_locked",
        asks="Can a conversation's metadata be updated while a response runs?",
        look=metadata_updated_while_locked,
        requests=5,
        runs=1,
        decides={
            "yes": "no setting: nothing but a response shows whether a conversation is free",
            "no": "no setting: an update would show whether a conversation is free",
        },
    ),
    ProbeQuestion(
        name="reattach_after_end",
        asks="Can a background response be streamed again after its end?",
        look=reattach_after_end,
        requests=5,
        runs=1,
        decides={
            "yes": "no setting: DADM retrieves what has ended",
            "no": "no setting: DADM retrieves what has ended",
        },
    ),
    ProbeQuestion(
        name="reattach_needs_streamed_creation",
        asks="Can only a response that was created as a stream be streamed later?",
        look=reattach_needs_streamed_creation,
        requests=5,
        runs=1,
        decides={
            "yes": "confirms that DADM creates every response as a stream",
            "no": "no setting: DADM creates every response as a stream",
        },
    ),
    ProbeQuestion(
        name="background_disconnect",
        asks="What becomes of a background stream whose caller leaves?",
        look=background_disconnect,
        requests=5,
        runs=1,
        decides={
            "goes_on": KEEP_BACKGROUND,
            "goes_on_unseen": "DADM_OPENAI__BACKGROUND=true saves nothing: DADM looks and waits",
            "cancelled": "DADM_OPENAI__BACKGROUND=true saves nothing: what is cut off is asked again",
            "forgotten": "DADM_OPENAI__BACKGROUND=true saves nothing: what is cut off is asked again",
        },
    ),
    ProbeQuestion(
        name="streamed_disconnect",
        asks="What becomes of a stream without background whose caller leaves?",
        look=streamed_disconnect,
        requests=7,
        runs=2,
        decides={
            "goes_on": "DADM_OPENAI__BACKGROUND=false would lose nothing",
            "goes_on_unseen": KEEP_BACKGROUND,
            "cancelled": KEEP_BACKGROUND,
            "forgotten": KEEP_BACKGROUND,
        },
    ),
    ProbeQuestion(
        name="unstreamed_disconnect",
        asks="What becomes of a response that is not streamed and whose caller leaves?",
        look=unstreamed_disconnect,
        requests=5,
        runs=2,
        decides={
            "goes_on": "no setting: DADM streams every response",
            "stopped": "no setting: DADM streams every response",
        },
    ),
    ProbeQuestion(
        name="foreground_cancel_allowed",
        asks="Can a response be cancelled that is not in the background?",
        look=foreground_cancel_allowed,
        requests=4,
        runs=1,
        decides={
            "yes": "DADM_OPENAI__BACKGROUND=false would still let runs be cancelled",
            "no": KEEP_BACKGROUND,
        },
    ),
)

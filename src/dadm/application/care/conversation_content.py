"""What a thread's live conversation must hold: what it was opened with, then the turns taken on it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from dadm.domain.thread import Generation, ThreadRef
from dadm.domain.transcript import Exchange, Message, Role
from dadm.domain.turn import TurnState
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import OpenTurn

PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedMessage:
    """A message that the conversation must hold, and the turn it is of.

    If `is_open`, it is the question of a turn without an end: it may be there or not, with an
    answer or without.
    """

    sequence: int
    message: Message
    is_open: bool = False


async def wanted_messages(
    store: ThreadStore, thread: ThreadRef, live: Generation, open_turn: OpenTurn | None
) -> AsyncGenerator[WantedMessage, None]:
    """Give what the live conversation must hold, oldest first, read in pages."""
    async with aclosing(_wanted_exchanges(store, thread, live)) as exchanges:
        async for exchange in exchanges:
            for message in exchange.messages:
                yield WantedMessage(sequence=exchange.sequence, message=message)
    if open_turn is not None and open_turn.attempt.generation == live.number:
        asked = Message(role=Role.USER, text=open_turn.turn.prompt)
        yield WantedMessage(sequence=open_turn.turn.sequence, message=asked, is_open=True)


async def _wanted_exchanges(
    store: ThreadStore, thread: ThreadRef, live: Generation
) -> AsyncGenerator[Exchange, None]:
    if live.opened_to:
        for exchange in await _first_besides(store, thread, live):
            yield exchange
        async with aclosing(_copied(store, thread, live)) as copied:
            async for exchange in copied:
                yield exchange
    after = live.opened_to
    while True:
        page = await store.turns(thread, after_sequence=after, limit=PAGE)
        for turn in page:
            is_there = turn.state is TurnState.COMPLETED and turn.generation == live.number
            if is_there and turn.answer is not None:
                yield Exchange(sequence=turn.sequence, prompt=turn.prompt, answer=turn.answer)
        if len(page) < PAGE:
            return
        after = page[-1].sequence


async def _first_besides(
    store: ThreadStore, thread: ThreadRef, live: Generation
) -> Sequence[Exchange]:
    """Give the thread's first exchange if it was copied besides the row that is recorded."""
    first = await store.exchanges(thread, limit=1)
    if not first or first[0].sequence >= live.opened_from:
        return ()
    in_row = [1 async for _ in _copied(store, thread, live)]
    return first if live.copied_messages > len(first[0].messages) * len(in_row) else ()


async def _copied(
    store: ThreadStore, thread: ThreadRef, live: Generation
) -> AsyncGenerator[Exchange, None]:
    """Give the row of exchanges that was copied."""
    after = live.opened_from - 1
    while True:
        page = await store.exchanges(thread, after_sequence=after, limit=PAGE)
        for exchange in page:
            if exchange.sequence > live.opened_to:
                return
            yield exchange
        if len(page) < PAGE:
            return
        after = page[-1].sequence

"""ConversationFilling: gives a new conversation a thread's messages, each of them exactly once."""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from dadm.application.back_off import BackOff
from dadm.domain.errors import (
    BackendUnavailable,
    ConversationBroken,
    ConversationBusy,
    ConversationLost,
    OutcomeUnknown,
)
from dadm.domain.thread import ConversationId, Generation
from dadm.domain.transcript import Message
from dadm.ports.backend import ConversationBackend, KeptMessage
from dadm.ports.clock import Clock
from dadm.ports.store import ThreadStore

TRIES = 8
"""How often one request is tried that surely had no effect, or that may have it twice."""

T = TypeVar("T")


class ConversationFilling:
    """Fills conversations that are being built, in one of two ways.

    `write` sends the texts. A chunk that surely was not taken is sent again. One whose fate is
    unknown is looked for: there, so it goes on; not there, so it may still arrive, and the
    conversation cannot be trusted any more.

    `link` fills another conversation from such a one: items that the backend keeps are put into
    it by their ids, which takes effect once however often it is repeated. Texts that are missing
    in the old conversation are added to it until they are there; doubles there do not matter,
    since nobody reads it. So a long thread heals over any number of lost requests.
    """

    def __init__(self, store: ThreadStore, clock: Clock, back_off: BackOff) -> None:
        """Record in `store` how far it is; wait between tries by `clock`."""
        self._store = store
        self._clock = clock
        self._back_off = back_off

    async def write(
        self, backend: ConversationBackend, generation: Generation, messages: Sequence[Message]
    ) -> bool:
        """Write `messages` in chunks and compare; False if the conversation cannot be trusted.

        Raises:
            BackendError: The backend did not take part.
        """
        conversation_id = generation.conversation_id
        written, last_item = 0, ""
        try:
            for chunk in in_chunks(messages, backend.append_limit):
                try:
                    last_item = await self._surely(backend.append, conversation_id, chunk)
                except OutcomeUnknown:
                    found = await self._kept(backend, conversation_id, after_item=last_item)
                    if not are_same(found, chunk):
                        return False
                    last_item = found[-1].item_id
                written += len(chunk)
                await self._note_copied(generation, written, last_item)
            return await self._holds(backend, conversation_id, messages)
        except (ConversationLost, ConversationBroken):
            return False

    async def link(
        self,
        backend: ConversationBackend,
        generation: Generation,
        messages: Sequence[Message],
        *,
        source: Generation,
    ) -> bool:
        """Link `messages` from the conversation `source` and compare; False as in `write`.

        Raises:
            BackendError: The backend did not take part.
        """
        try:
            item_ids = await self._items_in(backend, source.conversation_id, messages)
            linked = 0
            for chunk in in_chunks(item_ids, backend.append_limit):
                await self.repeatedly(backend.link, generation.conversation_id, chunk)
                linked += len(chunk)
                await self._note_copied(generation, linked, chunk[-1])
            return await self._holds(backend, generation.conversation_id, messages)
        except (ConversationLost, ConversationBroken):
            return False

    async def _items_in(
        self,
        backend: ConversationBackend,
        conversation_id: ConversationId,
        messages: Sequence[Message],
    ) -> list[str]:
        """Give an item of the conversation for each message, adding those that are missing."""
        for _ in range(TRIES):
            kept = await self._kept(backend, conversation_id)
            item_ids, missing = matched(messages, kept)
            if not missing:
                return item_ids
            for chunk in in_chunks(missing, backend.append_limit):
                with suppress(OutcomeUnknown):
                    await self._surely(backend.append, conversation_id, chunk)
        msg = f"Messages written to {conversation_id} do not stay there."
        raise OutcomeUnknown(msg)

    async def _holds(
        self,
        backend: ConversationBackend,
        conversation_id: ConversationId,
        messages: Sequence[Message],
    ) -> bool:
        if not messages:
            return True
        kept = await self._kept(backend, conversation_id)
        return are_same(kept, messages)

    async def _kept(
        self, backend: ConversationBackend, conversation_id: ConversationId, *, after_item: str = ""
    ) -> list[KeptMessage]:
        async def read() -> list[KeptMessage]:
            return [each async for each in backend.messages(conversation_id, after_item=after_item)]

        return await self.repeatedly(read)

    async def _note_copied(self, generation: Generation, count: int, last_item: str) -> None:
        await self._store.note_copied(
            generation.thread, generation.number, copied_messages=count, last_item_id=last_item
        )

    async def _surely(self, ask: Callable[..., Awaitable[T]], *given: object) -> T:
        """Ask again while it surely had no effect."""
        repeated = (BackendUnavailable, ConversationBusy)
        return await self._trying(ask, given, repeated, lambda: False)

    async def repeatedly(
        self,
        ask: Callable[..., Awaitable[T]],
        *given: object,
        unless: Callable[[], bool] = lambda: False,
    ) -> T:
        """Ask again, also where the outcome is unknown: having it twice does no harm.

        Not where waiting would take too long, nor once `unless` says so.

        Raises:
            BackendError: What the last try met.
        """
        repeated = (BackendUnavailable, ConversationBusy, OutcomeUnknown)
        return await self._trying(ask, given, repeated, unless)

    async def _trying(
        self,
        ask: Callable[..., Awaitable[T]],
        given: Sequence[object],
        repeated: tuple[type[BackendUnavailable | ConversationBusy | OutcomeUnknown], ...],
        unless: Callable[[], bool],
    ) -> T:
        for tries in range(1, TRIES):
            try:
                return await ask(*given)
            except repeated as error:
                asked_for = None if isinstance(error, ConversationBusy) else error.retry_after
                pause = self._back_off.pause(tries, at_least=asked_for)
                if pause > self._back_off.patience_seconds or unless():
                    raise
                await self._clock.sleep(pause)
        return await ask(*given)


def in_chunks(given: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut `given` into rows of at most `size`."""
    for start in range(0, len(given), size):
        yield given[start : start + size]


def are_same(kept: Sequence[KeptMessage], messages: Sequence[Message]) -> bool:
    """Whether these messages are kept, and no others, in their order."""
    return [each.message.essence for each in kept] == [each.essence for each in messages]


def matched(
    messages: Sequence[Message], kept: Sequence[KeptMessage]
) -> tuple[list[str], list[Message]]:
    """Find an item of its own among those kept for each message, and list those without one."""
    on_hand: dict[Message, deque[str]] = defaultdict(deque)
    for each in kept:
        on_hand[each.message.essence].append(each.item_id)
    item_ids, missing = [], []
    for message in messages:
        if on_hand[message.essence]:
            item_ids.append(on_hand[message.essence].popleft())
        else:
            missing.append(message)
    return item_ids, missing

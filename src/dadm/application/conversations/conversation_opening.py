"""ConversationOpening: gives a thread its first conversation, or one rebuilt with its memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from dadm.application.conversations.circuit import Circuits
from dadm.application.conversations.conversation_filling import ConversationFilling
from dadm.application.world import World
from dadm.domain.errors import BackendUnavailable, OutcomeUnknown, ThreadConflict, TooManyLost
from dadm.domain.json import JsonObject
from dadm.domain.thread import (
    ConversationId,
    Generation,
    GenerationReason,
    GenerationState,
    Thread,
    ThreadState,
)
from dadm.domain.transcript import Message, Window
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.backend import ConversationBackend
from dadm.ports.observer import LossesNotBelieved, ThreadCreated, ThreadRebuilt
from dadm.ports.store_values import Lease

BUILD_ATTEMPTS = 3
"""How many conversations are begun for one rebuild before it is left to the next attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a turn came by its conversation, as its caller is told.

    `thread_id` is the new conversation's id, `""` where none was opened.
    """

    change: ThreadChange
    thread_id: str = ""
    previous_thread_id: str = ""
    copied_messages: int = 0


REUSED = Opening(change=ThreadChange.REUSED)


class ConversationOpening:
    """Opens conversations under a thread's lease.

    A conversation is recorded as building before anything is written to it, so that whoever
    comes after a crash finds it; it becomes live only after its content was compared.
    """

    def __init__(self, world: World, circuits: Circuits) -> None:
        """Open at the world's backends, record in its store, tell `circuits` of failures."""
        self._circuits = circuits
        self._store = world.store
        self._backends = world.backends
        self._observer = world.observer
        self._limits = world.limits
        self._filling = ConversationFilling(world.store, world.clock, world.back_off)

    async def backend_of(self, thread: Thread) -> ConversationBackend:
        """Give the backend that the thread's live conversation is kept at, or the default one.

        Raises:
            BackendMisconfigured: The thread's own backend is not configured here.
        """
        if thread.live is None:
            return self._backends.default
        return await self._backends.of(thread.live.identity)

    def reason_to_open(self, thread: Thread) -> GenerationReason | None:
        """Say why the thread needs a conversation before its next turn, None if it has one."""
        if thread.live is not None:
            return None
        if thread.state is ThreadState.PARKED:
            return GenerationReason.UNPARKED
        return GenerationReason.ENDED if thread.turn_count else GenerationReason.FIRST

    async def open(
        self,
        lease: Lease,
        thread: Thread,
        *,
        reason: GenerationReason,
        process_instance_id: str,
        characters: int | None = None,
    ) -> Opening:
        """Make a new conversation the thread's live one; the one before is retired.

        At most `characters` of the transcript are copied, by default what the limits allow.

        Raises:
            BackendError: The backend did not take part, or has lost more conversations than is
                believed; the thread is as it was.
            ThreadConflict: The lease does not stand any more.
        """
        generations = await self._store.generations(thread.ref)
        previous = _previous(thread, generations, reason)
        backend = await self._backends.of(previous.identity) if previous else self._backends.default
        if reason is GenerationReason.LOST:
            await self._refuse_if_too_many_lost(backend, thread, process_instance_id)
        await self._retire_unfinished(lease, generations)
        allowed = self._limits.copied_characters if characters is None else characters
        window = await self._store.window(thread.ref, characters=allowed)
        generation = await self._build(lease, thread, backend, window, reason)
        await self._store.make_live(lease, generation.number)
        return self._tell(
            thread, previous, generation, window, process_instance_id=process_instance_id
        )

    async def characters_held(self, thread: Thread) -> int:
        """Give how much of the transcript the live conversation holds, at least about."""
        window = await self._store.window(thread.ref, characters=self._limits.copied_characters)
        first = thread.live.opened_from if thread.live else 0
        return sum(
            len(exchange.prompt) + len(exchange.answer)
            for exchange in window.exchanges
            if exchange.sequence >= first
        )

    async def _refuse_if_too_many_lost(
        self, backend: ConversationBackend, thread: Thread, process_instance_id: str
    ) -> None:
        """Let a person look where a backend has suddenly lost many conversations.

        More likely than so many losses is a wrong address or account, under which no
        conversation of ours would be found.
        """
        limits = self._limits
        count = await self._store.count_lost(backend.identity, within_seconds=limits.losses_seconds)
        if count < limits.losses_believed:
            return
        self._observer.notify(
            LossesNotBelieved(
                backend=backend.identity.adapter,
                process_instance_id=process_instance_id,
                thread_id=thread.thread_id or "",
                count=count,
            )
        )
        msg = (
            f"The conversation {thread.thread_id} is reported lost, after {count} others within "
            f"{limits.losses_seconds:g} seconds. So many are not believed: check address, key and "
            "project first. If they are really gone, rebuild this one with `dadm threads rebuild "
            f"{thread.thread_id}`, or raise DADM_TURNS__LOSSES_BELIEVED, then retry."
        )
        raise TooManyLost(msg)

    async def _retire_unfinished(self, lease: Lease, generations: Sequence[Generation]) -> None:
        """Queue for erasure what an earlier holder began to build and did not finish."""
        for generation in generations:
            if generation.state is GenerationState.BUILDING:
                await self._store.retire(lease, generation.number)

    async def _build(
        self,
        lease: Lease,
        thread: Thread,
        backend: ConversationBackend,
        window: Window,
        reason: GenerationReason,
    ) -> Generation:
        copied = window.messages if backend.keeps_conversations else ()
        source: Generation | None = None
        for _ in range(BUILD_ATTEMPTS):
            generation = await self._begin(thread, backend, window if copied else None, reason)
            if not copied:
                return generation
            if await self._fill(backend, generation, copied, source):
                return generation
            await self._store.retire(lease, generation.number)
            source = source or generation
        msg = (
            f"Thread {thread.key.scope}:{thread.key.assistant} could not be given its memory back: "
            f"{BUILD_ATTEMPTS} new conversations did not end up holding what was written to them."
        )
        raise OutcomeUnknown(msg)

    async def _fill(
        self,
        backend: ConversationBackend,
        generation: Generation,
        messages: Sequence[Message],
        source: Generation | None,
    ) -> bool:
        """Fill a conversation, from `source` where an earlier one cannot be trusted any more."""
        if source is not None and backend.links_items:
            return await self._filling.link(backend, generation, messages, source=source)
        return await self._filling.write(backend, generation, messages)

    async def _begin(
        self,
        thread: Thread,
        backend: ConversationBackend,
        window: Window | None,
        reason: GenerationReason,
    ) -> Generation:
        key = thread.key
        labels = {"engine": key.engine, "scope": key.scope, "assistant": key.assistant}
        conversation_id = await self._open_at(backend, labels)
        opened_from, opened_to = await self._span(thread, window) if window else (0, 0)
        generation = await self._store.note_conversation(
            thread.ref,
            identity=backend.identity,
            conversation_id=conversation_id,
            reason=reason,
            opened_from=opened_from,
            opened_to=opened_to,
        )
        if generation.state is not GenerationState.BUILDING:
            # A replica that stood still has yet to notice that its lease is lost. By now the thread
            # may be erased, and what was erased must not be written anywhere again.
            msg = "The thread was erased, or taken over, while a conversation was opened for it."
            raise ThreadConflict(msg)
        return generation

    async def _open_at(self, backend: ConversationBackend, labels: JsonObject) -> ConversationId:
        """Open an empty conversation, with patience for a backend that takes no requests.

        A reply that was lost leaves an empty one behind that nobody knows; once is enough.
        """
        lost = 0

        async def open_once() -> ConversationId:
            nonlocal lost
            try:
                return await backend.open(labels=labels)
            except (BackendUnavailable, OutcomeUnknown) as error:
                lost += isinstance(error, OutcomeUnknown)
                self._circuits.note(backend.identity, error)
                raise

        return await self._filling.repeatedly(
            open_once, unless=lambda: lost > 1 or self._circuits.is_failing(backend.identity)
        )

    async def _span(self, thread: Thread, window: Window) -> tuple[int, int]:
        """Give the row of turns that are copied; the first turn may be copied besides."""
        sequences = [exchange.sequence for exchange in window.exchanges]
        if window.left_out and len(sequences) > 1:
            first = await self._store.exchanges(thread.ref, limit=1)
            sequences = [each for each in sequences if each != first[0].sequence]
        return sequences[0], sequences[-1]

    def _tell(
        self,
        thread: Thread,
        previous: Generation | None,
        generation: Generation,
        window: Window,
        *,
        process_instance_id: str,
    ) -> Opening:
        key = thread.key
        if previous is None:
            self._observer.notify(
                ThreadCreated(
                    process_instance_id=process_instance_id,
                    thread_id=generation.conversation_id,
                    assistant=key.assistant,
                )
            )
            return Opening(change=ThreadChange.CREATED, thread_id=generation.conversation_id)
        previous_id = previous.conversation_id
        self._observer.notify(
            ThreadRebuilt(
                process_instance_id=process_instance_id,
                thread_id=generation.conversation_id,
                previous_thread_id=previous_id,
                assistant=key.assistant,
                reason=generation.reason,
                copied_messages=len(window.messages),
                left_out_exchanges=window.left_out,
            )
        )
        return Opening(
            change=ThreadChange.REBUILT,
            thread_id=generation.conversation_id,
            previous_thread_id=previous_id,
            copied_messages=len(window.messages),
        )


def _previous(
    thread: Thread, generations: Sequence[Generation], reason: GenerationReason
) -> Generation | None:
    """Find the conversation that a new one takes the place of, and whose backend it stays with.

    A thread that never had a live one has none, whatever was begun for it and not finished.
    """
    if thread.live is not None or reason is GenerationReason.FIRST or not generations:
        return thread.live
    return generations[-1]

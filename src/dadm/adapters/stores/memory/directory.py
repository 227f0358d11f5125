"""Reading threads and transcripts in memory."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import islice

from dadm.adapters.stores.memory.records import Records, ThreadRecord, TurnRecord
from dadm.domain.thread import (
    ConversationId,
    GenerationState,
    Thread,
    ThreadRef,
    ThreadState,
)
from dadm.domain.thread_scope import scopes_within
from dadm.domain.transcript import Exchange, Window
from dadm.domain.turn import Attempt, Turn, TurnRef, TurnState
from dadm.ports.store_values import StoreStatistics, ThreadFilter


class MemoryDirectory:
    """The role `ThreadDirectory` over records."""

    def __init__(self, records: Records) -> None:
        """Work on `records`, which the other roles share."""
        self._records = records

    async def find_thread(self, thread_id: str) -> Thread | None:
        wanted = ConversationId(thread_id)
        found = [
            (generation.state is GenerationState.LIVE, record.ref)
            for record in self._records.threads.values()
            for generation in record.generations.values()
            if generation.conversation_id == wanted
        ]
        return self._records.threads[max(found)[1]].as_thread() if found else None

    async def threads(self, wanted: ThreadFilter) -> Sequence[Thread]:
        newest_first = (
            self._records.threads[ref] for ref in sorted(self._records.threads, reverse=True)
        )
        matching = (record.as_thread() for record in newest_first if matches(record, wanted))
        return tuple(thread for thread, _ in zip(matching, range(wanted.limit), strict=False))

    async def find_turn(self, turn: TurnRef) -> Turn | None:
        record = self._records.turns.get(turn)
        return record.turn if record else None

    async def turns_in(
        self, states: Collection[TurnState], *, thread: ThreadRef | None = None, limit: int = 100
    ) -> Sequence[Turn]:
        newest_first = (
            self._records.turns[ref].turn for ref in sorted(self._records.turns, reverse=True)
        )
        found = (
            turn for turn in newest_first if turn.state in states and thread in {None, turn.thread}
        )
        return tuple(islice(found, limit))

    async def open_turns_of_closed(self, *, limit: int = 100) -> Sequence[Turn]:
        closed = (
            record.open_record()
            for record in self._records.threads.values()
            if record.state is ThreadState.CLOSED
        )
        found = (record.turn for record in closed if record is not None)
        return tuple(sorted(found, key=lambda turn: turn.ref)[:limit])

    async def turns(
        self, thread: ThreadRef, *, after_sequence: int = 0, limit: int = 100
    ) -> Sequence[Turn]:
        asked = (record.turn for record in self._asked(thread))
        return tuple(turn for turn in asked if turn.sequence > after_sequence)[:limit]

    async def attempts(self, turn: TurnRef) -> Sequence[Attempt]:
        record = self._records.turns.get(turn)
        return tuple(record.attempts) if record else ()

    async def exchanges(
        self, thread: ThreadRef, *, after_sequence: int = 0, limit: int = 100
    ) -> Sequence[Exchange]:
        found = (
            exchange for exchange in self._exchanges(thread) if exchange.sequence > after_sequence
        )
        return tuple(found)[:limit]

    async def window(self, thread: ThreadRef, *, characters: int) -> Window:
        exchanges = tuple(self._exchanges(thread))
        first = tuple(e for e in exchanges[:1] if size(e) <= characters)
        remaining = characters - sum(size(e) for e in first)
        latest: list[Exchange] = []
        for exchange in reversed(exchanges[len(first) :]):
            remaining -= size(exchange)
            if remaining < 0:
                break
            latest.append(exchange)
        chosen = (*first, *reversed(latest))
        return Window(exchanges=chosen, left_out=len(exchanges) - len(chosen))

    async def statistics(self) -> StoreStatistics:
        turns = [record.turn for record in self._records.turns.values()]
        now = self._records.clock.now()
        return StoreStatistics(
            threads_by_state=Counter(record.state for record in self._records.threads.values()),
            turns_by_state=Counter(turn.state for turn in turns),
            unreported_turns=sum(turn.state.is_settled and not turn.is_reported for turn in turns),
            retired_conversations=sum(
                generation.state is GenerationState.RETIRED
                for generation in self._records.all_generations()
            ),
            oldest_open_seconds=max(
                (
                    (now - record.attempts[-1].sent_at).total_seconds()
                    for record in self._records.turns.values()
                    if record.turn.state.is_open
                ),
                default=0.0,
            ),
        )

    async def now(self) -> datetime:
        return self._records.clock.now()

    async def doubts(self) -> Sequence[str]:
        return ("Threads are kept in memory: they end with this program.",)

    def _asked(self, thread: ThreadRef) -> Sequence[TurnRecord]:
        record = self._records.threads.get(thread)
        return record.asked if record else ()

    def _exchanges(self, thread: ThreadRef) -> Iterator[Exchange]:
        for record in self._asked(thread):
            turn = record.turn
            if turn.state is TurnState.COMPLETED and turn.answer is not None:
                yield Exchange(sequence=turn.sequence, prompt=turn.prompt, answer=turn.answer)


def matches(record: ThreadRecord, wanted: ThreadFilter) -> bool:
    """Whether a thread is among those wanted."""
    key = record.key
    asked_and_found = (
        (wanted.engine, key.engine),
        (wanted.tenant, key.tenant),
        (wanted.scope, key.scope),
        (wanted.assistant, key.assistant),
    )
    return (
        all(asked in {None, found} for asked, found in asked_and_found)
        and (wanted.process_instance_id is None or is_of(key.scope, wanted.process_instance_id))
        and (wanted.states is None or record.state in wanted.states)
        and (wanted.before is None or record.ref < wanted.before)
    )


def is_of(scope: str, process_instance_id: str) -> bool:
    """Whether a scope is a process instance's own, or within it."""
    within = scopes_within(process_instance_id)
    return scope == process_instance_id or (bool(within) and scope.startswith(within))


def size(exchange: Exchange) -> int:
    """Count the characters of an exchange."""
    return len(exchange.prompt) + len(exchange.answer)

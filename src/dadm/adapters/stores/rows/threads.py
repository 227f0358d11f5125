"""How threads, turns, attempts and conversations are read from rows, alike on both databases."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from dadm.adapters.stores.rows.texts import storable
from dadm.domain.chain import CHAIN_START
from dadm.domain.json import JsonObject
from dadm.domain.thread import (
    BackendIdentity,
    ConversationId,
    Generation,
    GenerationReason,
    GenerationState,
    Thread,
    ThreadKey,
    ThreadRef,
    ThreadState,
    Usage,
)
from dadm.domain.turn import Attempt, AttemptRef, Refusal, Turn, TurnKey, TurnRef, TurnState


class Row(Protocol):
    """A row as a driver gives it: a tuple on SQLite, a record on PostgreSQL."""

    def __getitem__(self, at: int, /) -> Any:
        """Give a column's value."""
        ...


GENERATION = """g.thread, g.number, g.identity, g.conversation_id, g.state, g.reason,
    g.opened_from, g.opened_to, g.copied_messages, g.last_item_id, g.created_at"""
THREAD = f"""t.id, s.engine, s.tenant, s.name, t.assistant, t.state, t.turn_count, t.shown,
    t.input_tokens, t.output_tokens, t.cached_tokens, t.created_at, t.last_turn_at, t.chain,
    {GENERATION}"""
THREAD_WIDTH = 25
THREADS = """threads t JOIN scopes s ON s.id = t.scope
    LEFT JOIN generations g ON g.thread = t.id AND g.state = 'live'"""
TURN = """u.id, u.thread, z.engine, z.tenant, z.name, u.task_id, u.state, u.sequence,
    u.content_digest, u.element_id, u.process_definition, p.prompt, a.text, u.answer_schema,
    u.assistant_version, u.refusal_code, u.refusal_reason,
    u.input_tokens, u.output_tokens, u.cached_tokens,
    u.generation, u.attempts, u.recovered, u.reported, u.created_at, u.settled_at, a.link"""
TURN_WIDTH = 27
TURNS = """turns u JOIN scopes z ON z.id = u.scope
    LEFT JOIN attempts p ON p.turn = u.id AND p.number = u.attempts
    LEFT JOIN answers a ON a.turn = u.id"""
ATTEMPT = """k.turn, k.number, k.generation, k.item_before, k.sent_at, r.response_id,
    k.error_code, k.error_message"""
ATTEMPTS = """attempts k
    LEFT JOIN responses r ON r.turn = k.turn AND r.number = k.number"""
ATTEMPT_BITS = 20
"""Of an attempt's number, the lowest bits say which of its turn's attempts it is."""

NO_SHOWN = "{}"


def shown_text(shown: Mapping[str, str]) -> str:
    """Write a map of shown variables as it is stored."""
    return json.dumps({storable(name): shown[name] for name in shown}) if shown else NO_SHOWN


def shown_map(text: str) -> dict[str, str]:
    """Read what `shown_text` wrote."""
    shown: dict[str, str] = json.loads(text) if text != NO_SHOWN else {}
    return shown


def schema_text(schema: JsonObject | None) -> str | None:
    """Write an answer schema as it is stored; the order of its keys may matter to a model."""
    return None if schema is None else json.dumps(schema)


def link_text(stored: bytes | None) -> str:
    """Read a link of a chain."""
    return CHAIN_START if stored is None else stored.hex()


def attempt_ref(turn: int, number: int) -> AttemptRef:
    """Give the number that stands for an attempt outside the database."""
    return AttemptRef(turn << ATTEMPT_BITS | number)


def turn_and_number(attempt: AttemptRef) -> tuple[int, int]:
    """Give the key that `attempt_ref` was made of."""
    return attempt >> ATTEMPT_BITS, attempt & (1 << ATTEMPT_BITS) - 1


class Rows:
    """Reads domain values from rows of one database."""

    def __init__(self, instant: Callable[[Any], datetime]) -> None:
        """Read points in time with `instant`."""
        self._instant = instant

    def _instant_or_none(self, value: Any) -> datetime | None:
        return None if value is None else self._instant(value)

    def generation(self, row: Row, at: int = 0) -> Generation:
        """Read the columns `GENERATION` that start at `at`."""
        return Generation(
            thread=ThreadRef(row[at]),
            number=row[at + 1],
            identity=BackendIdentity.parse(row[at + 2]),
            conversation_id=ConversationId(row[at + 3]),
            state=GenerationState(row[at + 4]),
            reason=GenerationReason(row[at + 5]),
            opened_from=row[at + 6],
            opened_to=row[at + 7],
            copied_messages=row[at + 8],
            last_item_id=row[at + 9],
            created_at=self._instant(row[at + 10]),
        )

    def thread(self, row: Row, at: int = 0) -> Thread:
        """Read the columns `THREAD` that start at `at`."""
        return Thread(
            ref=ThreadRef(row[at]),
            key=ThreadKey(
                engine=row[at + 1], tenant=row[at + 2], scope=row[at + 3], assistant=row[at + 4]
            ),
            state=ThreadState(row[at + 5]),
            turn_count=row[at + 6],
            shown=shown_map(row[at + 7]),
            usage=Usage(
                input_tokens=row[at + 8], output_tokens=row[at + 9], cached_tokens=row[at + 10]
            ),
            created_at=self._instant(row[at + 11]),
            last_turn_at=self._instant_or_none(row[at + 12]),
            chain=link_text(row[at + 13]),
            live=None if row[at + 14] is None else self.generation(row, at + 14),
        )

    def turn(self, row: Row, at: int = 0) -> Turn:
        """Read the columns `TURN` that start at `at`."""
        return Turn(
            ref=TurnRef(row[at]),
            thread=ThreadRef(row[at + 1]),
            key=TurnKey(
                engine=row[at + 2], tenant=row[at + 3], scope=row[at + 4], task_id=row[at + 5]
            ),
            state=TurnState(row[at + 6]),
            sequence=row[at + 7],
            content_digest=row[at + 8],
            element_id=row[at + 9],
            process_definition=row[at + 10],
            prompt=row[at + 11] or "",
            answer=row[at + 12],
            answer_schema=None if row[at + 13] is None else json.loads(row[at + 13]),
            assistant_version=row[at + 14],
            refusal=None
            if row[at + 15] is None
            else Refusal(code=row[at + 15], reason=row[at + 16]),
            usage=Usage(
                input_tokens=row[at + 17], output_tokens=row[at + 18], cached_tokens=row[at + 19]
            ),
            generation=row[at + 20],
            attempts=row[at + 21],
            recovered=bool(row[at + 22]),
            is_reported=bool(row[at + 23]),
            created_at=self._instant(row[at + 24]),
            settled_at=self._instant_or_none(row[at + 25]),
            link=link_text(row[at + 26]),
        )

    def attempt(self, row: Row, at: int = 0) -> Attempt:
        """Read the columns `ATTEMPT` that start at `at`."""
        return Attempt(
            ref=attempt_ref(row[at], row[at + 1]),
            turn=TurnRef(row[at]),
            number=row[at + 1],
            generation=row[at + 2],
            item_before=row[at + 3],
            sent_at=self._instant(row[at + 4]),
            response_id=row[at + 5] or "",
            error_code=row[at + 6],
            error_message=row[at + 7],
        )

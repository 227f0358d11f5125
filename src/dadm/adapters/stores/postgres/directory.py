"""Reading threads and transcripts on PostgreSQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.adapters.stores.postgres.reading import ROWS
from dadm.adapters.stores.rows.texts import bounds_of
from dadm.adapters.stores.rows.threads import ATTEMPT, ATTEMPTS, THREAD, THREADS, TURN, TURNS
from dadm.domain.thread import Thread, ThreadRef, ThreadState
from dadm.domain.thread_scope import scopes_within
from dadm.domain.transcript import Exchange, Window
from dadm.domain.turn import Attempt, Turn, TurnRef, TurnState
from dadm.ports.store_values import StoreStatistics, ThreadFilter

OF_CONVERSATION = f"""SELECT {THREAD} FROM {THREADS} JOIN generations c ON c.thread = t.id
    WHERE c.conversation_id = $1
    ORDER BY (c.state = 'live') DESC, t.id DESC LIMIT 1"""  # noqa: S608
LIST = f"""SELECT {THREAD} FROM {THREADS}
    WHERE ($1::text IS NULL OR s.engine = $1) AND ($2::text IS NULL OR s.tenant = $2)
      AND ($3::text IS NULL OR s.name = $3) AND ($4::text IS NULL OR t.assistant = $4)
      AND ($5::text[] IS NULL OR t.state = ANY ($5)) AND ($6::bigint IS NULL OR t.id < $6)
      AND ($8::text IS NULL OR s.name = $8 OR (s.name ~>=~ $9 AND s.name ~<~ $10))
    ORDER BY t.id DESC LIMIT $7"""  # noqa: S608
OF_REF = f"SELECT {TURN} FROM {TURNS} WHERE u.id = $1"  # noqa: S608
ASKED = f"""SELECT {TURN} FROM {TURNS}
    WHERE u.thread = $1 AND u.sequence > $2::bigint AND u.sequence > 0
    ORDER BY u.sequence LIMIT $3"""  # noqa: S608
IN_STATES = f"""SELECT {TURN} FROM {TURNS}
    WHERE u.state = ANY ($1::text[]) AND ($2::bigint IS NULL OR u.thread = $2)
    ORDER BY u.id DESC LIMIT $3"""  # noqa: S608
OPEN_OF_CLOSED = f"""SELECT {TURN} FROM {TURNS}
    WHERE u.state IN ('submitted', 'unknown')
      AND EXISTS (SELECT FROM threads t WHERE t.id = u.thread AND t.state = 'closed')
    ORDER BY u.id LIMIT $1"""  # noqa: S608
ATTEMPTS = f"SELECT {ATTEMPT} FROM {ATTEMPTS} WHERE k.turn = $1 ORDER BY k.number"  # noqa: S608
EXCHANGE = """SELECT u.sequence, p.prompt, a.text FROM turns u
    JOIN attempts p ON p.turn = u.id AND p.number = u.attempts
    JOIN answers a ON a.turn = u.id
    WHERE u.thread = $1 AND u.sequence > 0 AND u.state = 'completed'"""
EXCHANGES = f"{EXCHANGE} AND u.sequence > $2::bigint ORDER BY u.sequence LIMIT $3"
# The latest first; the thread's very first exchange and the count of all come along.
WINDOW_START = f"""SELECT t.exchange_count, f.* FROM threads t
    LEFT JOIN LATERAL ({EXCHANGE} ORDER BY u.sequence LIMIT 1) AS f ON true
    WHERE t.id = $1"""  # noqa: S608
EARLIER = f"{EXCHANGE} AND u.sequence > $2::bigint AND u.sequence < $3::bigint ORDER BY u.sequence DESC LIMIT $4"
COUNTS = """SELECT 'thread', state, count(*) FROM threads GROUP BY state
    UNION ALL SELECT 'turn', state, count(*) FROM turns GROUP BY state
    UNION ALL SELECT 'unreported', '', count(*) FROM turns
        WHERE settled_at IS NOT NULL AND NOT reported
    UNION ALL SELECT 'retired', '', count(*) FROM generations WHERE state = 'retired'"""
OLDEST_OPEN = """SELECT extract(epoch FROM clock_timestamp() - min(k.sent_at))::float8 FROM turns u
    JOIN attempts k ON k.turn = u.id AND k.number = u.attempts
    WHERE u.state IN ('submitted', 'unknown')"""

FIRST_PAGE = 20
LAST_SEQUENCE = 2**62


DURABILITY = """SELECT current_setting('fsync') AS fsync,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('full_page_writes') AS full_page_writes"""
WITHOUT = {
    "fsync": "a power failure may leave it broken",
    "synchronous_commit": "a crash may undo answers that were given to engines already",
    "full_page_writes": "a power failure may leave pages of it half written",
}


class PostgresDirectory:
    """The role `ThreadDirectory`."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def find_thread(self, thread_id: str) -> Thread | None:
        row = await self._database.row(OF_CONVERSATION, thread_id)
        return ROWS.thread(row) if row else None

    async def threads(self, wanted: ThreadFilter) -> Sequence[Thread]:
        rows = await self._database.rows(
            LIST,
            *(wanted.engine, wanted.tenant, wanted.scope, wanted.assistant),
            None if wanted.states is None else sorted(wanted.states),
            wanted.before,
            wanted.limit,
            wanted.process_instance_id,
            *bounds_of(scopes_within(wanted.process_instance_id or "")),
        )
        return tuple(map(ROWS.thread, rows))

    async def find_turn(self, turn: TurnRef) -> Turn | None:
        row = await self._database.row(OF_REF, turn)
        return ROWS.turn(row) if row else None

    async def turns_in(
        self, states: Collection[TurnState], *, thread: ThreadRef | None = None, limit: int = 100
    ) -> Sequence[Turn]:
        rows = await self._database.rows(IN_STATES, sorted(states), thread, limit)
        return tuple(map(ROWS.turn, rows))

    async def open_turns_of_closed(self, *, limit: int = 100) -> Sequence[Turn]:
        return tuple(map(ROWS.turn, await self._database.rows(OPEN_OF_CLOSED, limit)))

    async def turns(
        self, thread: ThreadRef, *, after_sequence: int = 0, limit: int = 100
    ) -> Sequence[Turn]:
        rows = await self._database.rows(ASKED, thread, after_sequence, limit)
        return tuple(map(ROWS.turn, rows))

    async def attempts(self, turn: TurnRef) -> Sequence[Attempt]:
        return tuple(map(ROWS.attempt, await self._database.rows(ATTEMPTS, turn)))

    async def exchanges(
        self, thread: ThreadRef, *, after_sequence: int = 0, limit: int = 100
    ) -> Sequence[Exchange]:
        rows = await self._database.rows(EXCHANGES, thread, after_sequence, limit)
        return tuple(map(exchange, rows))

    async def window(self, thread: ThreadRef, *, characters: int) -> Window:
        start = await self._database.row(WINDOW_START, thread)
        if start is None or start[1] is None:
            return Window(exchanges=(), left_out=0)
        opening = exchange(start[1:])
        first = (opening,) if size(opening) <= characters else ()
        remaining = characters - sum(map(size, first))
        latest = await self._latest(thread, len(first) * opening.sequence, remaining)
        chosen = (*first, *reversed(latest))
        return Window(exchanges=chosen, left_out=start[0] - len(chosen))

    async def _latest(self, thread: ThreadRef, after: int, remaining: int) -> list[Exchange]:
        """Read backwards, in pages that grow, until the room is used up; the latest first."""
        latest: list[Exchange] = []
        before, page = LAST_SEQUENCE, FIRST_PAGE
        while True:
            rows = await self._database.rows(EARLIER, thread, after, before, page)
            for found in map(exchange, rows):
                remaining -= size(found)
                if remaining < 0:
                    return latest
                latest.append(found)
            if len(rows) < page:
                return latest
            before, page = rows[-1][0], page * 2

    async def statistics(self) -> StoreStatistics:
        counts: dict[tuple[str, str], int] = {
            (kind, state): count for kind, state, count in await self._database.rows(COUNTS)
        }
        oldest = await self._database.one(OLDEST_OPEN)
        return StoreStatistics(
            threads_by_state={
                ThreadState(state): n for (kind, state), n in counts.items() if kind == "thread"
            },
            turns_by_state={
                TurnState(state): n for (kind, state), n in counts.items() if kind == "turn"
            },
            unreported_turns=counts["unreported", ""],
            retired_conversations=counts["retired", ""],
            oldest_open_seconds=max(0.0, oldest[0] or 0.0),
        )

    async def now(self) -> datetime:
        now: datetime = (await self._database.one("SELECT clock_timestamp()"))[0]
        return now

    async def doubts(self) -> Sequence[str]:
        row = await self._database.one(DURABILITY)
        return tuple(
            f"{name} is off on the database: {loss}. Switch it on."
            for name, loss in WITHOUT.items()
            if row[name] == "off"
        )


def exchange(row: Any) -> Exchange:
    """Read a row of `EXCHANGE`."""
    return Exchange(sequence=row[0], prompt=row[1], answer=row[2])


def size(given: Exchange) -> int:
    """Count the characters of an exchange."""
    return len(given.prompt) + len(given.answer)

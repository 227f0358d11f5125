"""Reading threads and turns as they stand, inside a job on SQLite."""

import sqlite3
from dataclasses import dataclass
from typing import Any

from dadm.adapters.stores.rows.threads import (
    ATTEMPT,
    ATTEMPTS,
    THREAD,
    THREAD_WIDTH,
    THREADS,
    TURN,
    TURN_WIDTH,
    TURNS,
    Rows,
)
from dadm.adapters.stores.sqlite.instants import instant
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import Thread, ThreadKey, ThreadRef
from dadm.domain.turn import Attempt, Turn, TurnKey, TurnRef, TurnState
from dadm.ports.store_values import Lease, OpenTurn

ROWS = Rows(instant)

SELECT_THREAD = f"""
    SELECT {THREAD}, t.scope, t.lease_owner, t.lease_expires_at, t.fence, t.last_ticket
    FROM {THREADS}"""  # noqa: S608 - column lists of our own
THREAD_OF_KEY = f"""{SELECT_THREAD}
    WHERE s.engine = ? AND s.tenant = ? AND s.name = ? AND t.assistant = ?
      AND t.state <> 'erased'"""
THREAD_OF_REF = f"{SELECT_THREAD} WHERE t.id = ?"
STANDS = "SELECT chain, shown FROM threads WHERE id = ? AND lease_owner = ? AND fence = ?"
SELECT_TURN = f"SELECT {TURN}, u.ticket, u.ticket_expires_at, u.fence FROM {TURNS}"  # noqa: S608
TURN_OF_KEY = f"""{SELECT_TURN}
    WHERE z.engine = ? AND z.tenant = ? AND z.name = ? AND u.task_id = ?"""
TURN_OF_REF = f"{SELECT_TURN} WHERE u.id = ?"
OPEN_TURN = f"{SELECT_TURN} WHERE u.thread = ? AND u.state IN ('submitted', 'unknown')"
SELECT_ATTEMPTS = f"SELECT {ATTEMPT} FROM {ATTEMPTS} WHERE k.turn = ?"  # noqa: S608
LATEST_ATTEMPT = f"{SELECT_ATTEMPTS} ORDER BY k.number DESC LIMIT 1"
ATTEMPTS_IN_ORDER = f"{SELECT_ATTEMPTS} ORDER BY k.number"


@dataclass(slots=True)
class StandingThread:
    """A thread with its lease; `scope` is the number of its scope."""

    thread: Thread
    scope: int
    lease_owner: str
    lease_expires_at: int | None
    fence: int
    last_ticket: int

    def held_by_another(self, owner: str, now: int) -> bool:
        """Whether somebody else's lease has not run out."""
        return self.lease_owner not in {"", owner} and (self.lease_expires_at or 0) > now

    def remaining_seconds(self, now: int) -> float:
        """Give how long the present lease may last."""
        return max(0, (self.lease_expires_at or 0) - now) / 1_000_000

    def stands(self, lease: Lease) -> bool:
        """Whether nobody was granted the thread after `lease`, and it was not given up."""
        return self.lease_owner == lease.owner and self.fence == lease.fence


@dataclass(slots=True)
class StandingTurn:
    """A turn with its ticket, and the fence under which it was last decided about."""

    turn: Turn
    ticket: int
    ticket_expires_at: int | None
    fence: int

    def waits(self, now: int) -> bool:
        """Whether the turn is planned and its ticket alive."""
        return self.turn.state is TurnState.PLANNED and (self.ticket_expires_at or 0) > now

    def is_submitted_under(self, lease: Lease) -> bool:
        """Whether this very lease has submitted the turn."""
        return self.turn.state is TurnState.SUBMITTED and self.fence == lease.fence


def standing_thread(row: Any) -> StandingThread:
    """Read a row of `SELECT_THREAD`."""
    return StandingThread(ROWS.thread(row), *row[THREAD_WIDTH:])


def standing_turn(row: Any) -> StandingTurn:
    """Read a row of `SELECT_TURN`."""
    return StandingTurn(ROWS.turn(row), *row[TURN_WIDTH:])


def thread_of_key(connection: sqlite3.Connection, key: ThreadKey) -> StandingThread | None:
    """Find the thread of that key that is not erased."""
    row = connection.execute(
        THREAD_OF_KEY, (key.engine, key.tenant, key.scope, key.assistant)
    ).fetchone()
    return standing_thread(row) if row else None


def thread_of_ref(connection: sqlite3.Connection, ref: ThreadRef) -> StandingThread | None:
    """Find a thread by its number."""
    row = connection.execute(THREAD_OF_REF, (ref,)).fetchone()
    return standing_thread(row) if row else None


def thread_of_turn(connection: sqlite3.Connection, turn: Turn) -> StandingThread:
    """Find the thread of a turn; a foreign key says that there is one."""
    row = connection.execute(THREAD_OF_REF, (turn.thread,)).fetchone()
    return standing_thread(row)


def turn_of_key(connection: sqlite3.Connection, key: TurnKey) -> StandingTurn | None:
    """Find the turn of that key."""
    row = connection.execute(
        TURN_OF_KEY, (key.engine, key.tenant, key.scope, key.task_id)
    ).fetchone()
    return standing_turn(row) if row else None


def turn_of_ref(connection: sqlite3.Connection, ref: TurnRef) -> StandingTurn | None:
    """Find a turn by its number."""
    row = connection.execute(TURN_OF_REF, (ref,)).fetchone()
    return standing_turn(row) if row else None


def open_turn(connection: sqlite3.Connection, thread: ThreadRef) -> OpenTurn | None:
    """Find the turn of a thread whose request may be under way."""
    row = connection.execute(OPEN_TURN, (thread,)).fetchone()
    if row is None:
        return None
    turn = ROWS.turn(row)
    return OpenTurn(turn=turn, attempt=latest_attempt(connection, turn.ref))


def latest_attempt(connection: sqlite3.Connection, turn: TurnRef) -> Attempt:
    """Read the latest attempt of a turn that was submitted."""
    return ROWS.attempt(connection.execute(LATEST_ATTEMPT, (turn,)).fetchone())


def check_lease(connection: sqlite3.Connection, lease: Lease) -> tuple[bytes | None, str]:
    """Let only a lease pass that stands; give its thread's chain and shown variables as stored.

    Raises:
        ThreadConflict: It does not.
    """
    row: tuple[bytes | None, str] | None = connection.execute(
        STANDS, (lease.thread, lease.owner, lease.fence)
    ).fetchone()
    if row is None:
        raise ThreadConflict
    return row


def leased(connection: sqlite3.Connection, lease: Lease) -> StandingThread:
    """Read the thread that `lease` is for.

    Raises:
        ThreadConflict: The lease does not stand.
    """
    standing = thread_of_ref(connection, lease.thread)
    if standing is None or not standing.stands(lease):
        raise ThreadConflict
    return standing


def turn_of_lease(connection: sqlite3.Connection, lease: Lease, turn: TurnRef) -> StandingTurn:
    """Read a turn of the thread that `lease` is for, whether or not the lease stands.

    Raises:
        ThreadConflict: There is no such turn on that thread.
    """
    standing = turn_of_ref(connection, turn)
    if standing is None or standing.turn.thread != lease.thread:
        raise ThreadConflict
    return standing

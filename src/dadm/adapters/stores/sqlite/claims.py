"""Claiming and submitting turns on SQLite, each in one transaction."""

import sqlite3

from dadm.adapters.stores.deliveries import refuse_unusable
from dadm.adapters.stores.sqlite.claiming import Claiming, matches
from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.reading import (
    leased,
    open_turn,
    thread_of_key,
    thread_of_ref,
    turn_of_key,
    turn_of_lease,
)
from dadm.domain.errors import ThreadConflict
from dadm.domain.thread import ThreadKey
from dadm.domain.turn import TurnKey, TurnRef
from dadm.ports.store_values import (
    Claim,
    ClaimRequest,
    Lease,
    Standing,
    Submission,
    Submitted,
)


class SqliteClaims:
    """How turns of the role `Turns` begin."""

    def __init__(self, database: SqliteDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def look_up(self, thread: ThreadKey, turn: TurnKey) -> Standing:
        return await self._database.read(lambda connection: look_up(connection, thread, turn))

    async def claim(self, request: ClaimRequest) -> Claim:
        return await self._database.write(lambda connection: Claiming(connection).claim(request))

    async def submit(self, lease: Lease, turn: TurnRef, submission: Submission) -> Submitted:
        return await self._database.write(
            lambda connection: submit(connection, lease, turn, submission)
        )


def look_up(connection: sqlite3.Connection, key: ThreadKey, turn_key: TurnKey) -> Standing:
    """Read the turn with its own thread, or else the thread of that key."""
    turn = turn_of_key(connection, turn_key)
    if turn is None:
        thread = thread_of_key(connection, key)
    else:
        thread = thread_of_ref(connection, turn.turn.thread)
    return Standing(thread=thread.thread if thread else None, turn=turn.turn if turn else None)


def submit(
    connection: sqlite3.Connection, lease: Lease, ref: TurnRef, submission: Submission
) -> Submitted:
    """Submit a planned turn of a thread that is held."""
    turn = turn_of_lease(connection, lease, ref)
    thread = leased(connection, lease)
    claiming = Claiming(connection)
    if turn.is_submitted_under(lease):
        return claiming.submitted_already(lease, thread, turn)
    refuse_unusable(thread.thread.state)
    is_free = open_turn(connection, lease.thread) is None
    if not (is_free and matches(thread.thread, turn.turn, submission)):
        raise ThreadConflict
    return claiming.write_submission(lease, thread, turn, submission)

"""Bringing turns to their end on SQLite: answered, refused, set aside, planned again."""

import sqlite3
from dataclasses import replace
from typing import assert_never

from dadm.adapters.stores import audit_details
from dadm.adapters.stores.rows.texts import storable
from dadm.adapters.stores.rows.threads import (
    NO_SHOWN,
    link_text,
    shown_map,
    shown_text,
    turn_and_number,
)
from dadm.adapters.stores.sqlite.audit import note
from dadm.adapters.stores.sqlite.database import SqliteDatabase
from dadm.adapters.stores.sqlite.instants import instant, microseconds_now
from dadm.adapters.stores.sqlite.reading import StandingTurn, check_lease, turn_of_lease
from dadm.domain.chain import next_link
from dadm.domain.errors import ThreadConflict
from dadm.domain.turn import AttemptRef, Refusal, Turn, TurnKey, TurnRef, TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.store_values import (
    AbandonSettlement,
    AnswerSettlement,
    Lease,
    RefusalSettlement,
    Settlement,
)

NOTE_RESPONSE = """INSERT INTO responses (turn, number, response_id)
    SELECT turn, number, ? FROM attempts WHERE turn = ? AND number = ?
    ON CONFLICT DO NOTHING"""
COMPLETE = """UPDATE turns SET state = 'completed', fence = ?, recovered = ?, settled_at = ?,
    ticket_expires_at = NULL,
    input_tokens = ?, output_tokens = ?, cached_tokens = ? WHERE id = ?"""
WRITE_ANSWER = "INSERT INTO answers (turn, text, link) VALUES (?, ?, ?)"
COUNT_ANSWER = """UPDATE threads SET exchange_count = exchange_count + 1, last_turn_at = ?,
    chain = ?,
    input_tokens = input_tokens + ?, output_tokens = output_tokens + ?,
    cached_tokens = cached_tokens + ? WHERE id = ?"""
MOVE_ON = """UPDATE generations SET last_item_id = ?
    WHERE thread = ? AND number = ? AND state = 'live'"""
LATEST_SHOWN = "SELECT shown FROM attempts WHERE turn = ? AND number = ?"
SHOW = "UPDATE threads SET shown = ? WHERE id = ?"
REFUSE = """UPDATE turns SET state = 'refused', fence = ?, refusal_code = ?, refusal_reason = ?,
    settled_at = ?, ticket_expires_at = NULL,
    input_tokens = ?, output_tokens = ?, cached_tokens = ? WHERE id = ?"""
ABANDON = """UPDATE turns SET state = 'abandoned', fence = ?, refusal_code = ?,
    refusal_reason = ?, settled_at = ?, ticket_expires_at = NULL WHERE id = ?"""
COUNT_COST = """UPDATE threads SET input_tokens = input_tokens + ?,
    output_tokens = output_tokens + ?, cached_tokens = cached_tokens + ? WHERE id = ?"""
FREE = """UPDATE threads SET lease_owner = '', lease_expires_at = NULL
    WHERE id = ? AND lease_owner = ? AND fence = ?"""
NOTE_ERROR = """UPDATE attempts SET error_code = ?, error_message = ?
    WHERE turn = ? AND number = ?"""
SET_ASIDE = "UPDATE turns SET state = 'unknown', fence = ? WHERE id = ?"
KEEP_PLANNED = "UPDATE turns SET fence = ? WHERE id = ?"
REPLAN = "UPDATE turns SET state = 'planned', sequence = 0, fence = ? WHERE id = ?"
UNCOUNT_TURN = "UPDATE threads SET turn_count = turn_count - 1 WHERE id = ?"
DROP_TICKET = "UPDATE turns SET ticket_expires_at = NULL WHERE id = ? AND state = 'planned'"
REPORT = """UPDATE turns SET reported = 1
    WHERE scope = (SELECT id FROM scopes WHERE engine = ? AND tenant = ? AND name = ?)
      AND task_id = ? AND settled_at IS NOT NULL"""


class SqliteEndings:
    """How turns of the role `Turns` end."""

    def __init__(self, database: SqliteDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def note_response(self, attempt: AttemptRef, response_id: str) -> None:
        await self._database.execute(NOTE_RESPONSE, (response_id, *turn_and_number(attempt)))

    async def settle(
        self,
        lease: Lease,
        turn: TurnRef,
        settlement: Settlement,
        *,
        keep_lease: bool = False,
    ) -> Turn:
        return await self._database.write(
            lambda connection: settle(connection, lease, turn, settlement, keep_lease=keep_lease)
        )

    async def set_aside(
        self, lease: Lease, turn: TurnRef, *, error_code: str, error_message: str
    ) -> None:
        error = (error_code, storable(error_message))
        await self._database.write(lambda connection: set_aside(connection, lease, turn, error))

    async def replan(
        self,
        lease: Lease,
        attempt: AttemptRef,
        *,
        error_code: str,
        error_message: str,
        keep_lease: bool,
    ) -> None:
        error = (error_code, storable(error_message))
        await self._database.write(
            lambda connection: replan(connection, lease, attempt, error, keep_lease=keep_lease)
        )

    async def mark_reported(self, turn: TurnKey) -> None:
        values = (turn.engine, turn.tenant, turn.scope, turn.task_id)
        await self._database.execute(REPORT, values)


def settle(
    connection: sqlite3.Connection,
    lease: Lease,
    ref: TurnRef,
    settlement: Settlement,
    *,
    keep_lease: bool,
) -> Turn:
    """End a turn, and give the thread up unless it is to be kept."""
    standing = turn_of_lease(connection, lease, ref)
    turn = standing.turn
    if not (turn.state.is_settled and standing.fence == lease.fence):
        chain_and_shown = check_lease(connection, lease)
        match settlement:
            case AnswerSettlement():
                turn = answer(connection, lease, turn, settlement, chain_and_shown)
            case RefusalSettlement():
                turn = refuse(connection, lease, turn, settlement)
            case AbandonSettlement():
                turn = abandon(connection, lease, turn, settlement)
            case _:
                assert_never(settlement)
    if not keep_lease:
        free(connection, lease)
    return turn


def answer(
    connection: sqlite3.Connection,
    lease: Lease,
    turn: Turn,
    settlement: AnswerSettlement,
    chain_and_shown: tuple[bytes | None, str],
) -> Turn:
    """Write the answer down, and what it moves on the thread."""
    if not turn.state.is_open:
        raise ThreadConflict
    now = microseconds_now()
    usage = settlement.usage
    cost = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    connection.execute(COMPLETE, (lease.fence, settlement.is_recovered, now, *cost, turn.ref))
    text = storable(settlement.answer)
    chain, before = chain_and_shown
    link = next_link(link_text(chain), sequence=turn.sequence, prompt=turn.prompt, answer=text)
    connection.execute(WRITE_ANSWER, (turn.ref, text, bytes.fromhex(link)))
    connection.execute(COUNT_ANSWER, (now, bytes.fromhex(link), *cost, lease.thread))
    if settlement.last_item_id:
        connection.execute(MOVE_ON, (settlement.last_item_id, lease.thread, turn.generation))
    (shown,) = connection.execute(LATEST_SHOWN, (turn.ref, turn.attempts)).fetchone()
    if shown != NO_SHOWN:
        merged = shown_map(before) | shown_map(shown)
        connection.execute(SHOW, (shown_text(merged), lease.thread))
    if settlement.is_recovered:
        detail = audit_details.recovered(turn.attempts)
        note(connection, lease.thread, turn.ref, AuditAction.RECOVERED, detail)
    return replace(
        turn,
        state=TurnState.COMPLETED,
        answer=text,
        usage=usage,
        recovered=settlement.is_recovered,
        settled_at=instant(now),
        link=link,
    )


def refuse(
    connection: sqlite3.Connection, lease: Lease, turn: Turn, settlement: RefusalSettlement
) -> Turn:
    """Write the refusal down, and what it cost."""
    if turn.state.is_settled:
        raise ThreadConflict
    now = microseconds_now()
    usage = settlement.usage
    refusal = replace(settlement.refusal, reason=storable(settlement.refusal.reason))
    cost = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    connection.execute(REFUSE, (lease.fence, refusal.code, refusal.reason, now, *cost, turn.ref))
    connection.execute(COUNT_COST, (*cost, lease.thread))
    note(connection, lease.thread, turn.ref, AuditAction.REFUSED, refusal.code)
    return replace(
        turn, state=TurnState.REFUSED, refusal=refusal, usage=usage, settled_at=instant(now)
    )


def abandon(
    connection: sqlite3.Connection, lease: Lease, turn: Turn, settlement: AbandonSettlement
) -> Turn:
    """Write down that a person gave the turn up."""
    if turn.state.is_settled:
        raise ThreadConflict
    now = microseconds_now()
    refusal = Refusal(code=TurnState.ABANDONED, reason=storable(settlement.reason))
    connection.execute(ABANDON, (lease.fence, refusal.code, refusal.reason, now, turn.ref))
    note(connection, lease.thread, turn.ref, AuditAction.ABANDONED, refusal.reason)
    return replace(turn, state=TurnState.ABANDONED, refusal=refusal, settled_at=instant(now))


def free(connection: sqlite3.Connection, lease: Lease) -> bool:
    """End the lease; False if it does not stand."""
    return connection.execute(FREE, (lease.thread, lease.owner, lease.fence)).rowcount == 1


def set_aside(
    connection: sqlite3.Connection, lease: Lease, ref: TurnRef, error: tuple[str, str]
) -> None:
    """Mark an open turn unknown, and give the thread up."""
    standing = turn_of_lease(connection, lease, ref)
    is_free_of_it = standing.turn.state in {TurnState.PLANNED, TurnState.UNKNOWN}
    if not free(connection, lease):
        if is_free_of_it and standing.fence == lease.fence:
            return
        raise ThreadConflict
    if standing.turn.state.is_settled:
        raise ThreadConflict
    if standing.turn.state.is_open:
        connection.execute(SET_ASIDE, (lease.fence, ref))
        note_error(connection, standing, error)
    else:
        connection.execute(KEEP_PLANNED, (lease.fence, ref))


def replan(
    connection: sqlite3.Connection,
    lease: Lease,
    attempt: AttemptRef,
    error: tuple[str, str],
    *,
    keep_lease: bool,
) -> None:
    """Take an open turn back to planned; without its lease it gives up its place too."""
    turn, number = turn_and_number(attempt)
    ref = TurnRef(turn)
    standing = turn_of_lease(connection, lease, ref)
    if standing.turn.attempts != number:
        raise ThreadConflict
    if not (standing.turn.state is TurnState.PLANNED and standing.fence == lease.fence):
        check_lease(connection, lease)
        if not standing.turn.state.is_open:
            raise ThreadConflict
        connection.execute(REPLAN, (lease.fence, ref))
        connection.execute(UNCOUNT_TURN, (lease.thread,))
        note_error(connection, standing, error)
        note(connection, lease.thread, ref, AuditAction.ASKED_AGAIN, error[0])
    if not keep_lease and free(connection, lease):
        connection.execute(DROP_TICKET, (ref,))


def note_error(
    connection: sqlite3.Connection, standing: StandingTurn, error: tuple[str, str]
) -> None:
    """Write on the latest attempt why it gave no answer."""
    connection.execute(NOTE_ERROR, (*error, standing.turn.ref, standing.turn.attempts))

"""Bringing turns to their end on PostgreSQL: answered, refused, set aside, planned again."""

from typing import Any, assert_never

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.adapters.stores.postgres.reading import ROWS
from dadm.adapters.stores.rows.texts import storable
from dadm.adapters.stores.rows.threads import turn_and_number
from dadm.domain.thread import NO_USAGE, Usage
from dadm.domain.turn import AttemptRef, Turn, TurnKey, TurnRef, TurnState
from dadm.ports.store_values import (
    AbandonSettlement,
    AnswerSettlement,
    Lease,
    RefusalSettlement,
    Settlement,
)

NOTE_RESPONSE = """INSERT INTO responses (turn, number, response_id)
    SELECT turn, number, $3 FROM attempts WHERE turn = $1 AND number = $2
    ON CONFLICT DO NOTHING"""
SETTLE = "SELECT * FROM settle_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
SET_ASIDE = "SELECT set_aside_1($1, $2, $3, $4, $5, $6)"
REPLAN = "SELECT replan_2($1, $2, $3, $4, $5, $6, $7, $8)"
REPORT = """UPDATE turns SET reported = true
    WHERE scope = (SELECT id FROM scopes WHERE engine = $1 AND tenant = $2 AND name = $3)
      AND task_id = $4 AND settled_at IS NOT NULL AND NOT reported"""


class PostgresEndings:
    """How turns of the role `Turns` end."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def note_response(self, attempt: AttemptRef, response_id: str) -> None:
        await self._database.execute_together(
            NOTE_RESPONSE, *turn_and_number(attempt), storable(response_id)
        )

    async def settle(
        self,
        lease: Lease,
        turn: TurnRef,
        settlement: Settlement,
        *,
        keep_lease: bool = False,
    ) -> Turn:
        row = await self._database.one(
            SETTLE, lease.thread, lease.owner, lease.fence, turn, keep_lease, *written(settlement)
        )
        return ROWS.turn(row)

    async def set_aside(
        self, lease: Lease, turn: TurnRef, *, error_code: str, error_message: str
    ) -> None:
        error = (error_code, storable(error_message))
        await self._database.execute(
            SET_ASIDE, lease.thread, lease.owner, lease.fence, turn, *error
        )

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
        of = turn_and_number(attempt)
        await self._database.execute(
            REPLAN, lease.thread, lease.owner, lease.fence, *of, *error, keep_lease
        )

    async def mark_reported(self, turn: TurnKey) -> None:
        await self._database.execute_together(
            REPORT, turn.engine, turn.tenant, turn.scope, turn.task_id
        )


def written(settlement: Settlement) -> tuple[Any, ...]:
    """Give a settlement's parts in the order that `settle_2` takes them in."""
    match settlement:
        case AnswerSettlement(answer=answer, last_item_id=item, is_recovered=is_recovered):
            end = (TurnState.COMPLETED, storable(answer), item, is_recovered)
            return (*end, None, None, *cost(settlement.usage))
        case RefusalSettlement(refusal=refusal, usage=usage):
            return unanswered(TurnState.REFUSED, refusal.code, refusal.reason, usage)
        case AbandonSettlement(reason=reason):
            return unanswered(TurnState.ABANDONED, TurnState.ABANDONED, reason, NO_USAGE)
        case _:
            assert_never(settlement)


def unanswered(end: TurnState, code: str, reason: str, usage: Usage) -> tuple[Any, ...]:
    """Give the parts of an end without an answer."""
    return (end, None, "", False, code, storable(reason), *cost(usage))


def cost(usage: Usage) -> tuple[int, int, int]:
    """Give the counts in the order of the columns."""
    return (usage.input_tokens, usage.output_tokens, usage.cached_tokens)

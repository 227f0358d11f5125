"""Claiming and submitting turns on PostgreSQL, each in one statement."""

from typing import Any

from dadm.adapters.stores.postgres.database import PostgresDatabase
from dadm.adapters.stores.postgres.reading import ROWS, open_turn
from dadm.adapters.stores.rows.texts import storable
from dadm.adapters.stores.rows.threads import schema_text, shown_text
from dadm.domain.thread import ThreadKey
from dadm.domain.turn import TurnKey, TurnRef
from dadm.ports.store_values import (
    Claim,
    ClaimRequest,
    Granted,
    Lease,
    Queued,
    Recorded,
    Standing,
    Submission,
    Submitted,
)

LOOK_UP = """
    WITH known AS (
        SELECT u.id, u.thread FROM turns u JOIN scopes z ON z.id = u.scope
        WHERE z.engine = $5 AND z.tenant = $6 AND z.name = $7 AND u.task_id = $8
    )
    SELECT
        (SELECT v FROM thread_rows_2 v WHERE v.id = coalesce(
            (SELECT thread FROM known),
            (SELECT t.id FROM threads t JOIN scopes s ON s.id = t.scope
             WHERE s.engine = $1 AND s.tenant = $2 AND s.name = $3 AND t.assistant = $4
               AND t.state <> 'erased')
        )),
        (SELECT v FROM turn_rows_2 v WHERE v.id = (SELECT id FROM known))"""
CLAIM = f"SELECT * FROM claim_2({', '.join(f'${number}' for number in range(1, 23))})"  # noqa: S608
SUBMIT = "SELECT * FROM submit_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"


class PostgresClaims:
    """How turns of the role `Turns` begin."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Work on `database`, which the other roles share."""
        self._database = database

    async def look_up(self, thread: ThreadKey, turn: TurnKey) -> Standing:
        thread_row, turn_row = await self._database.one_of_many(
            LOOK_UP,
            *(thread.engine, thread.tenant, thread.scope, thread.assistant),
            *(turn.engine, turn.tenant, turn.scope, turn.task_id),
        )
        return Standing(
            thread=ROWS.thread(thread_row) if thread_row else None,
            turn=ROWS.turn(turn_row) if turn_row else None,
        )

    async def claim(self, request: ClaimRequest) -> Claim:
        thread, turn = request.thread, request.turn
        row = await self._database.one(
            CLAIM,
            *(thread.engine, thread.tenant, thread.scope, thread.assistant),
            *(turn.engine, turn.tenant, turn.scope, turn.task_id),
            request.content_digest,
            request.element_id,
            request.process_definition,
            request.owner,
            request.lease_seconds,
            request.ticket_seconds,
            request.refuse_other_content,
            request.submission is not None,
            *written(request.submission),
        )
        return claim_of(row, request.owner)

    async def submit(self, lease: Lease, turn: TurnRef, submission: Submission) -> Submitted:
        row = await self._database.one(
            SUBMIT, lease.thread, lease.owner, lease.fence, turn, *written(submission)
        )
        return submitted(row, lease)


def written(submission: Submission | None) -> tuple[Any, ...]:
    """Give a submission's parts in the order that our functions take them in."""
    if submission is None:
        return (None,) * 6
    return (
        storable(submission.prompt),
        submission.assistant_version,
        schema_text(submission.answer_schema),
        submission.after_sequence,
        submission.generation,
        shown_text(submission.shown),
    )


def claim_of(row: Any, owner: str) -> Claim:
    """Read what `claim_2` gives."""
    if row["kind"] == "queued":
        return Queued(
            turn=TurnRef(row["turn_id"]),
            ticket=row["ticket"],
            ahead=row["ahead"],
            lease_remaining_seconds=row["remaining_seconds"],
        )
    thread, turn = ROWS.thread(row["thread_row"]), ROWS.turn(row["turn_row"])
    if row["kind"] == "recorded":
        return Recorded(thread=thread, turn=turn)
    lease = Lease(thread=thread.ref, owner=owner, fence=row["fence"])
    if row["kind"] == "submitted":
        return submitted(row, lease)
    return Granted(
        lease=lease,
        thread=thread,
        turn=turn,
        open_turn=open_turn(row["open_row"], row["attempt_row"]),
    )


def submitted(row: Any, lease: Lease) -> Submitted:
    """Read a submission that was recorded."""
    return Submitted(
        lease=lease,
        thread=ROWS.thread(row["thread_row"]),
        turn=ROWS.turn(row["turn_row"]),
        attempt=ROWS.attempt(row["attempt_row"]),
    )

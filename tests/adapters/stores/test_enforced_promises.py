"""What the databases refuse by themselves, whatever program writes to them."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dadm.adapters.stores.postgres import PostgresDatabase, open_postgres
from dadm.adapters.stores.sqlite import open_sqlite
from dadm.domain.errors import ThreadConflict

Execute = Callable[[str], Awaitable[int]]

NOW = {"sqlite": "0", "postgres": "now()"}
GIVEN = (
    "INSERT INTO scopes (id, engine, tenant, name) VALUES (1, 'e', '', 'p1'), (2, 'e', '', 'p2')",
    (
        "INSERT INTO threads (id, scope, assistant, state, created_at)"
        " VALUES (1, 1, 'a', 'open', {now}), (2, 2, 'a', 'open', {now})"
    ),
    (
        "INSERT INTO generations"
        " (thread, number, identity, conversation_id, state, reason, created_at)"
        " VALUES (1, 1, 'b', 'c1', 'live', 'first', {now}), (1, 2, 'b', 'c2', 'building', 'lost', {now})"
    ),
    (
        "INSERT INTO turns (id, thread, scope, task_id, state, sequence, ticket, content_digest,"
        " element_id, process_definition, created_at)"
        " VALUES (1, 1, 1, 't1', 'submitted', 1, 1, 'd', '', '', {now}),"
        " (2, 1, 1, 't2', 'planned', 0, 2, 'd', '', '', {now})"
    ),
    (
        "INSERT INTO attempts (turn, number, thread, generation, item_before, shown, sent_at, prompt)"
        " VALUES (1, 1, 1, 1, '', '{{}}', {now}, 'p')"
    ),
    "INSERT INTO responses (turn, number, response_id) VALUES (1, 1, 'r')",
    "INSERT INTO answers (turn, text) VALUES (1, 'a')",
    "INSERT INTO audit_entries (thread, at, action, detail) VALUES (1, {now}, 'cancelled', '')",
    "INSERT INTO erasures (thread, begun_at) VALUES (1, {now})",
    "INSERT INTO erased_conversations (thread, number, unreachable) VALUES (1, 1, '[]')",
)
ERASED = "INSERT INTO erased_conversations (thread, number, unreachable) VALUES "
TURN = (
    "INSERT INTO turns (thread, scope, task_id, state, sequence, ticket, content_digest,"
    " element_id, process_definition, created_at) VALUES "
)
ATTEMPT = (
    "INSERT INTO attempts (turn, number, thread, generation, item_before, shown, sent_at, prompt)"
    " VALUES "
)
GENERATION = (
    "INSERT INTO generations"
    " (thread, number, identity, conversation_id, state, reason, created_at) VALUES "
)
BROKEN = {
    "two scopes of one name": "INSERT INTO scopes (engine, tenant, name) VALUES ('e', '', 'p1')",
    "two threads of one key": "INSERT INTO threads (scope, assistant, state, created_at)"
    " VALUES (1, 'a', 'closed', {now})",
    "a thread without a scope": "INSERT INTO threads (scope, assistant, state, created_at)"
    " VALUES (9, 'a', 'open', {now})",
    "a thread in no known state": "UPDATE threads SET state = 'lost' WHERE id = 1",
    "a lease without an end": "UPDATE threads SET lease_owner = 'o' WHERE id = 1",
    "a lease without an owner": "UPDATE threads SET lease_expires_at = {now} WHERE id = 1",
    "two live conversations": "UPDATE generations SET state = 'live' WHERE number = 2",
    "one conversation of two threads": GENERATION + "(2, 1, 'b', 'c1', 'building', 'first', {now})",
    "two conversations of one number": GENERATION + "(1, 1, 'b', 'c9', 'building', 'lost', {now})",
    "a conversation of no thread": GENERATION + "(9, 1, 'b', 'c9', 'building', 'lost', {now})",
    "a conversation for no known reason": GENERATION
    + "(2, 1, 'b', 'c9', 'building', 'why', {now})",
    "two turns of one key": TURN + "(2, 1, 't1', 'planned', 0, 9, 'd', '', '', {now})",
    "a turn of no thread": TURN + "(9, 1, 't9', 'planned', 0, 9, 'd', '', '', {now})",
    "two turns of one sequence": TURN + "(1, 1, 't9', 'unknown', 1, 9, 'd', '', '', {now})",
    "two turns of one ticket": TURN + "(1, 1, 't9', 'planned', 0, 2, 'd', '', '', {now})",
    "two open turns": "UPDATE turns SET state = 'unknown', sequence = 2 WHERE id = 2",
    "an open turn without a sequence": "UPDATE turns SET sequence = 0 WHERE id = 1",
    "a settled turn without a time": "UPDATE turns SET state = 'completed' WHERE id = 1",
    "a time without a settlement": "UPDATE turns SET settled_at = {now} WHERE id = 1",
    "a refusal without a reason": "UPDATE turns SET state = 'refused', settled_at = {now}"
    " WHERE id = 1",
    "an abandonment without a reason": "UPDATE turns SET state = 'abandoned', settled_at = {now}"
    " WHERE id = 1",
    "a reason for an open turn": "UPDATE turns SET refusal_code = 'c' WHERE id = 1",
    "a reported turn that is open": "UPDATE turns SET reported = true WHERE id = 1",
    "two attempts of one number": ATTEMPT + "(1, 1, 1, 1, '', '{{}}', {now}, 'p')",
    "an attempt without a turn": ATTEMPT + "(9, 1, 1, 1, '', '{{}}', {now}, 'p')",
    "an attempt on another thread's conversation": ATTEMPT + "(1, 2, 2, 1, '', '{{}}', {now}, 'p')",
    "a second name of a run": "INSERT INTO responses (turn, number, response_id)"
    " VALUES (1, 1, 'other')",
    "a run of no attempt": "INSERT INTO responses (turn, number, response_id) VALUES (1, 2, 'r')",
    "a second answer": "INSERT INTO answers (turn, text) VALUES (1, 'other')",
    "an answer to no turn": "INSERT INTO answers (turn, text) VALUES (9, 'a')",
    "a chain that is no digest": "UPDATE threads SET chain = '' WHERE id = 1",
    "a link that is no digest": "UPDATE answers SET link = '1234' WHERE turn = 1",
    "an audit row of no thread": "INSERT INTO audit_entries (thread, at, action, detail)"
    " VALUES (9, {now}, 'cancelled', '')",
    "an audit row of no known kind": "INSERT INTO audit_entries (thread, at, action, detail)"
    " VALUES (1, {now}, 'why', '')",
    "a second erasure of one thread": "INSERT INTO erasures (thread, begun_at) VALUES (1, {now})",
    "an erasure of no thread": "INSERT INTO erasures (thread, begun_at) VALUES (9, {now})",
    "a second word about an erased conversation": ERASED + "(1, 1, '[]')",
    "a word about no conversation": ERASED + "(1, 9, '[]')",
    "a turn taken from under its answer": "DELETE FROM turns WHERE id = 1",
    "a thread taken from under its turns": "DELETE FROM threads WHERE id = 1",
}
ALLOWED = {
    "a new thread where the old one is erased": (
        "UPDATE threads SET state = 'erased' WHERE id = 1",
        "INSERT INTO threads (scope, assistant, state, created_at) VALUES (1, 'a', 'open', {now})",
    ),
    "one conversation id of two backends": (
        GENERATION + "(2, 1, 'other', 'c1', 'live', 'first', {now})",
    ),
    "a conversation that was retired by an older program": (
        "UPDATE generations SET state = 'retired' WHERE number = 2",
    ),
    "an answer that an older program wrote": (
        "DELETE FROM answers WHERE turn = 1",
        "INSERT INTO answers (turn, text) VALUES (1, 'b')",
    ),
    "one task id in two scopes": (TURN + "(2, 2, 't1', 'planned', 0, 9, 'd', '', '', {now})",),
}


async def fill(execute: Execute, now: str) -> None:
    for statement in GIVEN:
        await execute(statement.format(now=now))


@pytest.mark.parametrize("promise", BROKEN)
async def test_sqlite_refuses(sqlite_path: Path, promise: str) -> None:
    async with open_sqlite(sqlite_path) as database:

        async def execute(statement: str) -> int:
            return await database.execute(statement, ())

        await fill(execute, NOW["sqlite"])
        with pytest.raises(ThreadConflict):
            await execute(BROKEN[promise].format(now=NOW["sqlite"]))


async def fill_postgres(database: PostgresDatabase) -> None:
    await fill(database.execute, NOW["postgres"])
    # The rows above brought their own numbers; what follows must not get one of those.
    for table in ("scopes", "threads", "turns"):
        await database.one(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 100)")


@pytest.mark.postgres
@pytest.mark.parametrize("promise", BROKEN)
async def test_postgres_refuses(postgres_url: str, promise: str) -> None:
    async with open_postgres(postgres_url, connections=1) as database:
        await fill_postgres(database)
        with pytest.raises(ThreadConflict):
            await database.execute(BROKEN[promise].format(now=NOW["postgres"]))


@pytest.mark.parametrize("freedom", ALLOWED)
async def test_sqlite_allows(sqlite_path: Path, freedom: str) -> None:
    async with open_sqlite(sqlite_path) as database:

        async def execute(statement: str) -> int:
            return await database.execute(statement, ())

        await fill(execute, NOW["sqlite"])
        for statement in ALLOWED[freedom]:
            assert await execute(statement.format(now=NOW["sqlite"])) == 1


@pytest.mark.postgres
@pytest.mark.parametrize("freedom", ALLOWED)
async def test_postgres_allows(postgres_url: str, freedom: str) -> None:
    async with open_postgres(postgres_url, connections=1) as database:
        await fill_postgres(database)
        for statement in ALLOWED[freedom]:
            assert await database.execute(statement.format(now=NOW["postgres"])) == 1

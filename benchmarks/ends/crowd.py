"""A database with very many threads, written at once and not by their turns."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from benchmarks.ends.stub_engine import ENGINE_ID

IDENTITY = "openai|https://api.openai.com/v1|org"
LONG_AGO = timedelta(days=30)

# Instances are numbered from 1: those that wait come first, then those that are closed.
NAMED = "{number} || '-0000-4000-8000-000000000000'"
SCOPES = """INSERT INTO scopes (engine, tenant, name)
    SELECT '{engine}', '', {name} FROM {numbers}"""
THREADS = """INSERT INTO threads
        (scope, assistant, state, turn_count, created_at, last_turn_at, closed_at, cleared_at)
    SELECT id, 'analyst', CASE WHEN id <= {waiting} THEN 'open' ELSE 'closed' END, 1,
        {then}, {then}, CASE WHEN id > {waiting} THEN {then} END,
        CASE WHEN id > {waiting} THEN {then} END FROM scopes"""
# Behind the threads: none begins in a scope that ended.
ENDS = "UPDATE scopes SET ended_at = {then} WHERE id > {waiting}"
GENERATIONS = """INSERT INTO generations
        (thread, number, identity, conversation_id, state, reason, created_at)
    SELECT id, 1, '{identity}', 'conv_' || id,
        CASE WHEN state = 'open' THEN 'live' ELSE 'erased' END, 'first', {then} FROM threads"""


def statements(*, waiting: int, closed: int, number: str, numbers: str, then: str) -> list[str]:
    """Spell what fills the tables, in order."""
    given = {
        "engine": ENGINE_ID,
        "identity": IDENTITY,
        "name": NAMED.format(number=number),
        "waiting": waiting,
        "numbers": numbers.format(count=waiting + closed),
        "then": then,
    }
    return [each.format(**given) for each in (SCOPES, THREADS, ENDS, GENERATIONS)]


def fill_sqlite(path: str, *, waiting: int, closed: int, now: datetime) -> None:
    """Write threads of instances that wait, and of some that ended and were cleared."""
    then = now - LONG_AGO
    numbers = (
        "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        " SELECT i FROM n)"
    )
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements(
            waiting=waiting,
            closed=closed,
            number="printf('%08d', i)",
            numbers=numbers,
            then=str(int(then.timestamp() * 1_000_000)),
        ):
            connection.execute(statement)
        connection.commit()
        connection.execute("ANALYZE")


async def fill_postgres(address: str, *, waiting: int, closed: int) -> None:
    """Write the same there."""
    connection: Any = await asyncpg.connect(address)
    try:
        for statement in statements(
            waiting=waiting,
            closed=closed,
            number="lpad(i::text, 8, '0')",
            numbers="generate_series(1, {count}) AS i",
            then="now() - interval '30 days'",
        ):
            await connection.execute(statement)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()

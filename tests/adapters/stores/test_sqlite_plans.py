"""What SQLite is asked about single scopes it finds by an index, however many threads there are."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dadm.adapters.stores.sqlite import ended_threads


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (ended_threads.CLOSE, (0, 1)),
        (ended_threads.OPEN_SCOPES, ("camunda7", "", "element:p1:", "element:p1;")),
        (ended_threads.IDLE_SCOPES, ("camunda7", 0, 0, 500)),
        (ended_threads.TO_CLEAR, (0, "[]", 50)),
    ],
    ids=["close", "open scopes", "idle scopes", "to clear"],
)
def test_no_table_of_threads_is_read_from_end_to_end(
    sqlite_path: Path, query: str, values: tuple[object, ...]
) -> None:
    with closing(sqlite3.connect(sqlite_path)) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall()

    plan = [row[-1] for row in rows]
    assert plan
    assert not [step for step in plan if step.startswith(("SCAN threads", "SCAN t", "SCAN g"))], (
        plan
    )

"""How jobs are written together, durably, and by several programs on one file."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from dadm.adapters.stores.sqlite import SqliteDatabase, SqliteStore, open_sqlite
from dadm.adapters.stores.sqlite.opening import connect
from dadm.domain.errors import StoreMisconfigured, StoreUnavailable, ThreadConflict
from dadm.ports.store_values import Submitted, ThreadHeld
from tests.contracts.stores import LONG, StoreUnderTest, answer, request, thread_key

ADD_SCOPE = "INSERT INTO scopes (engine, tenant, name) VALUES ('e', '', ?)"
SCOPES = "SELECT name FROM scopes ORDER BY id"
SECRET = b"SECRET"


def scopes_in(path: Path) -> list[str]:
    """Read the file as another program does."""
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute(SCOPES)]


async def test_commits_are_durable_and_foreign_keys_enforced(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as database:
        settings = await database.write(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in (
                    "journal_mode",
                    "synchronous",
                    "foreign_keys",
                    "busy_timeout",
                    "secure_delete",
                )
            ]
        )

    full = 2
    assert settings == ["wal", full, 1, 30_000, 1]


async def test_a_job_that_fails_harms_no_other(sqlite_path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute(ADD_SCOPE, ("half",))
        raise LookupError

    async with open_sqlite(sqlite_path) as database:
        results = await asyncio.gather(
            database.execute(ADD_SCOPE, ("one",)),
            database.write(half),
            database.execute(ADD_SCOPE, ("two",)),
            database.execute(ADD_SCOPE, ("one",)),
            database.execute(ADD_SCOPE, ("three",)),
            return_exceptions=True,
        )

        assert [type(result) for result in results] == [int, LookupError, int, ThreadConflict, int]
        assert scopes_in(sqlite_path) == ["one", "two", "three"]


async def test_jobs_that_wait_are_committed_together(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as database:

        def commits(connection: sqlite3.Connection) -> bool:
            return connection.in_transaction

        seen: list[list[str]] = []

        def look(connection: sqlite3.Connection) -> None:
            assert commits(connection)
            seen.append(scopes_in(sqlite_path))

        await asyncio.gather(
            database.execute(ADD_SCOPE, ("one",)),
            database.write(look),
            database.execute(ADD_SCOPE, ("two",)),
        )

        assert seen == [[]]
        assert scopes_in(sqlite_path) == ["one", "two"]


async def test_a_commit_that_fails_fails_everything_in_it(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as database:

        def break_at_commit(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA defer_foreign_keys = ON")
            connection.execute(
                "INSERT INTO threads (scope, assistant, state, created_at)"
                " VALUES (99, 'a', 'open', 0)"
            )

        results = await asyncio.gather(
            database.execute(ADD_SCOPE, ("one",)),
            database.write(break_at_commit),
            return_exceptions=True,
        )

        assert all(isinstance(result, ThreadConflict) for result in results)
        assert scopes_in(sqlite_path) == []
        assert await database.execute(ADD_SCOPE, ("next",)) == 1


async def test_a_transaction_that_sqlite_gives_up_fails_everything_in_it(
    sqlite_path: Path,
) -> None:
    async with open_sqlite(sqlite_path) as database:
        results = await asyncio.gather(
            database.execute(ADD_SCOPE, ("one",)),
            database.write(lambda connection: connection.execute("ROLLBACK").rowcount),
            database.execute(ADD_SCOPE, ("two",)),
            return_exceptions=True,
        )

        assert [type(result) for result in results] == [StoreUnavailable] * 3
        assert scopes_in(sqlite_path) == []
        assert await database.execute(ADD_SCOPE, ("next",)) == 1


async def test_a_job_nobody_waits_for_any_more_is_not_begun(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as database:
        async with asyncio.TaskGroup() as tasks:
            given_up = tasks.create_task(database.execute(ADD_SCOPE, ("given up",)))
            await asyncio.sleep(0)
            given_up.cancel()
            await database.execute(ADD_SCOPE, ("wanted",))

        assert scopes_in(sqlite_path) == ["wanted"]


async def test_what_was_asked_for_is_finished_before_closing(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as database, asyncio.TaskGroup() as tasks:
        for number in range(50):
            tasks.create_task(database.execute(ADD_SCOPE, (str(number),)))
        await asyncio.sleep(0)
        await database.close()

    assert len(scopes_in(sqlite_path)) == 50
    with pytest.raises(StoreUnavailable, match="closed"):
        await database.execute(ADD_SCOPE, ("late",))


async def test_readers_write_nothing(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as database:
        with pytest.raises(StoreMisconfigured, match="readonly"):
            await database.read(lambda connection: connection.execute(ADD_SCOPE, ("x",)).rowcount)
        assert await database.read(lambda connection: connection.execute(SCOPES).fetchall()) == []


async def test_reading_sees_what_was_written_before(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as database:
        for number in range(20):
            await database.execute(ADD_SCOPE, (str(number),))
            found = await database.read(lambda connection: connection.execute(SCOPES).fetchall())
            assert len(found) == number + 1


async def test_leases_hold_between_programs_on_one_file(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as one, open_sqlite(sqlite_path) as other:
        here, there = SqliteStore(one), SqliteStore(other)
        held = await here.lease_thread(thread_key(), owner="here", lease_seconds=LONG)

        refused = await there.lease_thread(thread_key(), owner="there", lease_seconds=LONG)

        assert not isinstance(held, ThreadHeld)
        assert isinstance(refused, ThreadHeld)
        await here.release(held.lease)
        assert not isinstance(
            await there.lease_thread(thread_key(), owner="there", lease_seconds=LONG), ThreadHeld
        )


async def test_two_programs_take_one_task_once(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as one, open_sqlite(sqlite_path) as other:
        stores = [SqliteStore(one), SqliteStore(other)]

        async def put(*_: object) -> None:
            raise NotImplementedError

        given = StoreUnderTest(stores[0], put)
        await given.ready()
        taken = await given.submit("t1")
        claims = await asyncio.gather(
            *(
                store.claim(request("t1", owner=f"{name} {number}"))
                for number in range(20)
                for name, store in enumerate(stores)
            )
        )

        assert isinstance(taken, Submitted)
        assert len({type(claim) for claim in claims}) == 1
        assert len(await stores[1].attempts(taken.turn.ref)) == 1


async def test_a_lock_that_others_hold_too_long_is_told(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dadm.adapters.stores.sqlite.opening.BUSY_SECONDS", 0.05)
    async with open_sqlite(sqlite_path) as database:
        with closing(connect(sqlite_path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await database.execute(ADD_SCOPE, ("x",))
            other.execute("ROLLBACK")
        assert await database.execute(ADD_SCOPE, ("x",)) == 1


DIES = """
import asyncio, os, sys
from dadm.adapters.stores.sqlite import SqliteStore, open_sqlite
from tests.contracts.stores import thread_key

async def main():
    async with open_sqlite(sys.argv[1]) as database:
        taken = await SqliteStore(database).lease_thread(
            thread_key(), owner="dead", lease_seconds=3600
        )
        print(taken.lease.fence, flush=True)
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""


async def test_what_was_confirmed_is_there_after_a_kill(sqlite_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        DIES,
        str(sqlite_path),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    said, _ = await process.communicate()

    assert (process.returncode, said) == (-9, b"1\n")
    async with open_sqlite(sqlite_path) as database:
        found = await SqliteStore(database).lease_thread(
            thread_key(), owner="next", lease_seconds=LONG
        )
        assert isinstance(found, ThreadHeld)
        assert found.lease_remaining_seconds > 3000


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, " * 1000)

    with pytest.raises(StoreMisconfigured, match=r"letter\.txt cannot be used: file is not a"):
        async with open_sqlite(path):
            pass


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreMisconfigured, match=r"file/dadm\.db"):
        async with open_sqlite(tmp_path / "file" / "dadm.db"):
            pass


async def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreMisconfigured, match="unable to open"):
        async with open_sqlite(tmp_path):
            pass


async def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dadm.db"
    only_reading = partial(connect, is_reader=True)
    monkeypatch.setattr("dadm.adapters.stores.sqlite.opening.connect", only_reading)

    with pytest.raises(StoreMisconfigured, match=r"dadm\.db cannot be used: attempt to write"):
        async with open_sqlite(path):
            pass


async def test_a_start_waits_for_a_program_that_holds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dadm.adapters.stores.sqlite.opening.BUSY_SECONDS", 0.05)
    path = tmp_path / "dadm.db"
    with closing(connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match=r"dadm\.db is locked"):
            async with open_sqlite(path):
                pass
        other.execute("ROLLBACK")

    async with open_sqlite(path) as database:
        assert isinstance(database, SqliteDatabase)


async def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "dadm.db"
    async with open_sqlite(path) as database:
        assert isinstance(database, SqliteDatabase)
    assert path.exists()


async def test_no_byte_of_an_erased_text_is_left_in_the_file_or_beside_it(
    sqlite_path: Path,
) -> None:
    async def put(*_: object) -> None:
        raise NotImplementedError

    async with open_sqlite(sqlite_path) as database:
        given = StoreUnderTest(SqliteStore(database), put)
        await given.ready()
        for number in range(30):
            taken = await given.submit(f"t{number}", prompt="SECRET " * (number * 20 + 1))
            await given.store.set_aside(
                taken.lease, taken.turn.ref, error_code="x", error_message="SECRET" * number
            )
            holder = await given.lease(owner="next")
            end = answer("SECRET" * (number * 100 + 1))
            await given.store.settle(holder.lease, taken.turn.ref, end)
        assert any(SECRET in content for content in beside(sqlite_path))

        receipt = await given.erase((await given.lease()).lease)

        assert receipt.turns == 30
        assert not any(SECRET in content for content in beside(sqlite_path))


def beside(path: Path) -> list[bytes]:
    """Read a database file, and what SQLite has put beside it."""
    return [file.read_bytes() for file in path.parent.iterdir() if file.is_file()]

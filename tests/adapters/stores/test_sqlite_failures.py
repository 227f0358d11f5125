"""What becomes of a call when SQLite cannot do it, or somebody takes its file away."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from dadm.adapters.stores.sqlite import SqliteDatabase, SqliteStore, open_sqlite
from dadm.adapters.stores.sqlite.opening import connect
from dadm.domain.errors import StoreMisconfigured, StoreUnavailable
from dadm.domain.turn import TurnRef, TurnState
from dadm.ports.store_values import Recorded
from tests.contracts.stores import StoreUnderTest, answer, request

ADD_SCOPE = "INSERT INTO scopes (engine, tenant, name) VALUES ('e', '', ?)"
SCOPES = "SELECT name FROM scopes ORDER BY id"
LARGE = "x" * 200_000


@pytest.fixture
async def database(sqlite_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_sqlite(sqlite_path) as opened:
        yield opened


@pytest.fixture
def given(database: SqliteDatabase) -> StoreUnderTest:
    async def put(*_: object) -> None:
        raise NotImplementedError

    return StoreUnderTest(SqliteStore(database), put)


async def pragma(database: SqliteDatabase, setting: str) -> int:
    """Set something on the connection that writes, and give what was there before."""
    name = setting.partition(" ")[0]

    def work(connection: sqlite3.Connection) -> int:
        (before,) = connection.execute(f"PRAGMA {name}").fetchone()
        connection.execute(f"PRAGMA {setting}")
        return int(before)

    return await database.write(work)


async def fill_up(database: SqliteDatabase) -> None:
    """Let the file not grow any more."""
    pages = await pragma(database, "page_count")
    await pragma(database, f"max_page_count = {pages}")


async def make_room(database: SqliteDatabase) -> None:
    await pragma(database, "max_page_count = 1000000")


# --- no room


async def test_a_full_disk_is_told_and_costs_nothing_that_was_recorded(
    database: SqliteDatabase, given: StoreUnderTest
) -> None:
    await given.ready()
    recorded = await given.complete("t0")
    taken = await given.submit()
    await fill_up(database)
    with pytest.raises(StoreUnavailable, match=r"disk is full\. Make room"):
        await given.store.settle(taken.lease, taken.turn.ref, answer(LARGE))

    assert (await given.turn(taken.turn.ref)).state is TurnState.SUBMITTED
    assert await given.turn(recorded.ref) == recorded
    await make_room(database)
    settled = await given.store.settle(taken.lease, taken.turn.ref, answer(LARGE))

    assert isinstance(await given.store.claim(request()), Recorded)
    assert (settled.answer, (await given.thread()).chain) == (LARGE, settled.link)


async def test_all_that_is_committed_together_is_told_why_it_failed(
    database: SqliteDatabase,
) -> None:
    await fill_up(database)
    names = ["one", LARGE, "two"]

    results = await asyncio.gather(
        *(database.execute(ADD_SCOPE, (name,)) for name in names), return_exceptions=True
    )

    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert all("Make room" in str(result) for result in results)
    assert await database.read(lambda connection: connection.execute(SCOPES).fetchall()) == []
    await make_room(database)
    assert await database.execute(ADD_SCOPE, (LARGE,)) == 1


# --- no right, damage, values


async def test_a_file_that_may_not_be_written_is_told_with_what_to_do(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_reading = partial(connect, is_reader=True)
    monkeypatch.setattr("dadm.adapters.stores.sqlite.database.connect", only_reading)
    async with open_sqlite(sqlite_path) as database:
        with pytest.raises(StoreMisconfigured, match=r"readonly database\. Let this program"):
            await database.execute(ADD_SCOPE, ("x",))
        assert await database.read(lambda connection: connection.execute(SCOPES).fetchall()) == []


async def test_a_lock_that_others_hold_is_told_with_what_to_do(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dadm.adapters.stores.sqlite.opening.BUSY_SECONDS", 0.05)
    async with open_sqlite(sqlite_path) as database:
        with closing(connect(sqlite_path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match=r"locked\. Another program holds it"):
                await database.execute(ADD_SCOPE, ("x",))


async def test_a_damaged_file_is_told_with_what_to_do(sqlite_path: Path) -> None:
    with sqlite_path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 400_000)

    with pytest.raises(StoreMisconfigured, match=r"malformed\. It is damaged"):
        async with open_sqlite(sqlite_path) as database:
            await database.execute(ADD_SCOPE, ("x",))


async def test_tables_that_somebody_took_away_are_told(
    database: SqliteDatabase, sqlite_path: Path, given: StoreUnderTest
) -> None:
    with closing(sqlite3.connect(sqlite_path)) as other:
        other.execute("ALTER TABLE scopes RENAME TO hidden")
        with pytest.raises(StoreMisconfigured, match="not as dadm has made them"):
            await given.store.claim(request())
        other.execute("ALTER TABLE hidden RENAME TO scopes")

    assert await database.execute(ADD_SCOPE, ("x",)) == 1


async def test_a_number_that_no_column_takes_is_not_tried_for_ever(given: StoreUnderTest) -> None:
    with pytest.raises(StoreMisconfigured, match="one of the values"):
        await given.store.find_turn(TurnRef(2**70))


# --- the file itself


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    shutil.copyfile(path, path.with_name("copy.db"))
    path.with_name("copy.db").replace(path)


def delete_its_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def move_its_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


@pytest.mark.parametrize("take_away", [delete, replace, delete_its_log, move_its_folder])
async def test_a_file_that_is_taken_away_under_a_running_program_is_noticed(
    sqlite_template: Path, tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "dadm.db"
    shutil.copyfile(sqlite_template, path)
    async with open_sqlite(path) as database:
        store = SqliteStore(database)
        await database.execute(ADD_SCOPE, ("before",))

        take_away(path)

        for _ in range(2):
            with pytest.raises(StoreMisconfigured, match="deleted, moved or replaced"):
                await database.execute(ADD_SCOPE, ("lost",))
            with pytest.raises(StoreMisconfigured, match="put the file back"):
                await store.now()


def move(path: Path, to: Path) -> None:
    path.rename(to)


async def test_a_file_that_is_put_back_goes_on(sqlite_path: Path) -> None:
    aside = sqlite_path.with_name("aside.db")
    async with open_sqlite(sqlite_path) as database:
        move(sqlite_path, aside)
        with pytest.raises(StoreMisconfigured):
            await database.execute(ADD_SCOPE, ("aside",))
        move(aside, sqlite_path)

        assert await database.execute(ADD_SCOPE, ("back",)) == 1
        rows = await database.read(lambda connection: connection.execute(SCOPES).fetchall())

    assert rows == [("back",)]


async def test_other_programs_come_and_go_without_the_file_being_missed(sqlite_path: Path) -> None:
    async with open_sqlite(sqlite_path) as database:
        for number in range(3):
            assert await database.execute(ADD_SCOPE, (f"{number}",)) == 1
            async with open_sqlite(sqlite_path) as other:
                await other.execute(ADD_SCOPE, (f"other {number}",))
            with closing(sqlite3.connect(sqlite_path)) as backup:
                backup.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                backup.execute("VACUUM")
        rows = await database.read(lambda connection: connection.execute(SCOPES).fetchall())

    assert len(rows) == 6

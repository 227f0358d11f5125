"""One SQLite file, written by one thread that commits together whatever waits."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dadm.adapters.stores.sqlite.failures import translated
from dadm.adapters.stores.sqlite.file_in_place import FileInPlace
from dadm.adapters.stores.sqlite.job_thread import Batch, Job, JobThread
from dadm.adapters.stores.sqlite.opening import connect, empty_log, prepare
from dadm.domain.errors import StoreMisconfigured

T = TypeVar("T")


class SqliteDatabase:
    """Gives jobs to the thread that writes and to the one that reads.

    A job is a function of the connection. One that writes runs in a transaction with whatever
    else waits, but apart from it: if it raises, what it changed is undone and the others are
    not touched. Its result is given when the commit is on disk. It may be done anew, so it
    changes nothing but the database.
    """

    def __init__(self, path: Path) -> None:
        """Connect to `path`, whose schema is up to date, within the running loop."""
        self._path = path
        file = FileInPlace(path)
        writes, reads = partial(commit_together, file), partial(read_together, file)
        self._writer = JobThread(f"{path.name} writer", connect(path), writes)
        self._reader = JobThread(f"{path.name} reader", connect(path, is_reader=True), reads)

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do `job` and commit it.

        Raises:
            ThreadConflict: A constraint of the database refused the change.
            StoreUnavailable: The database did not confirm the change.
            StoreMisconfigured: The file cannot be written to, or was taken away.
        """
        return await self._do(self._writer, job)

    async def execute(self, statement: str, values: Sequence[Any]) -> int:
        """Execute one statement that writes, and commit it; give how many rows it changed."""
        return await self.write(lambda connection: connection.execute(statement, values).rowcount)

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do `job`, which only reads, on what is committed.

        Raises:
            StoreUnavailable: The database did not answer.
            StoreMisconfigured: The file cannot be read, or was taken away.
        """
        return await self._do(self._reader, job)

    async def _do(self, thread: JobThread, job: Callable[[sqlite3.Connection], T]) -> T:
        with translated(self._path):
            result: T = await thread.do(job)
        return result

    async def empty_log(self) -> None:
        """Let nothing be read any more in the log of what was deleted, as far as that can be done.

        Raises:
            StoreUnavailable: The database did not confirm.
        """
        with translated(self._path):
            await asyncio.to_thread(empty_log, self._path)

    async def close(self) -> None:
        """Finish what waits, then close the file."""
        await self._reader.stop()
        await self._writer.stop()


@asynccontextmanager
async def open_sqlite(path: Path | str) -> AsyncIterator[SqliteDatabase]:
    """Open the file, creating it and bringing its schema up to date where need be.

    Raises:
        StoreMisconfigured: The file cannot be used: no right to it, no database, a newer schema.
        StoreUnavailable: Others kept it locked all the time.
    """
    await asyncio.to_thread(prepare, Path(path))
    database = SqliteDatabase(Path(path))
    try:
        yield database
    finally:
        await database.close()


def commit_together(file: FileInPlace, connection: sqlite3.Connection, batch: Batch) -> None:
    """Do jobs in one transaction, each undone by itself if it fails; results count once durable."""
    wanted = [job for job in batch if not job.done.cancelled()]
    try:
        file.check()
        connection.execute("BEGIN IMMEDIATE")
        if not all(do_or_change_nothing(connection, job) for job in wanted):
            # Rare enough that savepoints, which cost as much as a step itself, are not set before.
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            for job in wanted:
                do_apart(connection, job)
        connection.execute("COMMIT")
        file.check()
    except sqlite3.Error as error:
        fail(connection, wanted, error)
    except StoreMisconfigured as error:
        disown(wanted, error)


def do_or_change_nothing(connection: sqlite3.Connection, job: Job) -> bool:
    """Do one job; False if it failed after it had changed something.

    Raises:
        sqlite3.Error: The whole transaction is lost.
    """
    changes_before = connection.total_changes
    job.do(connection)
    refuse_given_up(connection, job)
    return job.error is None or connection.total_changes == changes_before


def do_apart(connection: sqlite3.Connection, job: Job) -> None:
    """Do one job within a transaction, so that its failure undoes it alone.

    Raises:
        sqlite3.Error: The whole transaction is lost.
    """
    connection.execute("SAVEPOINT job")
    job.do(connection)
    refuse_given_up(connection, job)
    if job.error is not None:
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def refuse_given_up(connection: sqlite3.Connection, job: Job) -> None:
    """Let no job follow where SQLite itself gave up the transaction (disk full, say).

    It would be committed alone.
    """
    if not connection.in_transaction:
        if isinstance(job.error, sqlite3.Error):
            raise job.error
        message = f"the transaction was given up: {job.error}"
        raise sqlite3.OperationalError(message)


def read_together(file: FileInPlace, connection: sqlite3.Connection, batch: Batch) -> None:
    """Do jobs that read, all on one state of the database."""
    try:
        connection.execute("BEGIN")
        for job in batch:
            job.do(connection)
        connection.execute("COMMIT")
        file.check()
    except sqlite3.Error as error:
        fail(connection, batch, error)
    except StoreMisconfigured as error:
        disown(batch, error)


def fail(connection: sqlite3.Connection, batch: Batch, error: Exception) -> None:
    """Let every job of a transaction fail that came to nothing."""
    if connection.in_transaction:
        # Where even this fails, the next transaction cannot begin, and comes here again.
        with suppress(sqlite3.Error):
            connection.rollback()
    for job in batch:
        job.error = job.error or error


def disown(batch: Batch, error: StoreMisconfigured) -> None:
    """Let nothing count, nor any refusal, that came of a file which is no longer ours."""
    for job in batch:
        job.error = error

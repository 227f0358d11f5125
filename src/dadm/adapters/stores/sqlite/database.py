"""One SQLite file, written by one thread that commits together whatever waits."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from dadm.adapters.stores.sqlite.job_thread import Batch, Job, JobThread
from dadm.adapters.stores.sqlite.opening import connect, prepare
from dadm.domain.errors import StoreUnavailable, ThreadConflict

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
        self._writer = JobThread(f"{path.name} writer", connect(path), commit_together)
        self._reader = JobThread(
            f"{path.name} reader", connect(path, is_reader=True), read_together
        )

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do `job` and commit it.

        Raises:
            ThreadConflict: A constraint of the database refused the change.
            StoreUnavailable: The database did not confirm the change.
        """
        return await self._do(self._writer, job)

    async def execute(self, statement: str, values: Sequence[Any]) -> int:
        """Execute one statement that writes, and commit it; give how many rows it changed."""
        return await self.write(lambda connection: connection.execute(statement, values).rowcount)

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do `job`, which only reads, on what is committed.

        Raises:
            StoreUnavailable: The database did not answer.
        """
        return await self._do(self._reader, job)

    async def _do(self, thread: JobThread, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            result: T = await thread.do(job)
        except sqlite3.IntegrityError as error:
            message = f"The database refused the change: {error}."
            raise ThreadConflict(message) from error
        except sqlite3.DatabaseError as error:
            message = f"The database {self._path} did not confirm: {error}."
            raise StoreUnavailable(message) from error
        return result

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


def commit_together(connection: sqlite3.Connection, batch: Batch) -> None:
    """Do jobs in one transaction, each undone by itself if it fails; results count once durable."""
    wanted = [job for job in batch if not job.done.cancelled()]
    try:
        connection.execute("BEGIN IMMEDIATE")
        if not all(do_or_change_nothing(connection, job) for job in wanted):
            # Rare enough that savepoints, which cost as much as a step itself, are not set before.
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            for job in wanted:
                do_apart(connection, job)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.rollback()
        for job in wanted:
            job.error = job.error or error


def do_or_change_nothing(connection: sqlite3.Connection, job: Job) -> bool:
    """Do one job; False if it failed after it had changed something.

    Raises:
        sqlite3.Error: The whole transaction is lost.
    """
    changes_before = connection.total_changes
    job.do(connection)
    if not connection.in_transaction:
        # SQLite itself gave it up (disk full, say); the next job would be committed alone.
        message = f"the transaction was given up: {job.error}"
        raise sqlite3.OperationalError(message)
    return job.error is None or connection.total_changes == changes_before


def do_apart(connection: sqlite3.Connection, job: Job) -> None:
    """Do one job within a transaction, so that its failure undoes it alone.

    Raises:
        sqlite3.Error: The whole transaction is lost.
    """
    connection.execute("SAVEPOINT job")
    job.do(connection)
    if job.error is not None:
        # Where SQLite itself gave up the transaction, this raises.
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def read_together(connection: sqlite3.Connection, batch: Batch) -> None:
    """Do jobs that read, all on one state of the database."""
    try:
        connection.execute("BEGIN")
        for job in batch:
            job.do(connection)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.rollback()
        for job in batch:
            job.error = job.error or error

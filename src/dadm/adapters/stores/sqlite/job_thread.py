"""A thread that owns one SQLite connection and does the jobs that wait, many at a time."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

from dadm.domain.errors import StoreUnavailable

Work: TypeAlias = Callable[[sqlite3.Connection], Any]


@dataclass(slots=True)
class Job:
    """Something to do with the connection, and how it went."""

    work: Work
    done: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None

    def do(self, connection: sqlite3.Connection) -> None:
        """Do the work, and note its result or its error in the place of an earlier one."""
        self.error = None
        try:
            self.result = self.work(connection)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for this job
            self.error = error

    def tell(self) -> None:
        """Let whoever waits know; only in the event loop's own thread."""
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


Batch: TypeAlias = Sequence[Job]
DoBatch: TypeAlias = Callable[[sqlite3.Connection, Batch], None]


class JobThread:
    """Hands jobs of one event loop to a thread and their results back, batch by batch.

    Jobs that are asked for in one turn of the loop travel together, and so do those that came
    while the thread was busy: crossing between threads is what costs, not the jobs.
    """

    def __init__(self, name: str, connection: sqlite3.Connection, do_batch: DoBatch) -> None:
        """Take jobs from the running loop; `do_batch` does them all, and says how each went."""
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._do_batch = do_batch
        self._gathered: list[Job] = []
        self._handed_over: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._is_stopped = False
        self._thread.start()

    async def do(self, work: Work) -> Any:
        """Do `work` in the thread, after what was asked for before it.

        Raises:
            StoreUnavailable: The thread was stopped.
        """
        if self._is_stopped:
            message = "The database was closed by this program."
            raise StoreUnavailable(message)
        job = Job(work, self._loop.create_future())
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(job)
        return await job.done

    async def stop(self) -> None:
        """Finish what was asked for, then close the connection."""
        self._is_stopped = True
        self._hand_over()
        self._handed_over.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._handed_over.put(gathered)

    def _run(self) -> None:
        with closing(self._connection) as connection:
            while (batch := self._next_batch()) is not None:
                self._do_or_fail(connection, batch)
                self._loop.call_soon_threadsafe(tell_all, batch)

    def _do_or_fail(self, connection: sqlite3.Connection, batch: Batch) -> None:
        try:
            self._do_batch(connection, batch)
        except Exception as error:  # noqa: BLE001 - a thread that ended would tell nobody anything
            for job in batch:
                job.error = job.error or error

    def _next_batch(self) -> list[Job] | None:
        batch = self._handed_over.get()
        while batch is not None and not self._handed_over.empty():
            more = self._handed_over.get()
            if more is None:
                # Seen again once this batch is done.
                self._handed_over.put(None)
                break
            batch += more
        return batch


def tell_all(batch: Batch) -> None:
    """Tell everyone who waits for a job of `batch`."""
    for job in batch:
        job.tell()

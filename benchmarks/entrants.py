"""Who takes part: stores of conversations, each behind the same two calls."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import Protocol, TypeAlias

from benchmarks.dadm_threads import open_postgres_threads, open_sqlite_threads
from benchmarks.plain_postgres import open_plain_postgres
from benchmarks.plain_sqlite import open_plain_sqlite
from benchmarks.readings import Reading

DADM = "dadm"
SQLITE_SESSION = "SQLiteSession"
SQLALCHEMY_SESSION = "SQLAlchemySession"
AIOSQLITE_SESSION = "SQLAlchemySession, aiosqlite"
PLAIN = "hand-written minimum"


class Conversations(Protocol):
    """An open store of conversations, which begin with their first turn."""

    async def turn(self, conversation: str, reading: Reading) -> None:
        """Write down one question and its answer, and read history as `reading` says."""
        ...

    async def fill(self, conversation: str, turns: int) -> None:
        """Make an untouched conversation that many turns long."""
        ...


Opening: TypeAlias = Callable[[str], AbstractAsyncContextManager[Conversations]]


class Database(StrEnum):
    """What the conversations are kept in."""

    SQLITE = "SQLite"
    POSTGRES = "PostgreSQL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """One who takes part; `opens` takes a file's path or a database's address.

    The first of `readings` is how it is meant to be used: what targets compare.
    """

    name: str
    database: Database
    opens: Opening
    readings: Sequence[Reading]
    rounds_at_most: int | None = None
    """For one so slow that the others would wait for it; not where a ratio is judged."""


DADM_READINGS = (Reading.NOTHING, Reading.LATEST)
SESSION_READINGS = (Reading.WHOLE, Reading.LATEST)

OURS = (
    Entrant(name=DADM, database=Database.SQLITE, opens=open_sqlite_threads, readings=DADM_READINGS),
    Entrant(
        name=DADM, database=Database.POSTGRES, opens=open_postgres_threads, readings=DADM_READINGS
    ),
)
MINIMUM = (
    Entrant(
        name=PLAIN, database=Database.SQLITE, opens=open_plain_sqlite, readings=SESSION_READINGS
    ),
    Entrant(
        name=PLAIN, database=Database.POSTGRES, opens=open_plain_postgres, readings=SESSION_READINGS
    ),
)


def are_peers_installed() -> bool:
    """Whether the libraries we compare ourselves with are here; `make bench` installs them."""
    return all(find_spec(name) for name in ("agents", "aiosqlite"))


def peers() -> tuple[Entrant, ...]:
    """Give OpenAI Agents' sessions; only to be called where they are installed."""
    # Installed for `make bench` alone, and slow to import.
    from benchmarks import agents_sessions  # noqa: PLC0415

    return (
        Entrant(
            name=SQLITE_SESSION,
            database=Database.SQLITE,
            opens=agents_sessions.open_sqlite_sessions,
            readings=SESSION_READINGS,
        ),
        Entrant(
            name=AIOSQLITE_SESSION,
            database=Database.SQLITE,
            opens=agents_sessions.open_aiosqlite_sessions,
            readings=(Reading.WHOLE,),
            rounds_at_most=2,
        ),
        Entrant(
            name=SQLALCHEMY_SESSION,
            database=Database.POSTGRES,
            opens=agents_sessions.open_postgres_sessions,
            readings=SESSION_READINGS,
        ),
    )


def entrants_on(database: Database) -> tuple[Entrant, ...]:
    """Give everyone who can take part on `database`."""
    everyone = (*OURS, *(peers() if are_peers_installed() else ()), *MINIMUM)
    return tuple(entrant for entrant in everyone if entrant.database is database)

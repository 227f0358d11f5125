"""The whole run: what is measured where, in which order, and how much of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.delaying_proxy import delayed
from benchmarks.entrants import Database, entrants_on
from benchmarks.latency import Latency, Stored, measure_latency
from benchmarks.places import NewPlace, new_postgres_database, new_sqlite_file
from benchmarks.postgres_server import how_it_is_set
from benchmarks.round_trips import round_trip_milliseconds
from benchmarks.throughput import Throughput, measure_throughput

SQLITE = "SQLite"
POSTGRES = "PostgreSQL"
FAR = "PostgreSQL, 1 ms further each way"
DELAY_SECONDS = 0.001
"""Added by the proxy each way."""
LENGTH_THROUGH_PROXY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    conversations: int = 64
    turns: int = 20
    turns_through_proxy: int = 10
    rounds: int = 7
    lengths: Sequence[int] = (1, 10, 50, 100, 1000)
    samples: int = 60


QUICK = Extent(
    conversations=4, turns=3, turns_through_proxy=2, rounds=1, lengths=(1, 5, 10), samples=3
)


@dataclass(slots=True, kw_only=True)
class Section:
    """What was measured in one setting."""

    name: str
    database: Database
    throughput: list[Throughput]
    latency: list[Latency]
    stored: list[Stored] = field(default_factory=list)
    round_trip_milliseconds: float | None = None
    settings: dict[str, str] = field(default_factory=dict)


async def measure_sqlite(extent: Extent) -> Section:
    """Measure on files."""
    return await measure(SQLITE, Database.SQLITE, new_sqlite_file, extent)


async def measure_postgres(server: str, extent: Extent) -> Section:
    """Measure on databases of `server`."""
    section = await measure(
        POSTGRES, Database.POSTGRES, new_postgres_database(server, server), extent
    )
    section.settings = await how_it_is_set(server)
    section.round_trip_milliseconds = await round_trip_milliseconds(server)
    return section


async def measure_far_postgres(server: str, extent: Extent) -> Section:
    """Measure on databases of `server` through the proxy."""
    async with delayed(server, DELAY_SECONDS) as far:
        section = await measure_far(new_postgres_database(server, far), extent)
        section.round_trip_milliseconds = await round_trip_milliseconds(far)
    return section


async def measure(name: str, database: Database, new_place: NewPlace, extent: Extent) -> Section:
    """Measure everything there is to measure."""
    entrants = entrants_on(database)
    throughput = await measure_throughput(
        entrants,
        new_place,
        conversations=extent.conversations,
        turns=extent.turns,
        rounds=extent.rounds,
    )
    latency, stored = await measure_latency(
        entrants, new_place, lengths=extent.lengths, samples=extent.samples
    )
    return Section(
        name=name, database=database, throughput=throughput, latency=latency, stored=stored
    )


async def measure_far(new_place: NewPlace, extent: Extent) -> Section:
    """Measure what a delay changes: how many turns at once, and how long one takes."""
    entrants = entrants_on(Database.POSTGRES)
    throughput = await measure_throughput(
        entrants,
        new_place,
        conversations=extent.conversations,
        turns=extent.turns_through_proxy,
        rounds=extent.rounds,
    )
    latency, _ = await measure_latency(
        entrants, new_place, lengths=(LENGTH_THROUGH_PROXY,), samples=extent.samples
    )
    return Section(name=FAR, database=Database.POSTGRES, throughput=throughput, latency=latency)

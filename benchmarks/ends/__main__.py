"""`python -m benchmarks.ends`: follow a stub engine while very many instances wait, print the tables."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from benchmarks.__main__ import RESULTS, machine_here, tell
from benchmarks.ends.course import QUICK, Course, Extent, Section
from benchmarks.ends.crowd import fill_postgres, fill_sqlite
from benchmarks.places import new_postgres_database, new_sqlite_file
from benchmarks.postgres_server import NoPostgres, postgres_server
from benchmarks.report import columns
from dadm import bootstrap
from dadm.settings import Settings

ENDS_RESULTS = RESULTS.with_name("ends.json")
MOST_REQUESTS = 1.05
"""What is wanted: not more than about one request per interval, however many instances wait."""


def main(
    *,
    quick: Annotated[bool, typer.Option(help="Only see that everything runs.")] = False,
    strict: Annotated[bool, typer.Option(help="Fail when the target is not met.")] = False,
    out: Annotated[Path, typer.Option(help="Where to write the figures.")] = ENDS_RESULTS,
    postgres: Annotated[
        str,
        typer.Option(
            envvar="DADM_TEST_POSTGRES_URL",
            help="A server whose user may create databases; without it one is started.",
        ),
    ] = "",
) -> None:
    """Measure what following the ends of instances costs the engine and the store."""
    extent = QUICK if quick else Extent()
    machine = machine_here()
    sections = []
    for section in measure(extent, postgres):
        print(section_table(section, extent), flush=True)
        sections.append(section)
    out.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        "machine": machine,
        "extent": asdict(extent),
        "sections": [asdict(section) for section in sections],
    }
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {out}.")
    most = max(
        cost.engine_requests
        for section in sections
        for cost in section.costs
        if "per interval" in cost.what
    )
    verdict = "met" if most <= MOST_REQUESTS else "missed"
    print(f"Requests to the engine per interval: at most {most:.2f}, wanted 1: {verdict}.")
    if strict and most > MOST_REQUESTS:
        raise typer.Exit(1)


def measure(extent: Extent, named: str) -> Iterator[Section]:
    """Measure on SQLite, then on PostgreSQL where there is one."""
    tell("Measuring on SQLite.")
    yield asyncio.run(on_sqlite(extent))
    try:
        with postgres_server(named) as server:
            tell("Measuring on PostgreSQL.")
            yield asyncio.run(on_postgres(server, extent))
    except NoPostgres as error:
        tell(f"There is no PostgreSQL here; name one in DADM_TEST_POSTGRES_URL. ({error})")


async def on_sqlite(extent: Extent) -> Section:
    """Measure on a file with that many threads."""
    async with new_sqlite_file() as place:
        settings = Settings(database_url=SecretStr(f"sqlite:///{place.address}"))
        async with bootstrap.open_databases(settings):
            pass
        fill_sqlite(
            place.address, waiting=extent.waiting, closed=extent.closed, now=bootstrap.CLOCK.now()
        )
        async with bootstrap.open_databases(settings) as databases:
            return await Course("SQLite", databases.threads, extent).run()


async def on_postgres(server: str, extent: Extent) -> Section:
    """Measure in a database with that many threads."""
    async with new_postgres_database(server, server)() as place:
        settings = Settings(database_url=SecretStr(place.address))
        async with bootstrap.open_databases(settings):
            pass
        await fill_postgres(place.address, waiting=extent.waiting, closed=extent.closed)
        async with bootstrap.open_databases(settings) as databases:
            return await Course("PostgreSQL", databases.threads, extent).run()


def section_table(section: Section, extent: Extent) -> str:
    """Write one store's costs."""
    rows = [("", "engine requests", "store statements", "ms")]
    rows += [
        (
            cost.what,
            f"{cost.engine_requests:.2f}",
            f"{cost.store_statements:.2f}",
            f"{cost.milliseconds:.2f}",
        )
        for cost in section.costs
    ]
    heading = (
        f"{section.name} ({extent.waiting} instances wait, {extent.closed} ended and were cleared)"
    )
    return f"{heading}\n\n{columns(iter(rows))}\n"


if __name__ == "__main__":
    program = typer.Typer(pretty_exceptions_enable=False)
    program.command()(main)
    program()

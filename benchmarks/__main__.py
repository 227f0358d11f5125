"""`python -m benchmarks`: measure, print the tables, and write the figures down."""

import asyncio
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.course import (
    QUICK,
    Extent,
    Section,
    measure_far_postgres,
    measure_postgres,
    measure_sqlite,
)
from benchmarks.entrants import Database, are_peers_installed
from benchmarks.postgres_server import NoPostgres, postgres_server
from benchmarks.report import comparison_tables, document, section_table
from benchmarks.targets import ratios, targets
from dadm.adapters.system_clock import SystemClock

RESULTS = Path(__file__).parent / "results" / "latest.json"


def main(
    *,
    quick: Annotated[bool, typer.Option(help="Only see that everything runs.")] = False,
    only: Annotated[Database | None, typer.Option(help="Measure on this alone.")] = None,
    strict: Annotated[bool, typer.Option(help="Fail when a target is not met.")] = False,
    out: Annotated[Path, typer.Option(help="Where to write the figures.")] = RESULTS,
    postgres: Annotated[
        str,
        typer.Option(
            envvar="DADM_TEST_POSTGRES_URL",
            help="A server whose user may create databases; without it one is started.",
        ),
    ] = "",
) -> None:
    """Measure turns beside comparable libraries and a bare minimum, in one run."""
    extent = QUICK if quick else Extent()
    machine = machine_here()
    if not are_peers_installed():
        tell("The libraries to compare with are not installed; `make bench` installs them.")
    sections = []
    for section in measure(extent, only, postgres):
        print(section_table(extent, section), flush=True)
        sections.append(section)
    compared = ratios(sections)
    wanted = targets(sections)
    print(comparison_tables(compared, wanted))
    out.parent.mkdir(parents=True, exist_ok=True)
    figures = document(machine, extent, sections, compared, wanted)
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {out}.")
    if strict and not all(target.is_met for target in wanted):
        raise typer.Exit(1)


def measure(extent: Extent, only: Database | None, named: str) -> Iterator[Section]:
    """Measure on SQLite, then on PostgreSQL where there is one."""
    if only is not Database.POSTGRES:
        tell("Measuring on SQLite.")
        yield asyncio.run(measure_sqlite(extent))
    if only is Database.SQLITE:
        return
    try:
        with postgres_server(named) as server:
            tell("Measuring on PostgreSQL.")
            yield asyncio.run(measure_postgres(server, extent))
            tell("Measuring on PostgreSQL, further away.")
            yield asyncio.run(measure_far_postgres(server, extent))
    except NoPostgres as error:
        tell(f"There is no PostgreSQL here; name one in DADM_TEST_POSTGRES_URL. ({error})")


def tell(what: str) -> None:
    """Say what goes on, apart from the results."""
    print(what, file=sys.stderr, flush=True)


def machine_here() -> dict[str, Any]:
    """Say when and on what kind of machine this runs, and how busy it was."""
    return {
        "date": SystemClock().now().date().isoformat(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }


if __name__ == "__main__":
    program = typer.Typer(pretty_exceptions_enable=False)
    program.command()(main)
    program()

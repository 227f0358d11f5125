"""`python -m benchmarks.engines`: start each engine, have its tasks worked, print the tables."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.__main__ import RESULTS, machine_here, tell
from benchmarks.engines.course import QUICK, Extent, Section, measure
from benchmarks.engines.report import document, section_table, target_table, targets
from benchmarks.engines.sites import ENGINES, Kind
from benchmarks.engines.workers import MINIMAL, Worker, dadm_on, minimal
from benchmarks.places import new_postgres_database, new_sqlite_file
from benchmarks.postgres_server import NoPostgres, postgres_server
from dadm.entrypoints.cli.event_loop import loop_for_programs
from dadm.telemetry import configure_logging
from tests.engines.java import NothingThere

ENGINE_RESULTS = RESULTS.with_name("engines.json")


def main(
    *,
    quick: Annotated[bool, typer.Option(help="Only see that everything runs.")] = False,
    only: Annotated[str, typer.Option(help=f"One engine: {', '.join(ENGINES)}.")] = "",
    rounds: Annotated[int, typer.Option(help="So many of each, not as many as usual.")] = 0,
    strict: Annotated[bool, typer.Option(help="Fail when a target is not met.")] = False,
    out: Annotated[Path, typer.Option(help="Where to write the figures.")] = ENGINE_RESULTS,
    postgres: Annotated[
        str,
        typer.Option(
            envvar="DADM_TEST_POSTGRES_URL",
            help="A server whose user may create databases; without it one is started.",
        ),
    ] = "",
) -> None:
    """Measure what working a task costs on real engines, beside a worker that keeps nothing."""
    # Told to stop, it still ends the engines and databases that it started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    extent = QUICK if quick else Extent()
    if rounds:
        extent = replace(extent, rounds_steadily=rounds, rounds_at_once=rounds)
    machine = machine_here()
    chosen = [only] if only else list(ENGINES)
    sections: list[Section] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        log_to(stack, out.with_suffix(".log"))
        workers = [Worker(MINIMAL, minimal), *stores(stack, postgres)]
        for name in chosen:
            sections += measure_on(name, workers, extent)
    wanted = targets(sections)
    print(target_table(wanted))
    figures = document(machine, asdict(extent), sections)
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {out}.")
    if strict and not (wanted and all(target.is_met for target in wanted)):
        raise typer.Exit(1)


def log_to(stack: ExitStack, path: Path) -> None:
    """Log to a file, as `dadm work` writes its log, until `stack` is left."""
    configure_logging(stream=stack.enter_context(path.open("w", encoding="utf-8")))
    stack.callback(configure_logging, level="warning")


def stores(stack: ExitStack, named: str) -> Iterator[Worker]:
    """Give dadm on each store there is, which stays until `stack` is left."""
    yield dadm_on("dadm, SQLite", new_sqlite_file, lambda path: f"sqlite:///{path}")
    try:
        server = stack.enter_context(postgres_server(named))
    except NoPostgres as error:
        tell(f"There is no PostgreSQL here; name one in DADM_TEST_POSTGRES_URL. ({error})")
        return
    yield dadm_on("dadm, PostgreSQL", new_postgres_database(server, server), lambda url: url)


def measure_on(name: str, workers: Sequence[Worker], extent: Extent) -> list[Section]:
    """Start an engine and measure on it."""
    kind = ENGINES[name]
    tell(f"Measuring on {kind.title}.")
    with TemporaryDirectory(prefix="dadm-bench-") as folder:
        try:
            with (
                kind.running(Path(folder)) as address,
                # The loop that `dadm work` runs on; the other worker has it too.
                asyncio.Runner(loop_factory=loop_for_programs()) as runner,
            ):
                return runner.run(all_of(kind, address, workers, extent))
        except NothingThere as missing:
            tell(f"{kind.title} cannot be measured: {missing}")
            return []


async def all_of(
    kind: Kind, address: str, workers: Sequence[Worker], extent: Extent
) -> list[Section]:
    """Give every section, each of which is printed as soon as it is there."""
    measured = measure(kind.title, kind.site_at(address), workers, extent)
    sections = []
    async for section in measured:
        print(section_table(section), flush=True)
        sections.append(section)
    return sections


if __name__ == "__main__":
    program = typer.Typer(pretty_exceptions_enable=False)
    program.command()(main)
    program()

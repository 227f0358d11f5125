"""The soak: many processes on two replicas that are killed at random, and a backend that is often in trouble."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from tests.acceptance.evidence import Door, gathered, opened
from tests.acceptance.programs import DADM, running
from tests.conftest import start_postgres
from tests.databases import beside, command
from tests.soak.faults import rules
from tests.soak.play import Play, play
from tests.soak.table import Findings, shown


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--instances", type=int, default=1000, help="process instances")
    parser.add_argument("--faults", type=float, default=0.1, help="share of requests struck")
    parser.add_argument("--seed", type=int, default=1, help="decides faults and kills")
    parser.add_argument("--kills", type=float, default=6.0, help="seconds between kills, about")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds that it may take")
    parser.add_argument("--postgres", default="", help="a server; without one, from the wheel")
    return parser.parse_args()


@contextmanager
def new_database(given: str) -> Iterator[str]:
    """Give the address of a new database, on the given server or on one of our own."""
    server = None if given else start_postgres(Path(tempfile.mkdtemp(prefix="dadm-soak-")))
    url = given if server is None else server.get_uri()
    name = f"dadm_soak_{uuid4().hex[:8]}"
    try:
        asyncio.run(command(url, f"CREATE DATABASE {name}"))
        yield beside(url, name)
        asyncio.run(command(url, f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        if server is not None:
            server.cleanup()


async def soak(given: argparse.Namespace, database_url: str, door: Door, folder: Path) -> Findings:
    async with opened(database_url) as database:
        played = await play(
            Play(
                instances=given.instances,
                seed=given.seed,
                seconds_between_kills=given.kills,
                limit_seconds=given.limit,
                database=database,
                database_url=database_url,
                simulator=door.address,
                folder=folder,
            )
        )
        struck = door.get("simulator/faults")["faults"]
        door.delete("simulator/faults")
        print("Looking at what is left …", flush=True)
        return Findings(played=played, every=await gathered(database, door), struck=struck)


def main() -> int:
    given = arguments()
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="dadm-soak-") as home,
        new_database(given.postgres) as database_url,
        running(DADM, "simulate-openai", "--port", "0", folder=Path(home)) as simulator,
        Door(address=simulator.address) as door,
    ):
        for rule in rules(given.faults, seed=given.seed):
            door.post("simulator/faults", rule)
        where = urlsplit(database_url).path.strip("/")
        print(f"{given.instances} instances, seed {given.seed}, database {where}", flush=True)
        findings = asyncio.run(soak(given, database_url, door, Path(home)))
    print(shown(findings, seconds=time.monotonic() - begun))
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

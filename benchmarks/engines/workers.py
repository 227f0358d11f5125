"""Who takes part: dadm as `dadm work` puts it together, and a worker that only fetches and completes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import httpx2

from benchmarks.engines.meter import Meter
from benchmarks.engines.models import TOPICS
from benchmarks.engines.sites import PAUSE_SECONDS, Site, posted
from benchmarks.places import NewPlace
from dadm import bootstrap
from dadm.adapters.engines.access import new_client
from dadm.entrypoints.cli.programs import Ground, work_engine
from dadm.settings import load_settings
from dadm.telemetry import CachedStatistics, Fanout, LogObserver, Metrics

MINIMAL = "hand-written minimum"
ANSWER = "Take the chairs: they last ten years, and the budget of 15,000 euros covers them. " * 4
REPLY_SECONDS = 60.0

Working: TypeAlias = Callable[[Site, Meter, "Pressure"], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """How many tasks are worked at once at most, and how long each answer takes, in seconds."""

    in_flight: int
    answer_seconds: float


@dataclass(frozen=True, slots=True)
class Worker:
    """One who takes part."""

    name: str
    works: Working


@asynccontextmanager
async def minimal(site: Site, meter: Meter, pressure: Pressure) -> AsyncIterator[None]:
    """Fetch, wait as long as an answer takes, complete; keep nothing, log nothing."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with (
        httpx2.AsyncClient(base_url=site.address, timeout=REPLY_SECONDS, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        meter.listen(client)

        async def complete(task_id: str) -> None:
            await asyncio.sleep(pressure.answer_seconds)
            path, body = site.completion(task_id, "minimal", ANSWER)
            await posted(client, path, body)

        async def poll(path: str, body: dict[str, Any]) -> None:
            while not stop.is_set():
                reply = await client.post(path, json=body)
                if reply.is_server_error:
                    # An engine that is pressed hard says so now and then.
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                for handed in site.handed_out(path, reply.raise_for_status().content):
                    group.create_task(complete(handed.task_id))

        stop = asyncio.Event()
        for path, body in site.polls("minimal"):
            group.create_task(poll(path, body))
        yield
        stop.set()


def dadm_on(name: str, new_place: NewPlace, url_of: Callable[[str], str]) -> Worker:
    """Give dadm with its store in a new database of `new_place`."""

    @asynccontextmanager
    async def working(site: Site, meter: Meter, pressure: Pressure) -> AsyncIterator[None]:
        async with new_place() as place:
            with TemporaryDirectory(prefix="dadm-bench-") as folder:
                script = Path(folder) / "script.json"
                line = {"answer": ANSWER, "seconds": pressure.answer_seconds}
                script.write_text(json.dumps({"": line}), "utf-8")
                async with dadm(site, meter, pressure, url_of(place.address), script):
                    yield

    return Worker(name, working)


@asynccontextmanager
async def dadm(
    site: Site, meter: Meter, pressure: Pressure, database_url: str, script: Path
) -> AsyncIterator[None]:
    """Put together what `dadm work` does, over connections that are listened to."""
    settings = load_settings(
        database_url=database_url,
        backend="scripted",
        scripted={"script": script},
        engine_url=site.address,
        engine={"topics": TOPICS},
        turns={"concurrent_turns": pressure.in_flight},
    )
    client = new_client(None, bootstrap.CLOCK, ca_file=None, reply_seconds=REPLY_SECONDS)
    meter.listen(client)
    stop = asyncio.Event()
    async with (
        client,
        bootstrap.open_databases(settings) as databases,
        site.engine(settings, client) as engine,
    ):
        statistics = CachedStatistics(databases.threads.statistics, bootstrap.CLOCK.monotonic)
        metrics = Metrics(backend=settings.chosen_backend, statistics=statistics)
        ground = Ground(
            settings=settings,
            stop=stop,
            databases=databases,
            statistics=statistics,
            metrics=metrics,
            observer=Fanout((LogObserver(), metrics)),
        )
        async with (
            bootstrap.open_assistant_side(settings, databases.threads, ground.observer) as side,
            asyncio.TaskGroup() as group,
        ):
            work_engine(group, ground, bootstrap.EngineSide(engine=engine), side.manager)
            group.create_task(side.upkeep.run(stop))
            yield
            stop.set()

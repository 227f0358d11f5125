"""One round: instances started one after the other, so many under way at once, until all have ended."""

import asyncio
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2

from benchmarks.engines.meter import Meter
from benchmarks.engines.models import TOPICS
from benchmarks.engines.sites import Site
from benchmarks.engines.workers import Pressure, Worker

WARM_UP_INSTANCES = 20
"""Not counted: they open connections, and have a worker learn the models."""
PATIENCE_SECONDS = 300.0
DRIVER_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Milliseconds:
    """The times of one task without those of the answer itself.

    `whole` from being ready to its outcome accepted; `waiting` of that until it was handed out;
    `own` from there until the completion was sent; `reporting` until that was accepted.
    """

    whole: float
    waiting: float
    own: float
    reporting: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round of one worker came to; `seconds` is from the first start to the last end."""

    tasks: list[Milliseconds]
    seconds: float
    processor_seconds: float
    requests: dict[str, int]


async def race(site: Site, worker: Worker, pressure: Pressure, instances: int) -> Round:
    """Let `worker` bring `instances` to their ends.

    So many are under way at once; where answers take their time, the first ones start evenly
    spread over an instance's life, since people do not start theirs in one moment.
    """
    ended: dict[str, asyncio.Event] = {}

    def accepted(instance_id: str) -> None:
        if len(meter.instance(instance_id).ready_at) >= len(TOPICS):
            ended.setdefault(instance_id, asyncio.Event()).set()

    meter = Meter(site, accepted)
    async with httpx2.AsyncClient(timeout=DRIVER_SECONDS) as client:

        async def seat(offset_seconds: float, waiting: Iterator[int]) -> None:
            await asyncio.sleep(offset_seconds)
            for _ in waiting:
                instance_id = await site.start(client)
                started_at[instance_id] = time.perf_counter()
                await ended.setdefault(instance_id, asyncio.Event()).wait()

        async def some(count: int) -> None:
            waiting = iter(range(count))
            apart = pressure.answer_seconds * len(TOPICS) / pressure.in_flight
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.gather(
                    *(seat(number * apart, waiting) for number in range(pressure.in_flight))
                )

        started_at: dict[str, float] = {}
        async with worker.works(site, meter, pressure):
            await some(WARM_UP_INSTANCES)
            meter.forget()
            started_at.clear()
            gc.collect()
            begun_at, worked_before = time.perf_counter(), time.process_time()
            await some(instances)
            seconds = time.perf_counter() - begun_at
            processor_seconds = time.process_time() - worked_before
            requests = dict(meter.requests)
    tasks = list(times_of(meter, started_at, pressure.answer_seconds))
    assert len(tasks) == instances * len(TOPICS)
    return Round(
        tasks=tasks, seconds=seconds, processor_seconds=processor_seconds, requests=requests
    )


def times_of(
    meter: Meter, started_at: dict[str, float], answer_seconds: float
) -> Iterator[Milliseconds]:
    """Give the times of every task that was heard of."""
    for instance_id, heard in meter.instances.items():
        ready = [started_at[instance_id], *heard.ready_at]
        # The last is the end of the instance.
        for ready_at, course in zip(ready, heard.courses, strict=False):
            own = course.sent_at - course.handed_out_at - answer_seconds
            whole = course.accepted_at - ready_at - answer_seconds
            yield Milliseconds(
                whole=whole * 1000,
                # A task may be handed out before the reply to what led to it has arrived.
                waiting=(course.handed_out_at - ready_at) * 1000,
                own=own * 1000,
                reporting=(course.accepted_at - course.sent_at) * 1000,
            )

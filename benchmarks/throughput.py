"""Turns per second of many conversations at once, measured in rounds so that all see the same weather."""

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.entrants import Conversations, Entrant
from benchmarks.places import NewPlace
from benchmarks.readings import Reading

WARM_UP_TURNS = 5
"""Of each conversation, not counted: they open connections and prepare statements."""


@dataclass(slots=True)
class Throughput:
    """Turns per second of one entrant that reads in one way, by round."""

    entrant: Entrant
    reading: Reading
    by_round: list[float] = field(default_factory=list)
    processor_milliseconds: list[float] = field(default_factory=list)
    """Of this process for each turn, by round; what a database server works is not in it."""

    @property
    def median(self) -> float:
        """The middle of the rounds, in turns per second."""
        return median(self.by_round)

    @property
    def best(self) -> float:
        """The best round, which other programs disturbed least."""
        return max(self.by_round)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one round took."""

    seconds: float
    processor_seconds: float


async def measure_throughput(
    entrants: Sequence[Entrant],
    new_place: NewPlace,
    *,
    conversations: int,
    turns: int,
    rounds: int,
) -> list[Throughput]:
    """Let everyone take `turns` in each of `conversations`, `rounds` times, in turning order."""
    measured = [
        Throughput(entrant, reading) for entrant in entrants for reading in entrant.readings
    ]
    for number in range(rounds):
        first = number % len(measured)
        for one in (*measured[first:], *measured[:first]):
            if number >= (one.entrant.rounds_at_most or rounds):
                continue
            async with new_place() as place, one.entrant.opens(place.address) as opened:
                taken = await race(opened, one.reading, conversations, turns)
            one.by_round.append(conversations * turns / taken.seconds)
            milliseconds = taken.processor_seconds / (conversations * turns) * 1000
            one.processor_milliseconds.append(milliseconds)
    return measured


async def race(opened: Conversations, reading: Reading, conversations: int, turns: int) -> Taken:
    """Let all conversations take their turns, each one after the other."""
    names = [f"conversation-{number:04}" for number in range(conversations)]

    async def converse(name: str, count: int) -> None:
        for _ in range(count):
            await opened.turn(name, reading)

    await asyncio.gather(*(converse(name, WARM_UP_TURNS) for name in names))
    gc.collect()
    begun_at, worked_before = time.perf_counter(), time.process_time()
    await asyncio.gather(*(converse(name, turns) for name in names))
    return Taken(
        seconds=time.perf_counter() - begun_at,
        processor_seconds=time.process_time() - worked_before,
    )

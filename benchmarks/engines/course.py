"""The whole run on one engine: all workers in turning order, steadily and then at once."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import httpx2

from benchmarks.engines.race import DRIVER_SECONDS, Milliseconds, Round, race
from benchmarks.engines.sites import Site
from benchmarks.engines.workers import MINIMAL, Pressure, Worker

STEADILY = "answers take their time"
AT_ONCE = "answers take no time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    instances: int = 200
    in_flight: int = 50
    answer_seconds: float = 1.0
    rounds_steadily: int = 3
    rounds_at_once: int = 5


QUICK = Extent(instances=8, in_flight=4, answer_seconds=0.05, rounds_steadily=1, rounds_at_once=1)


@dataclass(slots=True)
class Measured:
    """The rounds of one worker in one manner."""

    worker: str
    rounds: list[Round] = field(default_factory=list)

    def quantile(self, part: Callable[[Milliseconds], float], share: float) -> float:
        """Give the middle of the rounds' quantiles of a part of tasks' times, in milliseconds."""
        return median(self.quantiles(part, share))

    def quantiles(self, part: Callable[[Milliseconds], float], share: float) -> list[float]:
        """Give the quantile of each round; the least is that which other programs disturbed least."""
        return [quantile([part(task) for task in each.tasks], share) for each in self.rounds]

    @property
    def seconds(self) -> float:
        """The middle of the rounds."""
        return median(each.seconds for each in self.rounds)

    @property
    def processor_milliseconds(self) -> float:
        """Of this process for each task; what engine and database work is not in it."""
        return median(each.processor_seconds / len(each.tasks) * 1000 for each in self.rounds)

    def requests(self, *kinds: str) -> float:
        """Give how many requests there were for each task: of some kinds, or all."""
        return median(
            sum(n for kind, n in each.requests.items() if not kinds or kind in kinds)
            / len(each.tasks)
            for each in self.rounds
        )


@dataclass(slots=True)
class Section:
    """What was measured on one engine in one manner."""

    engine: str
    manner: str
    measured: list[Measured]

    def times_minimal(self, figure: Callable[[Round], float]) -> dict[str, list[float]]:
        """Give how many times the minimal worker's a figure of each worker was, by round."""
        (least,) = [each for each in self.measured if each.worker == MINIMAL]
        return {
            each.worker: [
                figure(ours) / figure(theirs)
                for ours, theirs in zip(each.rounds, least.rounds, strict=True)
            ]
            for each in self.measured
            if each is not least
        }


async def measure(
    title: str, site: Site, workers: Sequence[Worker], extent: Extent
) -> AsyncIterator[Section]:
    """Deploy the process and let everyone work it."""
    async with httpx2.AsyncClient(timeout=DRIVER_SECONDS) as client:
        await site.deploy(client)
    # Not counted: a virtual machine is slow until it knows what it does.
    at_once = Pressure(in_flight=extent.in_flight, answer_seconds=0.0)
    await race(site, workers[0], at_once, extent.instances)
    manners = (
        (STEADILY, extent.answer_seconds, extent.rounds_steadily),
        (AT_ONCE, 0.0, extent.rounds_at_once),
    )
    for manner, answer_seconds, rounds in manners:
        pressure = Pressure(in_flight=extent.in_flight, answer_seconds=answer_seconds)
        measured = [Measured(worker.name) for worker in workers]
        pairs = list(zip(workers, measured, strict=True))
        for number in range(rounds):
            first = number % len(pairs)
            for worker, into in (*pairs[first:], *pairs[:first]):
                into.rounds.append(await race(site, worker, pressure, extent.instances))
        yield Section(title, manner, measured)


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value below which that share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]

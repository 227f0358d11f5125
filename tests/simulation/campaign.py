"""Campaign: many seeds in several processes, with progress, and the seeds that failed at the end."""

import gc
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from tests.simulation.simulation import simulate

CHUNK = 50
PROGRESS_SECONDS = 15.0
SHOWN_AT_MOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A seed under which something did not hold."""

    seed: int
    violations: tuple[str, ...]
    clears: bool = False

    def __str__(self) -> str:
        """Say what failed and how to see it again."""
        said = "\n".join(f"    {each[:300]}" for each in self.violations[:SHOWN_AT_MOST])
        again = f"python -m tests.simulation --seed {self.seed}{' --clears' if self.clears else ''}"
        return f"seed {self.seed} ({again}):\n{said}"


def failures_in(seeds: Iterable[int], *, clears: bool = False) -> list[Failure]:
    """Run seeds one after the other; give those that fail."""
    runs = (simulate(seed, clears=clears) for seed in seeds)
    return [
        Failure(seed=run.seed, violations=run.violations, clears=clears)
        for run in runs
        if run.violations
    ]


def run_campaign(seeds: Sequence[int], *, jobs: int, clears: bool = False) -> list[Failure]:
    """Run seeds in `jobs` processes, telling progress; give those that fail, by seed."""
    failures: list[Failure] = []
    started = told = time.monotonic()
    done = 0
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    for chunk, found in zip(chunks, _results(chunks, jobs, clears=clears), strict=True):
        done += len(chunk)
        for failure in found:
            failures.append(failure)
            if len(failures) <= SHOWN_AT_MOST:
                print(failure, flush=True)
        now = time.monotonic()
        if now - told >= PROGRESS_SECONDS or done == len(seeds):
            told = now
            rate = done / max(now - started, 1e-9)
            print(
                f"{done:,} of {len(seeds):,} seeds, {rate:.0f} a second, {len(failures)} failed",
                flush=True,
            )
    return failures


def _results(
    chunks: Sequence[Sequence[int]], jobs: int, *, clears: bool
) -> Iterator[list[Failure]]:
    run = partial(failures_in, clears=clears)
    if jobs == 1:
        yield from map(run, chunks)
        return
    with ProcessPoolExecutor(jobs, initializer=gc.freeze) as pool:
        yield from pool.map(run, chunks)

"""Simulation: one seed makes one run, from nothing to a list of invariants that did not hold."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from dadm.adapters.stores.memory import MemoryStore
from tests.simulation.backend import SimulatedBackend
from tests.simulation.clearing import (
    cleared_threads_leave_their_transcript_alone,
    left_to_clear,
)
from tests.simulation.director import Director
from tests.simulation.engine import SimulatedEngine
from tests.simulation.invariants import violations
from tests.simulation.network import Network
from tests.simulation.person import Person
from tests.simulation.processes import Processes
from tests.simulation.program import DrawnIdentifiers, Shared, SkewedClock
from tests.simulation.record import Record
from tests.simulation.scheduler import NeverEnding, new_loop
from tests.simulation.seen import Seen
from tests.simulation.storm import Storm
from tests.simulation.weather import Weather, draw_weather
from tests.simulation.witness import Witness

PATIENCE_SECONDS = 2000.0
"""How long all must be done after the storm: some turn limits, some leases, an engine's pauses."""

LONGEST_SECONDS = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of a seed: `violations` is empty if every invariant held."""

    seed: int
    weather: Weather
    record: Record
    violations: tuple[str, ...]
    seconds: float
    callbacks: int
    model_calls: int


def simulate(seed: int, *, clears: bool = False) -> Run:
    """Run the product under the weather of `seed`, and check it.

    With `clears` replicas also clear the threads of ended instances. That draws more chances, so
    that the same seed makes another run.
    """
    chance = Random(seed)  # noqa: S311 - a failing seed is to fail again
    weather = draw_weather(chance)
    loop = new_loop(longest_seconds=LONGEST_SECONDS)
    record = Record(loop.time)
    storm = Storm(chance, weather, record, loop.time)
    network = Network(loop, storm, record)
    store_clock = SkewedClock(loop, ahead_seconds=storm.fraction() * 100 - 50)
    engine_clock = SkewedClock(loop, ahead_seconds=storm.fraction() * 100 - 50)
    store = MemoryStore(store_clock)
    engine = SimulatedEngine(engine_clock, DrawnIdentifiers("engine", storm), engine_id="memory")
    witness = Witness(store, loop, engine_id=engine.engine_id)
    backend = SimulatedBackend(loop, storm, record, witness.tells_live)
    processes = Processes(engine, storm, record)
    shared = Shared(
        network=network,
        store=store,
        engine=engine,
        backend=backend,
        after_store_call=witness.after_store_call,
        left_to_clear=(lambda: left_to_clear(witness.threads())) if clears else None,
    )
    person = Person(shared, witness, processes)
    director = Director(shared, processes, person, store_clock, engine_clock)
    found: list[str] = []
    with unexpected_errors() as logged:
        try:
            loop.run(_directed(director, network))
        except NeverEnding as error:
            found.append(f"I7 it does not come to its end: {error}")
    found += [f"I7 the product did not expect: {each}" for each in logged]
    found += [f"I7 nobody handled: {each}" for each in loop.unhandled]
    found += [f"I7 {each}" for each in director.ended_badly]
    seen = Seen(
        weather=weather,
        record=record,
        witness=witness,
        threads=witness.threads(),
        ledger=backend.ledger,
        conversations=backend.conversations.by_id,
        processes=processes,
        person=person,
        runs=backend.runs,
        reports=engine.reports,
        is_quiet=director.is_quiet,
    )
    found += violations(seen)
    if clears:
        found += cleared_threads_leave_their_transcript_alone(seen)
    return Run(
        seed=seed,
        weather=weather,
        record=record,
        violations=tuple(found),
        seconds=loop.time(),
        callbacks=loop.callbacks_run,
        model_calls=len(backend.ledger.calls),
    )


@contextmanager
def unexpected_errors() -> Iterator[list[str]]:
    """Collect what the product logs as an error: only what it did not expect is one."""
    logger = logging.getLogger("dadm")
    collecting = _Collecting()
    propagates = logger.propagate
    logger.propagate = False
    logger.addHandler(collecting)
    try:
        yield collecting.said
    finally:
        logger.removeHandler(collecting)
        logger.propagate = propagates


class _Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.said.append(f"{record.getMessage()} {error!r}")


async def _directed(director: Director, network: Network) -> None:
    try:
        await director.direct(patience_seconds=PATIENCE_SECONDS)
    finally:
        network.is_closed = True

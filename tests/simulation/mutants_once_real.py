"""Mutants that were once the product: the bugs that simulation found, each put back.

A seed means another run whenever the order of calls changes; a bug that is put back is found again
whatever the seeds mean by then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dadm.adapters.stores.memory.endings import MemoryEndings
from dadm.application.withdrawal import Withdrawal
from tests.simulation.mutants import Mutant, replaced


@contextmanager
def replanning_names_no_attempt() -> Iterator[None]:
    def change(replan: Any) -> Any:
        async def replan_the_latest(self: Any, lease: Any, attempt: Any, **more: Any) -> Any:
            record = self._records.turns[self._records.attempts[attempt]]
            return await replan(self, lease, record.attempts[-1].ref, **more)

        return replan_the_latest

    with replaced(MemoryEndings, "replan", change):
        yield


@contextmanager
def run_to_stop_outlives_its_question() -> Iterator[None]:
    def change(stops: Any) -> Any:
        def keep(self: Any, stop: Any) -> None:
            if stop is not None:
                stops(self, stop)

        return keep

    with replaced(Withdrawal, "stops", change):
        yield


MUTANTS_ONCE_REAL = (
    Mutant(
        name="replanning_names_no_attempt",
        breaks="A replanning that was thought lost arrives late and takes the next attempt back.",
        mutation=replanning_names_no_attempt,
    ),
    Mutant(
        name="run_to_stop_outlives_its_question",
        breaks="Withdrawing a task between two attempts stops a run that is over, and the program.",
        mutation=run_to_stop_outlives_its_question,
    ),
)

"""Mutants that were once the product: the bugs that simulation found, each put back.

A seed means another run whenever the order of calls changes; a bug that is put back is found again
whatever the seeds mean by then.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from dadm.adapters.stores.memory.endings import MemoryEndings
from dadm.adapters.stores.memory.generations import MemoryGenerations
from dadm.application.turns import asking, turn_taking
from dadm.application.turns.withdrawal import Withdrawal
from dadm.domain.thread import GenerationState
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


@contextmanager
def submitted_elsewhere_asked_all_the_same() -> Iterator[None]:
    def change(_: Any) -> Any:
        async def submit(store: Any, lease: Any, turn: Any, submission: Any) -> Any:
            return await store.submit(lease, turn, submission)

        return submit

    with ExitStack() as stack:
        for module in (asking, turn_taking):
            stack.enter_context(replaced(module, "submit", change))
        yield


@contextmanager
def filled_although_erased() -> Iterator[None]:
    def change(note_conversation: Any) -> Any:
        async def note(self: Any, thread: Any, **more: Any) -> Any:
            noted = await note_conversation(self, thread, **more)
            return replace(noted, state=GenerationState.BUILDING)

        return note

    with replaced(MemoryGenerations, "note_conversation", change):
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
    Mutant(
        name="submitted_elsewhere_asked_all_the_same",
        breaks="A claim thought lost submits a turn in a conversation out of use, and it is asked.",
        mutation=submitted_elsewhere_asked_all_the_same,
        first_seed=135_006,
    ),
    Mutant(
        name="filled_although_erased",
        breaks="A conversation opened over an erasure is given the memory of the erased thread.",
        mutation=filled_although_erased,
        first_seed=123_900,
    ),
)

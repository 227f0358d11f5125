"""Seeds under which replicas also clear the threads of ended instances: every invariant holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dadm.application.care.whole_deletion import WholeDeletion
from dadm.domain.thread import Generation
from dadm.ports.backend import ErasureReport
from tests.simulation.campaign import failures_in
from tests.simulation.mutants import replaced
from tests.simulation.simulation import simulate

SEEDS = 300
TOGETHER = 50
NOTICING = (226, 503, 524)
"""Seeds under which a program dies between noting a deletion and making it."""


@pytest.mark.parametrize("first", range(0, SEEDS, TOGETHER), ids=lambda first: f"from_{first}")
def test_every_invariant_holds_and_closed_threads_are_cleared(first: int) -> None:
    failures = failures_in(range(first, first + TOGETHER), clears=True)

    assert not failures, "\n".join(map(str, failures))


@contextmanager
def noted_before_it_is_deleted() -> Iterator[None]:
    def change(delete: Any) -> Any:
        async def note_first(self: Any, generation: Generation, *args: Any, **more: Any) -> Any:
            report = ErasureReport(deleted_items=0, deleted_responses=0)
            await self._store.note_erased(generation.thread, generation.number, report)
            return await delete(self, generation, *args, **more)

        return note_first

    with replaced(WholeDeletion, "delete", change):
        yield


def test_a_deletion_that_is_noted_before_it_is_made_is_noticed() -> None:
    with noted_before_it_is_deleted():
        noticed = [seed for seed in NOTICING if simulate(seed, clears=True).violations]

    assert noticed, "Seeds change their meaning with the order of calls; look for others."

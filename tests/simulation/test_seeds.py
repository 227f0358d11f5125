"""Two thousand seeds of the simulation: under each of them every invariant holds."""

import pytest

from tests.simulation.campaign import failures_in

SEEDS = 2000
TOGETHER = 50


@pytest.mark.parametrize("first", range(0, SEEDS, TOGETHER), ids=lambda first: f"from_{first}")
def test_every_invariant_holds_under_every_seed(first: int) -> None:
    failures = failures_in(range(first, first + TOGETHER))

    assert not failures, "\n".join(map(str, failures))

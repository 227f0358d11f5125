"""Seeds under which the product once failed do not fail again."""

import pytest

from tests.simulation.regressions import REGRESSIONS
from tests.simulation.simulation import simulate


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_seed_that_once_failed_holds(seed: int) -> None:
    assert simulate(seed).violations == (), REGRESSIONS[seed]

"""Every mutant is noticed under a seed that is known for it, and under that seed the product holds."""

import pytest

from tests.simulation.hunting import MUTANTS, known_seeds, violations_with
from tests.simulation.simulation import simulate

AT_LEAST = 12


def test_there_are_as_many_mutants_as_promised() -> None:
    assert len(MUTANTS) >= AT_LEAST


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str) -> None:
    seeds = known_seeds().get(name, [])
    noticed = [
        seed for seed in seeds if violations_with(name, seed) and not simulate(seed).violations
    ]

    assert noticed, (
        f"None of the seeds {seeds} shows it any more: {MUTANTS[name].breaks} Seeds change their "
        "meaning with the order of calls; `make mutants` looks for others and writes them down."
    )

"""Hunting: how many seeds it takes until the simulation notices each mutant; behind `make mutants`."""

import json
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.mutants import Mutant
from tests.simulation.mutants_of_store import MUTANTS_OF_STORE
from tests.simulation.mutants_of_turns import MUTANTS_OF_TURNS
from tests.simulation.mutants_once_real import MUTANTS_ONCE_REAL
from tests.simulation.simulation import simulate

MUTANTS: dict[str, Mutant] = {
    each.name: each for each in (*MUTANTS_OF_STORE, *MUTANTS_OF_TURNS, *MUTANTS_ONCE_REAL)
}
SEEDS_AT_MOST = 5000
KNOWN_SEEDS = Path(__file__).parent / "known_seeds.json"
"""For each mutant, seeds under which it is noticed; `make mutants` writes them."""

SEEDS_KEPT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """A mutant that was noticed: under which seeds, and what did not hold under the first."""

    name: str
    seeds: tuple[int, ...]
    violation: str = ""


def hunt(name: str) -> Caught:
    """Try seeds from the first until the mutant of that name is noticed, and a few times more.

    A seed under which the product itself fails says nothing about a mutant.
    """
    caught = Caught(name=name, seeds=())
    begin = MUTANTS[name].first_seed
    for seed in range(begin, begin + SEEDS_AT_MOST):
        if len(caught.seeds) == SEEDS_KEPT:
            break
        if caught.seeds and seed - begin > 2 * (caught.seeds[0] - begin) + 100:
            break
        found = violations_with(name, seed)
        if found and not simulate(seed).violations:
            first = caught.violation or found[0]
            caught = Caught(name=name, seeds=(*caught.seeds, seed), violation=first)
    return caught


def violations_with(name: str, seed: int) -> tuple[str, ...]:
    """Give what does not hold under a seed with a mutant's break in the product."""
    with MUTANTS[name].mutation():
        return simulate(seed).violations


def known_seeds() -> dict[str, list[int]]:
    """Read under which seeds each mutant was noticed when that was last written."""
    read: dict[str, list[int]] = json.loads(KNOWN_SEEDS.read_text(encoding="utf-8"))
    return read


def main() -> int:
    """Print the table and write the seeds; the exit status is 1 if a mutant got away."""
    names = sys.argv[1:] or list(MUTANTS)
    for name in names:
        with MUTANTS[name].mutation():
            pass  # what it breaks is where it was; else this ends here and not much later
    found: dict[str, list[int]] = {}
    missed = 0
    print(f"{'mutant':<40} {'seeds':>6}  what did not hold")
    with ProcessPoolExecutor(2) as pool:
        for hunted in as_completed([pool.submit(hunt, name) for name in names]):
            caught = hunted.result()
            if caught.seeds:
                found[caught.name] = list(caught.seeds)
                said = f"{caught.seeds[0] + 1:>6}  {caught.violation[:150]}"
            else:
                missed += 1
                said = f"NOT CAUGHT by {SEEDS_AT_MOST} seeds: {MUTANTS[caught.name].breaks}"
            print(f"{caught.name:<40} {said}", flush=True)
    known = (known_seeds() if KNOWN_SEEDS.exists() else {}) | found
    kept = {name: known[name] for name in MUTANTS if name in known}
    KNOWN_SEEDS.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

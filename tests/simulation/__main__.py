"""The command behind `make simulate`: a campaign over many seeds, or one seed with its whole log."""

import argparse
import sys

from tests.simulation.campaign import run_campaign
from tests.simulation.simulation import simulate


def main() -> int:
    """Run what the arguments say; the exit status is 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and print its event log")
    parser.add_argument("--seeds", type=int, default=2000, help="how many to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes")
    parser.add_argument("--clears", action="store_true", help="clear ended instances as well")
    given = parser.parse_args()
    if given.seed is not None:
        return replay(given.seed, clears=given.clears)
    seeds = range(given.first, given.first + given.seeds)
    failures = run_campaign(seeds, jobs=given.jobs, clears=given.clears)
    if failures:
        print("failed: " + " ".join(str(failure.seed) for failure in failures[:50]))
    return 1 if failures else 0


def replay(seed: int, *, clears: bool = False) -> int:
    """Print a run: its weather, what happened, and what did not hold."""
    run = simulate(seed, clears=clears)
    print(*run.weather.lines(), sep="\n")
    print(*run.record.lines(), sep="\n")
    print(f"{run.seconds:.0f} s, {run.model_calls} model calls, {run.callbacks} callbacks")
    if not run.violations:
        print("every invariant held")
        return 0
    print(*(f"DOES NOT HOLD: {each}" for each in run.violations), sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""The same seed gives the same event log, byte for byte, in this process and in any other."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.simulation import simulate

ROOT = Path(__file__).resolve().parent.parent.parent
SEEDS = range(40)
DIGESTS = f"""
import hashlib
from tests.simulation.simulation import simulate
for seed in range({len(SEEDS)}):
    log = "\\n".join(simulate(seed).record.lines())
    print(seed, hashlib.sha256(log.encode()).hexdigest())
"""


def digests(hash_seed: str) -> str:
    """Give the digests of all logs as a process of its own sees them."""
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    ended = subprocess.run(
        [sys.executable, "-c", DIGESTS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_the_same_seed_gives_the_same_log_in_one_process(seed: int) -> None:
    assert simulate(seed).record.lines() == simulate(seed).record.lines()


def test_the_same_seed_gives_the_same_log_whatever_strings_hash_to() -> None:
    first, second = digests("1"), digests("2")

    assert len(first.splitlines()) == len(SEEDS)
    assert first == second

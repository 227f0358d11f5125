"""`make engines` fetches the engines that tests run on; `make operaton` and `camunda7` start one."""

import os
import subprocess
import sys

from tests.engines.distributions import DISTRIBUTIONS, Distribution
from tests.engines.java import NothingThere
from tests.engines.running import command_of

PORT = 8080


def fetch() -> int:
    """Fetch what is missing, and say where it is."""
    for each in DISTRIBUTIONS:
        try:
            if not each.is_fetched:
                print(f"fetching {each.title}", flush=True)
            each.fetch()
        except NothingThere as missing:
            return tell(f"{missing}; tests on {each.title} will be skipped")
        except subprocess.SubprocessError as error:
            return tell(f"{each.title} could not be fetched: {error}")
        print(f"{each.title}: {each.folder}")
    return 0


def start(distribution: Distribution, port: int) -> None:
    """Become that engine, until it is told to stop; everything is kept in memory.

    Raises:
        NothingThere: It cannot be started here.
    """
    command = command_of(distribution, port=port)
    print(f"{distribution.title}: http://127.0.0.1:{port}/engine-rest", flush=True)
    os.execv(command[0], command)  # noqa: S606 - this program is done


def tell(sentence: str) -> int:
    """Say what is wrong, and give the exit status that means."""
    print(f"engines: {sentence}", file=sys.stderr)
    return 1


def main(arguments: list[str]) -> int:
    """Read the command line: nothing, or the name of an engine and a port."""
    named = {each.name: each for each in DISTRIBUTIONS}
    match arguments:
        case []:
            return fetch()
        case [name, *port] if name in named and len(port) <= 1:
            try:
                start(named[name], int(port[0]) if port else PORT)
            except NothingThere as missing:
                return tell(str(missing))
    return tell(f"usage: python -m tests.engines [{'|'.join(named)} [PORT]]")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make engines` fetches the engines that tests run on; others of its targets start or demonstrate one."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.engines.demo import demonstrate
from tests.engines.distributions import CAMUNDA_8, DISTRIBUTIONS, Distribution
from tests.engines.java import NothingThere
from tests.engines.running import broker_command, command_of

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


def start(distribution: Distribution, port: int) -> int:
    """Run that engine until it is told to stop; nothing is kept. Give its exit status.

    Raises:
        NothingThere: It cannot be started here.
    """
    with tempfile.TemporaryDirectory(prefix="dadm-engine-") as folder:
        if distribution is CAMUNDA_8:
            command, path = broker_command(Path(folder), port=port), "v2"
        else:
            command, path = command_of(distribution, port=port), "engine-rest"
        print(f"{distribution.title}: http://127.0.0.1:{port}/{path}", flush=True)
        with subprocess.Popen(command, cwd=folder) as engine:

            def stop(*_: object) -> None:
                # It does not hear the terminal: what bounds it in time is a group of its own.
                engine.terminate()

            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, stop)
            return max(0, engine.wait())


def tell(sentence: str) -> int:
    """Say what is wrong, and give the exit status that means."""
    print(f"engines: {sentence}", file=sys.stderr)
    return 1


def main(arguments: list[str]) -> int:
    """Read the command line: nothing, the name of an engine and a port, or `demo` and a name."""
    named = {each.name: each for each in DISTRIBUTIONS}
    try:
        match arguments:
            case []:
                return fetch_all()
            case ["demo", name] if name in named:
                is_well = _fetched(named[name]) and demonstrate(named[name])
                return 0 if is_well else 1
            case [name, *port] if name in named and len(port) <= 1:
                is_there = _fetched(named[name])
                return start(named[name], int(port[0]) if port else PORT) if is_there else 1
    except NothingThere as missing:
        return tell(str(missing))
    return tell(f"usage: python -m tests.engines [[demo] {'|'.join(named)} [PORT]]")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

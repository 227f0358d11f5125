"""`make engines`: fetches the engines that tests run on."""

import subprocess
import sys

from tests.engines.distributions import DISTRIBUTIONS
from tests.engines.java import NothingThere


def main() -> int:
    """Fetch what is missing, and say where it is."""
    for each in DISTRIBUTIONS:
        try:
            if not each.is_fetched:
                print(f"fetching {each.title}", flush=True)
            each.fetch()
        except NothingThere as missing:
            print(
                f"make engines: {missing}; tests on {each.title} will be skipped", file=sys.stderr
            )
            return 1
        except subprocess.SubprocessError as error:
            print(f"make engines: {each.title} could not be fetched: {error}", file=sys.stderr)
            return 1
        print(f"{each.title}: {each.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

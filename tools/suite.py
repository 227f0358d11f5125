"""Run one suite of checks within its time budget.

Called as `suite.py NAME SECONDS -- COMMAND...`. The suite's output and exit status are its own. When it runs over, it is interrupted as if from the
keyboard, so that it can stop what it started, and killed a little later if it has not.
"""

import os
import signal
import subprocess
import sys
import time

SECONDS_TO_STOP = 15
EXIT_OVER_BUDGET = 124


def run(name: str, budget_seconds: float, command: list[str]) -> int:
    """Run command, and return its exit status, or 124 when it took longer than its budget."""
    started_at = time.monotonic()
    # A session of its own, so that everything the suite started can be stopped with it.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        status = process.wait(timeout=budget_seconds)
    except subprocess.TimeoutExpired:
        stop(process)
        print(f"{name}: over its budget of {budget_seconds:.0f} s", file=sys.stderr)
        return EXIT_OVER_BUDGET
    except KeyboardInterrupt:
        stop(process)
        return 128 + signal.SIGINT
    if status:
        took_seconds = time.monotonic() - started_at
        print(f"{name}: failed after {took_seconds:.0f} s (status {status})", file=sys.stderr)
    return status


def stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the suite, wait a little, then kill what is left of its session."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(timeout=SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main(arguments: list[str]) -> int:
    """Read the command line."""
    match arguments:
        case [name, seconds, "--", *command] if command:
            return run(name, float(seconds), command)
    print("usage: suite.py NAME SECONDS -- COMMAND...", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Programs of this project, started from outside as their users start them."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TypeAlias

DADM = str(Path(sys.executable).with_name("dadm"))
SECONDS_TO_SPEAK = 30.0
SECONDS_TO_END = 20.0

LISTENS_AT = r"listens at (?P<address>http://127\.0\.0\.1:[1-9]\d*)"

Starting: TypeAlias = Callable[..., "Program"]


class Program:
    """A running program, and the lines it has written so far.

    Attributes:
        stdout: Its lines on standard output, as they come.
        stderr: Its lines on standard error.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Listen to `process`, whose two outputs are pipes."""
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._process = process
        self._spoke = threading.Condition()
        self._open_streams = 2
        self._listeners = [
            threading.Thread(target=self._listen, args=pair, daemon=True)
            for pair in ((process.stdout, self.stdout), (process.stderr, self.stderr))
        ]
        for listener in self._listeners:
            listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def address(self) -> str:
        """Where it says that it listens; waits until it does."""
        return self.heard(LISTENS_AT)["address"]

    def heard(
        self, pattern: str, *, times: int = 1, seconds: float = SECONDS_TO_SPEAK
    ) -> re.Match[str]:
        """Wait until `pattern` was found in that many of its lines; give the last of them.

        Raises:
            AssertionError: It ended or was silent for too long; says what it has written.
        """
        until = time.monotonic() + seconds
        with self._spoke:
            while len(found := self._found(pattern)) < times:
                left = until - time.monotonic()
                if left <= 0 or not self._open_streams:
                    raise AssertionError(self._without(pattern))
                self._spoke.wait(left)
        return found[times - 1]

    def terminate(self) -> None:
        """Ask it to end (SIGTERM), and do not wait."""
        self._process.terminate()

    def wait(self, *, seconds: float = SECONDS_TO_END) -> int:
        """Wait for its end and give its exit status."""
        status = self._process.wait(seconds)
        for listener in self._listeners:
            listener.join(seconds)
        return status

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._process.kill()
        self.wait()

    def end(self) -> None:
        """End it, politely at first, whatever state it is in."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self.wait()

    def _listen(self, stream: IO[str], lines: list[str]) -> None:
        with stream:
            for line in stream:
                with self._spoke:
                    lines.append(line.rstrip("\n"))
                    self._spoke.notify_all()
        with self._spoke:
            self._open_streams -= 1
            self._spoke.notify_all()

    def _found(self, pattern: str) -> list[re.Match[str]]:
        found = (re.search(pattern, line) for line in (*self.stdout, *self.stderr))
        return [match for match in found if match]

    def _without(self, pattern: str) -> str:
        written = "\n".join(("standard output:", *self.stdout, "standard error:", *self.stderr))
        return f"{self._process.args!r} did not write {pattern!r}, but on {written}"


def running(
    *command: str, folder: Path, settings: Mapping[str, str] | None = None
) -> AbstractContextManager[Program]:
    """Run `command` in `folder`, which is its home too, with no environment but `settings`."""
    environment = {"HOME": str(folder), "PATH": os.defpath, **(settings or {})}
    return _running(command, folder, environment)


@contextmanager
def _running(
    command: tuple[str, ...], folder: Path, environment: dict[str, str]
) -> Iterator[Program]:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Where the tests run in a shell's background, programs would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        program = Program(process)
        try:
            yield program
        finally:
            program.end()

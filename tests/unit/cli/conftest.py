"""Fixtures that run the command line within this process and leave no trace of it."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from dadm.entrypoints.cli import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def dadm(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Run `dadm` with arguments; the logging of this process is left as it was."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Ended(code=code, out=said.out, err=said.err)

    yield run
    root.handlers[:], root.level = before[0], before[1]
    logging.captureWarnings(capture=False)

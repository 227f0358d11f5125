"""Programs that run for long run on the faster loop, short commands on the one that loads at once."""

import asyncio

import uvloop

from dadm.entrypoints.cli.running import run
from dadm.settings import load_settings


async def loop_here() -> type[asyncio.AbstractEventLoop]:
    return type(asyncio.get_running_loop())


def test_a_program_runs_on_the_faster_loop() -> None:
    settings = load_settings(database_url="memory:")

    assert run(settings, loop_here(), is_quiet=False) is uvloop.Loop


def test_a_short_command_runs_on_the_loop_of_python() -> None:
    settings = load_settings(database_url="memory:")

    assert not issubclass(run(settings, loop_here()), uvloop.Loop)

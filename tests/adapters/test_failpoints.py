"""Failpoints strike at the call they name, and leave everything alone where nobody named one."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dadm import bootstrap
from dadm.adapters.failpoints import Failpoint, armed
from dadm.domain.errors import SettingsError
from dadm.settings import load_settings
from dadm.telemetry import Fanout


class Dead(BaseException):
    """Stands in for the end of the process, which a test cannot outlive."""


class Counter:
    """Something with methods to die at."""

    def __init__(self) -> None:
        self.count = 0

    async def add(self, number: int) -> int:
        self.count += number
        return self.count

    async def numbers(self) -> AsyncIterator[int]:
        yield self.count


def die() -> None:
    raise Dead


def point(text: str) -> Failpoint:
    return replace(Failpoint.parse(text), die=die)


async def test_it_strikes_before_the_call_that_is_named() -> None:
    counter = point("store.add:before:2").arm("store", Counter())

    assert await counter.add(1) == 1
    with pytest.raises(Dead):
        await counter.add(10)
    assert counter.count == 1


async def test_it_strikes_after_the_call_has_had_its_effect() -> None:
    counter = point("store.add:after:1").arm("store", Counter())

    with pytest.raises(Dead):
        await counter.add(10)
    assert counter.count == 10


async def test_it_strikes_once() -> None:
    counter = point("store.add:before:1").arm("store", Counter())

    with pytest.raises(Dead):
        await counter.add(1)
    assert await counter.add(1) == 1


async def test_it_strikes_before_a_method_that_gives_an_iterator() -> None:
    counter = point("backend.numbers:before:2").arm("backend", Counter())

    assert [number async for number in counter.numbers()] == [0]
    with pytest.raises(Dead):
        counter.numbers()


def test_another_part_stays_as_it_is() -> None:
    counter = Counter()

    assert point("store.add:before:1").arm("engine", counter) is counter
    assert not vars(counter).keys() - {"count"}


@pytest.mark.parametrize(
    "text",
    ["store.settle", "store.settle:before:0", "store.settle:during:1", "stores.settle:before:1"],
)
def test_what_is_no_failpoint_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"part\.method:before:1"):
        Failpoint.parse(text)


@pytest.mark.parametrize("text", ["store.subtract:before:1", "store.numbers:after:1"])
def test_a_method_that_one_cannot_die_at_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        Failpoint.parse(text).arm("store", Counter())


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{folder}/dadm.db"])
@pytest.mark.parametrize(
    "name", ["store.settle:before:1", "backend.take_turn:before:1", "engine.complete:after:1"]
)
async def test_every_part_can_be_armed(url: str, name: str, tmp_path: Path) -> None:
    settings = load_settings(
        database_url=url.format(folder=tmp_path), backend="scripted", failpoint=name
    )
    part, _, method = name.partition(":")[0].partition(".")

    async with bootstrap.open_databases(settings) as databases:
        store = databases.threads
        engine = bootstrap.embedded_engine(settings, databases.processes)
        async with bootstrap.open_assistant_side(settings, store, Fanout(())) as side:
            bootstrap.orchestrator(settings, engine, side.manager, Fanout(()))
            parts = {"store": store, "backend": side.backends.default, "engine": engine}
            shadowed = {each: vars(whole).get(method) for each, whole in parts.items()}

    assert {each for each, shadow in shadowed.items() if shadow is not None} == {part}


def test_a_process_ends_at_its_failpoint_as_if_killed() -> None:
    program = (
        "import asyncio\n"
        "from dadm import bootstrap\n"
        "from dadm.adapters.failpoints import armed\n"
        "from dadm.settings import load_settings\n"
        "async def main():\n"
        "    settings = load_settings()\n"
        "    async with bootstrap.open_databases(settings) as databases:\n"
        "        armed(settings.failpoint, 'store', databases.threads)\n"
        "        try:\n"
        "            await databases.threads.now()\n"
        "        finally:\n"
        "            print('cleaned up')\n"
        "asyncio.run(main())\n"
    )
    given = {"DADM_DATABASE_URL": "memory:", "DADM_FAILPOINT": "store.now:after:1"}
    ended = python(program, given)

    assert (ended.returncode, ended.stdout) == (-9, "")


def test_nothing_is_touched_where_none_is_set() -> None:
    counter = Counter()

    assert armed("", "store", counter) is counter
    assert vars(counter) == {"count": 0}


def python(program: str, settings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    paths = [path for path in sys.path if path]
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": os.pathsep.join(paths), **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

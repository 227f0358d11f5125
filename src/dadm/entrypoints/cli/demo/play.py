"""The demo's parent: starts the program, kills it half-way, starts it again, and judges."""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from dadm.bootstrap import Databases, embedded_engine, open_databases
from dadm.domain.errors import BackendError, OutcomeUnknown
from dadm.domain.thread import Thread
from dadm.entrypoints.cli.demo.proof import (
    Check,
    Evidence,
    checks,
    gather,
    only_thread,
    quoted,
    repeats,
)
from dadm.entrypoints.cli.demo.scenes import SCENES, TASKS, Scene
from dadm.ports.engine import InstanceState
from dadm.settings import Settings, load_settings

LIFE_SECONDS = 300
"""How long one life may take; a slow machine needs some tens of seconds."""


@dataclass(slots=True, eq=False)
class Story:
    """What the two lives have told so far."""

    scenes: dict[str, Scene] = field(default_factory=dict)
    shown: dict[str, list[str]] = field(default_factory=dict)
    last_answers: dict[str, str] = field(default_factory=dict)
    without_thread: str = ""


def untimely_end(status: int) -> str:
    """Say how a life ended that had not finished; `status` is negative for a signal."""
    if status < 0:
        return f"The demo's program was ended from outside, by signal {-status}. Start it again."
    return "The demo's program ended before its time; its messages above say why."


class Demo:
    """Plays the demo and shows it on a console."""

    def __init__(self, console: Console, *, backend: str, folder: Path, log_level: str) -> None:
        """Play with `backend`; the database lies in `folder`, the lives log from `log_level` up."""
        self._console = console
        self._backend = backend
        self._log_level = log_level
        self._settings: Settings = load_settings(
            database_url=f"sqlite:///{folder / 'demo.sqlite'}", backend=backend
        )
        self._story = Story()

    async def play(self) -> bool:
        """Play it all; True if the proof holds.

        Raises:
            DadmError: A life could not do its part.
        """
        say = self._console.print
        say("[bold]Two decisions, four AI tasks each, one thread per decision.[/]")
        async with self._life("--first") as first:
            async for event in self._events(first):
                if event["event"] == "halfway":
                    break
            first.send_signal(signal.SIGKILL)
            await first.wait()
        say(f"\n[bold red]killed[/] (SIGKILL, process {first.pid}) half-way; starting it again\n")
        before = await self._threads()
        async with self._life() as second:
            async for _ in self._events(second):
                pass
            await second.wait()
        return await self._judge(before)

    @asynccontextmanager
    async def _life(self, *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dadm.entrypoints.cli.demo.life",
            "--database",
            self._settings.database_url.get_secret_value(),
            "--backend",
            self._backend,
            "--log-level",
            self._log_level,
            *more,
            stdout=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.DEVNULL,
            limit=2**24,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _events(
        self, process: asyncio.subprocess.Process
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Give what a life tells, showing it; ends with the life."""
        if process.stdout is None:
            return
        try:
            async with asyncio.timeout(LIFE_SECONDS):
                async for line in process.stdout:
                    event = json.loads(line)
                    self._take_in(event)
                    yield event
                    if event["event"] == "finished":
                        return
        except TimeoutError as error:
            msg = f"The demo's program did not do its part within {LIFE_SECONDS} seconds."
            raise OutcomeUnknown(msg) from error
        raise OutcomeUnknown(untimely_end(await process.wait()))

    def _take_in(self, event: Mapping[str, Any]) -> None:
        story = self._story
        match event["event"]:
            case "started":
                scene = next(each for each in SCENES if each.business_key == event["scene"])
                story.scenes[event["instance"]] = scene
                self._console.print(
                    f"  {self._name(event['instance'])}: {escape(scene.decision)}, decided by "
                    f"{escape(scene.decision_owner)}, budget {escape(scene.budget)}"
                )
            case "answered":
                self._show_answer(event)
                if event["element"] == TASKS[-1]:
                    story.last_answers[event["instance"]] = event["answer"]
                    if event["shown"] is not None:
                        story.shown[event["instance"]] = event["shown"]
            case "kept":
                story.shown.setdefault(event["instance"], event["messages"][:-1])
            case "without_thread":
                story.without_thread = event["answer"]
            case "failed":
                raise BackendError(event["message"])
            case _:
                pass

    def _show_answer(self, event: Mapping[str, Any]) -> None:
        thread = f"thread [cyan]{escape(event['thread_id'][:18])}…[/] {event['change']}"
        self._console.print(
            f"  {self._name(event['instance'])} [bold]{escape(event['name'])}[/] "
            f"(turn {event['sequence']}, {event['seconds']:.1f} s, {thread})"
        )
        self._console.print(f"      {escape(' '.join(event['answer'].split())[:160])}")

    def _name(self, instance: str) -> str:
        scene = self._story.scenes.get(instance)
        return f"[yellow]{scene.business_key:>7}[/]" if scene else instance

    async def _threads(self) -> dict[str, Thread]:
        """Read each instance's thread as the killed program left it."""
        async with open_databases(self._settings) as databases:
            return {
                instance: await only_thread(databases.threads, instance)
                for instance in self._story.scenes
            }

    async def _judge(self, before: Mapping[str, Thread]) -> bool:
        self._console.print("\n[bold]Proof[/], from the database and what the model was shown")
        holds = True
        async with open_databases(self._settings) as databases:
            for instance in self._story.scenes:
                evidence = await self._evidence(databases, instance, before[instance])
                self._console.print(f"  {self._name(instance)}")
                found = checks(evidence)
                self._show(found)
                holds = holds and all(check.holds for check in found)
        self._show_answers()
        verdict = "[bold green]It holds.[/]" if holds else "[bold red]It does not hold.[/]"
        self._console.print(f"\n{verdict}")
        return holds

    async def _evidence(self, databases: Databases, instance: str, before: Thread) -> Evidence:
        thread, turns, attempts = await gather(databases.threads, instance)
        engine = embedded_engine(self._settings, databases.processes)
        ended = await engine.instance(instance)
        return Evidence(
            scene=self._story.scenes[instance],
            at_the_kill=before,
            thread=thread,
            turns=turns,
            attempts=attempts,
            shown=self._story.shown.get(instance, []),
            is_completed=ended.state is InstanceState.COMPLETED,
            recommendation=ended.variables.get("recommendation"),
        )

    def _show(self, found: list[Check]) -> None:
        for check in found:
            mark = "[green]✓[/]" if check.holds else "[red]✗[/]"
            self._console.print(f"    {mark} {check.claim}: [dim]{escape(check.found)}[/]")

    def _show_answers(self) -> None:
        self._console.print("\n[bold]Beside it[/], what the model made of it")
        for instance, scene in self._story.scenes.items():
            answer = self._story.last_answers.get(instance, "")
            said = [fact for fact, is_said in repeats(answer, scene).items() if is_said]
            self._console.print(
                f"  {self._name(instance)} with its thread: [italic]{escape(answer.strip())}[/]"
                f" [dim](repeats {escape(quoted(said))})[/]"
            )
        self._console.print(
            f"  {'nobody':>7} without a thread: "
            f"[italic]{escape(' '.join(self._story.without_thread.split())[:160])}[/]"
        )


def run_demo(*, backend: str, keep: Path | None, log_level: str) -> bool:
    """Play the demo in a folder of its own, or in `keep`, which is then left as it is."""
    console = Console(highlight=False, soft_wrap=True)

    def play_in(folder: Path) -> bool:
        demo = Demo(console, backend=backend, folder=folder, log_level=log_level)
        return asyncio.run(demo.play())

    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        return play_in(keep)
    with tempfile.TemporaryDirectory(prefix="dadm-demo-") as folder:
        return play_in(Path(folder))

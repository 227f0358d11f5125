"""One life of the demo's program: engine, orchestrator, assistant service and model, in one process.

Started by `dadm demo` as a process of its own, so that it can be killed. Tells what happens as
one JSON object per line on standard output.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dadm.bootstrap import (
    AssistantSide,
    Databases,
    embedded_engine,
    open_assistant_side,
    open_databases,
    orchestrator,
    start_logging,
)
from dadm.domain.json import JsonObject
from dadm.domain.task import ServiceTask
from dadm.domain.thread import ThreadKey
from dadm.domain.turn import TurnKey
from dadm.entrypoints.cli.demo.scenes import (
    FIRST_HALF,
    MODEL,
    PROCESS_KEY,
    SCENES,
    TASKS,
)
from dadm.ports.assistant_service import AssistantService, TaskAnswer
from dadm.ports.engine import AssistantTask, ProcessModels, ProcessRuntime
from dadm.ports.observer import Event, ModelShown, TurnStarted
from dadm.settings import Settings, load_settings
from dadm.telemetry import Fanout, LogObserver


def tell(event: str, **details: object) -> None:
    """Say what happened, at once."""
    print(json.dumps({"event": event, **details}), flush=True)  # noqa: T201 - read by `dadm demo`


@dataclass(slots=True, eq=False)
class Witness:
    """An observer that tells when a turn starts and keeps what the model was shown."""

    shown: dict[str, list[str]] = field(default_factory=dict)

    def notify(self, event: Event) -> None:
        """Take note of what the proof needs."""
        if isinstance(event, TurnStarted):
            tell(
                "asked",
                instance=event.process_instance_id,
                task=event.task_id,
                thread_id=event.thread_id,
                sequence=event.sequence,
                attempt=event.attempt,
            )
        elif isinstance(event, ModelShown):
            self.shown[event.task_id] = [message.text for message in event.messages]


@dataclass(slots=True, eq=False)
class ToldAnswers:
    """The assistant service, with each answer told as it is given."""

    service: AssistantService
    witness: Witness
    done: asyncio.Event
    wanted: int

    async def process_task(self, task: ServiceTask) -> TaskAnswer:
        """Answer the task and tell it."""
        begun = time.monotonic()
        answer = await self.service.process_task(task)
        tell(
            "answered",
            instance=task.process_instance_id,
            element=task.element_id,
            name=task.task_name,
            thread_id=answer.thread_id,
            change=answer.change,
            sequence=answer.sequence,
            is_replayed=answer.is_replayed,
            answer=answer.recommendation,
            shown=self.witness.shown.get(task.task_id),
            seconds=round(time.monotonic() - begun, 2),
        )
        return answer

    async def knows_assistant(self, name: str) -> bool:
        """Pass the question on."""
        return await self.service.knows_assistant(name)

    async def outcome_reported(self, task: ServiceTask) -> None:
        """Pass the note on, and see whether this life has done its part."""
        await self.service.outcome_reported(task)
        self.wanted -= 1
        if self.wanted == 0:
            self.done.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class SomeTasks:
    """The deployed models, as far as some of their AI tasks go."""

    models: ProcessModels
    elements: tuple[str, ...]

    async def assistant_tasks(self) -> Sequence[AssistantTask]:
        """Give only the tasks this life is to work on."""
        return [
            task for task in await self.models.assistant_tasks() if task.element_id in self.elements
        ]


async def start_scenes(engine: ProcessRuntime) -> None:
    """Deploy the shipped model and start an instance for each decision."""
    await engine.deploy({MODEL.name: MODEL.read_bytes()})
    for scene in SCENES:
        instance = await engine.start(
            PROCESS_KEY, variables=scene.variables, business_key=scene.business_key
        )
        tell("started", instance=instance.instance_id, scene=scene.business_key)


async def live(settings: Settings, *, is_first: bool) -> None:
    """Run one life: the first starts the instances and works the first half of their tasks."""
    witness = Witness()
    observer = Fanout((LogObserver(), witness))
    elements = FIRST_HALF if is_first else TASKS[len(FIRST_HALF) :]
    async with (
        open_databases(settings) as databases,
        open_assistant_side(settings, databases.threads, observer) as side,
    ):
        engine = embedded_engine(settings, databases.processes)
        if is_first:
            await start_scenes(engine)
        done = asyncio.Event()
        service = ToldAnswers(side.manager, witness, done, wanted=len(elements) * len(SCENES))
        working = orchestrator(settings, engine, service, observer)
        working = replace_models(working, SomeTasks(models=engine, elements=elements))
        await working.run(done, drain_seconds=30)
        if is_first:
            tell("halfway")
            await asyncio.Event().wait()  # until it is killed
        await tell_what_the_backend_kept(side, databases)
        await ask_without_thread(side)
    tell("finished")

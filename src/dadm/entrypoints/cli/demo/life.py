"""One life of the demo's program: engine, orchestrator, assistant service and model.

Started by `dadm demo` as a process of its own, so that it can be killed. Tells what happens as
one JSON object per line on standard output.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

from dadm.bootstrap import (
    AssistantSide,
    Databases,
    embedded_engine,
    open_assistant_side,
    open_databases,
    orchestrator,
)
from dadm.domain.errors import DadmError
from dadm.domain.task import ServiceTask
from dadm.domain.transcript import Window
from dadm.entrypoints.cli.demo.scenes import (
    FIRST_HALF,
    MODEL,
    PROCESS_KEY,
    SCENES,
    TASKS,
)
from dadm.entrypoints.cli.running import start_logging
from dadm.ports.assistant_service import AssistantService, TaskAnswer
from dadm.ports.backend import Answered, CutShort, Question, ResponseStarted
from dadm.ports.engine import AssistantTask, ProcessModels, ProcessRuntime
from dadm.ports.observer import Event, ModelShown, TurnStarted
from dadm.ports.store_values import ThreadFilter
from dadm.settings import Settings, load_settings
from dadm.telemetry import Fanout, LogObserver


def tell(event: str, **details: object) -> None:
    """Say what happened, at once."""
    print(json.dumps({"event": event, **details}), flush=True)


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
    _: KW_ONLY
    wanted: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    last_question: str = ""

    async def process_task(self, task: ServiceTask) -> TaskAnswer:
        """Answer the task and tell it."""
        begun = time.monotonic()
        self.last_question = task.question
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

    async def refuse_if_away(self) -> None:
        """Pass the question on."""
        await self.service.refuse_if_away()

    async def withdraw_task(self, task: ServiceTask) -> None:
        """Pass it on."""
        await self.service.withdraw_task(task)

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
        service = ToldAnswers(side.manager, witness, wanted=len(elements) * len(SCENES))
        models = SomeTasks(models=engine, elements=elements)
        await orchestrator(settings, engine, service, observer, models=models).run(
            service.done, drain_seconds=30
        )
        if is_first:
            tell("halfway")
            await asyncio.Event().wait()  # until it is killed
        await tell_what_was_kept(side, databases)
        await ask_without_thread(side, service.last_question)
    tell("finished")


async def tell_what_was_kept(side: AssistantSide, databases: Databases) -> None:
    """Tell what each conversation holds, where the backend keeps them."""
    for thread in await databases.threads.threads(ThreadFilter()):
        if thread.live is None:
            continue
        backend = await side.backends.of(thread.live.identity)
        if backend.keeps_conversations:
            kept = [each async for each in backend.messages(thread.live.conversation_id)]
            tell("kept", instance=thread.key.scope, messages=[each.message.text for each in kept])


async def ask_without_thread(side: AssistantSide, question: str) -> None:
    """Ask the last question once more, in a conversation that knows nothing."""
    backend = side.backends.default
    conversation_id = await backend.open(labels={})
    asked = Question(
        conversation_id=conversation_id,
        assistant=side.catalogue.default,
        prompt=question,
        history=Window(exchanges=(), left_out=0),
        labels={},
    )
    response_ids = []
    async with backend.take_turn(asked) as events:
        async for event in events:
            match event:
                case ResponseStarted(response_id=response_id):
                    response_ids.append(response_id)
                case Answered(text=text) | CutShort(partial_text=text):
                    tell("without_thread", answer=text)
                case _:
                    continue
    if backend.keeps_conversations:
        await backend.erase(conversation_id, response_ids=response_ids)


def main() -> None:
    """Run the life that the command line asks for."""
    arguments = argparse.ArgumentParser(description="One life of the demo's program.")
    arguments.add_argument("--database", required=True)
    arguments.add_argument("--backend", required=True)
    arguments.add_argument("--log-level", required=True)
    arguments.add_argument("--first", action="store_true")
    given = arguments.parse_args()
    try:
        settings = load_settings(
            database_url=given.database,
            backend=given.backend,
            log={"level": given.log_level},
        )
        start_logging(settings)
        asyncio.run(live(settings, is_first=given.first))
    except DadmError as error:
        tell("failed", message=error.message)
        sys.exit(1)


if __name__ == "__main__":
    main()

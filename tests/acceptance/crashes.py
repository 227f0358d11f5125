"""Programs that are killed at a named point, started again, and looked at when all is over."""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from dadm.ports.engine import InstanceState
from tests.acceptance.evidence import (
    LOOK_AGAIN_SECONDS,
    Database,
    Door,
    Evidence,
    Hold,
    gathered,
    opened,
)
from tests.acceptance.programs import DADM, Program, running
from tests.adapters.engines import bpmn

T = TypeVar("T")

SECONDS = 120.0
"""How long anything is waited for before a test fails; a busy machine takes many times what it needs."""

# Not the shortest: a replica that a busy machine leaves without time would lose its own.
SHORT_LEASES = {
    "DADM_TURNS__LEASE_SECONDS": "10",
    "DADM_TURNS__TICKET_SECONDS": "10",
    "DADM_ENGINE__LEASE_SECONDS": "3",
    "DADM_ENGINE__RETRY_SECONDS": "0.2",
}

CREATED = r"Created new thread (?P<conversation>conv_\w+) "
"""What is logged when an instance gets its first conversation."""

GATE = "Gate"
"""The user task at which a process waits until a test lets it go on."""


def process(elements: Sequence[str]) -> bytes:
    """Write a process with these tasks in a row: AI tasks, or GATE."""
    nodes = [
        bpmn.node("userTask", GATE)
        if element == GATE
        else bpmn.task(
            element,
            bpmn.node("documentation", f"About{element}", f"{element}: what about ${{matter}}?")
            + bpmn.extended(bpmn.properties(service__type="assistant", variables="none")),
        )
        for element in elements
    ]
    chain = bpmn.flows(" > ".join(("s", *elements, "e")))
    return bpmn.model(bpmn.start(), *nodes, bpmn.end(), chain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where one crash is played: a database of its own, and the simulator that all share."""

    folder: Path
    database_url: str
    simulator: Door

    def begin(self, elements: Sequence[str]) -> str:
        """Deploy the process of these tasks, start one instance, and give its id."""

        async def begin(database: Database) -> str:
            await database.engine.deploy({"model.bpmn": process(elements)})
            # No other instance is asked the same, so a message that strays is noticed.
            matter = {"matter": uuid4().hex}
            return (await database.engine.start("p", variables=matter)).instance_id

        return asyncio.run(self._within(begin))

    def pass_gate(self) -> None:
        """Let the instance go on behind its gate."""

        async def pass_gate(database: Database) -> None:
            (task,) = await database.engine.user_tasks()
            await database.engine.complete_user_task(task.task_id, variables={})

        asyncio.run(self._within(pass_gate))

    def running(self, *, failpoint: str = "", **more: str) -> AbstractContextManager[Program]:
        """Run engine, orchestrator and service together, perhaps with a point to die at."""
        return self.program("run", failpoint=failpoint, **more)

    def program(
        self, *arguments: str, failpoint: str = "", **more: str
    ) -> AbstractContextManager[Program]:
        """Start `dadm` with these arguments on the stage."""
        settings = {
            "DADM_PORT": "0",
            "DADM_DATABASE_URL": self.database_url,
            "DADM_FAILPOINT": failpoint,
            "OPENAI_API_KEY": "sk-of-nobody",
            "OPENAI_BASE_URL": f"{self.simulator.address}/v1",
            **SHORT_LEASES,
            **more,
        }
        return running(DADM, *arguments, folder=self.folder, settings=settings)

    @contextmanager
    def turn_under_way(self) -> Iterator[tuple[Program, Hold]]:
        """Run the first of three tasks, and have the backend hold the run of the second."""
        self.begin(("First", GATE, "Second", "Third"))
        with self.running() as program:
            hold = self.has_held(program, fault="hold-run")
            self.knows_the_run(seconds=SECONDS)
            yield program, hold

    def has_held(self, program: Program, **fault: str | bool) -> Hold:
        """Pass the gate behind the first task, and have the simulator hold the second's turn."""
        created = program.heard(CREATED, seconds=SECONDS)
        heard_task(program, "First")
        rule = {"on": "POST /v1/responses", "conversation": created["conversation"], **fault}
        hold = self.simulator.hold(rule)
        self.pass_gate()
        hold.is_holding(seconds=SECONDS)
        return hold

    def dies_at(self, failpoint: str) -> None:
        """Run until the process kills itself there."""
        with self.running(failpoint=failpoint) as program:
            assert_killed(program)

    def ends(self, program: Program) -> None:
        """Wait until the instance has ended, and stop the program politely."""
        program.heard(r"action=threads_closed", seconds=SECONDS)
        program.terminate()
        assert program.wait(seconds=SECONDS) == 0

    def all_end(self, *, seconds: float) -> None:
        """Wait until no instance is active, whichever program ends the last."""

        async def look(database: Database) -> None:
            async with asyncio.timeout(seconds):
                active = InstanceState.ACTIVE
                while await database.engine.instances(state=active, limit=1):  # noqa: ASYNC110 - another process ends it
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)

        asyncio.run(self._within(look))

    def knows_the_run(self, *, seconds: float) -> None:
        """Wait until the backend's name for the latest turn's run is recorded."""

        async def look(database: Database) -> None:
            async with asyncio.timeout(seconds):
                while True:
                    (evidence,) = await gathered(database, self.simulator)
                    if evidence.attempts[-1][-1].response_id:
                        return
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)

        asyncio.run(self._within(look))

    def evidence(self) -> Evidence:
        """Look at the one instance."""
        (evidence,) = self.all_evidence()
        return evidence

    def all_evidence(self) -> tuple[Evidence, ...]:
        """Look at every instance, oldest first."""
        return asyncio.run(self._within(lambda database: gathered(database, self.simulator)))

    async def _within(self, work: Callable[[Database], Awaitable[T]]) -> T:
        async with opened(self.database_url) as database:
            return await work(database)


def heard_task(program: Program, element: str) -> re.Match[str]:
    """Wait until the engine was told that the task is completed."""
    return program.heard(rf"action=outcome_reported element_id={element} ", seconds=SECONDS)


def assert_killed(program: Program) -> None:
    """Wait until the program is killed, and by nothing else than SIGKILL."""
    status = program.wait(seconds=SECONDS)
    assert status == -signal.SIGKILL, "\n".join(program.stderr)

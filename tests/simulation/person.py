"""Person: who cares for threads by the product's own tools, which die and are started again."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from dadm.application.care.thread_care import ThreadCare
from dadm.application.care.thread_erasing import Erased
from dadm.application.care.turn_resolving import (
    AsAbandoned,
    AsAnswered,
    AsResubmit,
    Decision,
    Resolved,
)
from dadm.domain.errors import DadmError
from dadm.domain.thread import ThreadRef
from dadm.domain.turn import TurnState
from tests.simulation.processes import Processes
from tests.simulation.program import Program, Shared
from tests.simulation.witness import Witness

Work: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]

PAUSE_SECONDS = 7.0
PATIENCE_SECONDS = 5.0
DECISIONS: tuple[Decision, ...] = (
    AsAnswered(),
    AsResubmit(),
    AsAbandoned(reason="No longer wanted."),
)


class Person:
    """Has threads erased and rebuilt, and decides about turns."""

    def __init__(self, shared: Shared, witness: Witness, processes: Processes) -> None:
        """Choose what to do by what `witness` sees."""
        self._shared = shared
        self._witness = witness
        self._processes = processes
        self._programs: list[Program] = []
        self._erasing: dict[ThreadRef, Program] = {}
        self.erased: set[ThreadRef] = set()

    @property
    def is_busy(self) -> bool:
        """Whether an erasure that was begun has not come to its end."""
        return bool(self._erasing)

    @property
    def programs(self) -> list[Program]:
        """The tools that are running, as far as they can be troubled."""
        return [each for each in self._programs if not each.caller.is_dead]

    def go_on(self) -> None:
        """Start the tool again for each erasure whose tool has died, and take abandoned work back."""
        for task in self._processes.incidents():
            scope = self._processes.instances_by_task[task].id
            turn = self._witness.turn_of(scope, self._processes.assistants[task], task)
            if turn is not None and turn.state is TurnState.ABANDONED:
                self._processes.withdraw(task)
        for thread, program in list(self._erasing.items()):
            if program.caller.is_dead:
                self._erase(thread)

    def erase_some(self) -> None:
        """Have a thread erased whose instance is over."""
        over = {each.id for each in self._processes.instances if each.is_over}
        threads = [
            each.thread.ref
            for each in self._witness.threads()
            if each.thread.key.scope in over
            and each.thread.ref not in self.erased | self._erasing.keys()
        ]
        if threads:
            self._erase(self._shared.storm.pick(threads))

    def rebuild_some(self) -> None:
        """Have a thread rebuilt."""
        threads = self._witness.threads()
        if threads:
            ref = self._shared.storm.pick(threads).thread.ref
            care = self._tool("rebuilds", ref)
            self._programs[-1].begin(self._told(partial(care.rebuilding.rebuild, ref)))

    def resolve_some(self) -> None:
        """Decide about a turn whose outcome is not known."""
        unknown = [
            turn
            for thread in self._witness.threads()
            for turn in thread.turns
            if turn.state is TurnState.UNKNOWN
        ]
        if unknown:
            turn = self._shared.storm.pick(unknown)
            decision = self._shared.storm.pick(DECISIONS)
            care = self._tool("resolves", turn.key.task_id, decision)
            self._programs[-1].begin(
                self._resolve(turn.key.task_id, partial(care.resolving.resolve, turn.ref, decision))
            )

    def _tool(self, what: str, *about: Any) -> ThreadCare:
        program = Program(f"tool{len(self._programs) + 1}", self._shared)
        self._programs.append(program)
        self._shared.record.note("person", what, *about, "by", program.name)
        return ThreadCare(program.world, patience_seconds=PATIENCE_SECONDS)

    def _erase(self, thread: ThreadRef) -> None:
        care = self._tool("erases", thread)
        self._erasing[thread] = self._programs[-1]
        self._programs[-1].begin(self._erase_to_its_end(care, thread))

    async def _erase_to_its_end(self, care: ThreadCare, thread: ThreadRef) -> None:
        while True:
            said = await self._told(partial(care.erasing.erase, thread))
            if isinstance(said, Erased):
                self.erased.add(thread)
                del self._erasing[thread]
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _resolve(self, task: str, resolving: Work) -> None:
        # Counted before: it may take effect although its tool dies.
        self._processes.releases[task] += 1
        said = await self._told(resolving)
        if isinstance(said, Resolved):
            self._shared.record.note("person", "resolved", task)

    async def _told(self, work: Work) -> Any:
        try:
            said = await work()
        except DadmError as error:
            said = error
        self._shared.record.note("person", "is told", said)
        return said

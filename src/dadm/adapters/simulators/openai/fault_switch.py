"""A rule that is switched on: what it has seen and struck so far, and whom it holds."""

import asyncio
import logging
from dataclasses import dataclass
from random import Random

from dadm.adapters.simulators.openai.changes import Changes
from dadm.adapters.simulators.openai.clock import Clock
from dadm.adapters.simulators.openai.fault_rules import FaultRule
from dadm.adapters.simulators.openai.ledger import Ledger
from dadm.adapters.simulators.openai.wire import Call

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchSeen:
    """How a rule stands: how many requests it was made for, how many it struck and holds now."""

    id: str
    rule: FaultRule
    matched: int
    struck: int
    holding: int


class Switch:
    """A rule, its own chance, and its counts.

    A strike is decided by `decide`, and counted when it has its effect (`record`) or given back
    when it can have none any more (`give_back`). The n-th matching request is struck or not by
    seed and n alone.
    """

    def __init__(self, switch_id: str, rule: FaultRule, chance: Random) -> None:
        self.id = switch_id
        self.rule = rule
        self._chance = chance
        self._matched = 0
        self._decided = 0
        self._struck = 0
        self._held: list[asyncio.Event] = []
        self._changes = Changes()
        self._is_off = False

    @property
    def is_off(self) -> bool:
        return self._is_off

    @property
    def seen(self) -> SwitchSeen:
        return SwitchSeen(
            id=self.id,
            rule=self.rule,
            matched=self._matched,
            struck=self._struck,
            holding=len(self._held),
        )

    def decide(self) -> bool:
        """Whether the next matching request is struck."""
        self._matched += 1
        drawn = self._chance.random()
        rule = self.rule
        is_used_up = rule.times is not None and self._decided >= rule.times
        if is_used_up or self._matched < rule.first or drawn >= rule.probability:
            return False
        self._decided += 1
        return True

    def record(
        self, ledger: Ledger, call: Call, *, conversation_id: str | None, response_id: str | None
    ) -> None:
        """Say that it has struck a request, or what the request began."""
        self._struck += 1
        self._changes.tell()
        ledger.fault_struck(
            rule=self.id,
            fault=self.rule.name,
            request_number=call.number,
            conversation_id=conversation_id,
            response_id=response_id or call.named.get("response_id"),
        )
        LOGGER.info(
            "Fault %s, %s, struck request %d: %s %s",
            self.id,
            self.rule.name,
            call.number,
            call.method,
            call.path,
        )

    def give_back(self) -> None:
        self._decided -= 1

    async def hold(self, clock: Clock, seconds: float | None) -> None:
        """Wait until let go, or until so many seconds have passed; not at all when it is off."""
        if self._is_off:
            return
        let_go = asyncio.Event()
        end = None if seconds is None else clock() + seconds
        self._held.append(let_go)
        self._changes.tell()
        try:
            if end is None:
                await let_go.wait()
            else:
                await _either(let_go, clock, end)
        finally:
            self._held.remove(let_go)
            self._changes.tell()

    def turn_off(self) -> None:
        """Let go of all that is held; what was decided and has not struck yet will not."""
        self._is_off = True
        self.let_go()

    def let_go(self, count: int | None = None) -> int:
        """Let go of those held now, the oldest first, all of them or so many; give how many."""
        waiting = [event for event in self._held if not event.is_set()][:count]
        for event in waiting:
            event.set()
        return len(waiting)

    async def wait_holding(self, count: int) -> None:
        """Wait until exactly so many are held."""
        while len(self._held) != count:
            await self._changes.wait()

    async def wait_struck(self, count: int) -> None:
        """Wait until at least so many were struck."""
        while self._struck < count:
            await self._changes.wait()


async def _either(let_go: asyncio.Event, clock: Clock, end: float) -> None:
    async def in_time() -> None:
        await clock.wait_until(end)
        let_go.set()

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(in_time())
        await let_go.wait()
        waiting.cancel()

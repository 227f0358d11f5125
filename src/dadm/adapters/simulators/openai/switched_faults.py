"""Faults that are switched on by rules, from Python or over the back door, and strike by seed."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import count
from random import Random

from dadm.adapters.simulators.openai.fault_kinds import (
    OrphanRun,
    RequestFault,
    RunFault,
    StreamFault,
)
from dadm.adapters.simulators.openai.fault_reading import read_rule
from dadm.adapters.simulators.openai.fault_rules import FaultRule
from dadm.adapters.simulators.openai.fault_switch import Switch, SwitchSeen
from dadm.adapters.simulators.openai.faults import Api, Moment, Phase
from dadm.adapters.simulators.openai.request_strikes import RequestStrike, has_target
from dadm.adapters.simulators.openai.run_strikes import RunStrike
from dadm.adapters.simulators.openai.stream_strikes import StreamStrike
from dadm.adapters.simulators.openai.wire import Call, Events, Reply


class UnknownRule(LookupError):
    """There is no rule of this id."""


class SwitchedFaults:
    """Strikes the requests that its rules are made for, in the order in which they were added.

    Each rule decides about the requests that reach it: one that a rule before it answers, loses
    or breaks off does not, and one that is performed twice reaches it twice. Without rules
    nothing goes wrong.
    """

    def __init__(self, rules: Iterable[FaultRule | str] = (), *, seed: int = 0) -> None:
        """Begin with some rules, as values or as texts.

        Args:
            rules: For example `POST /v1/responses drop-reply probability=0.1`.
            seed: Decides, with a rule's place, what a rule without a seed of its own strikes.

        Raises:
            WrongFault: a text is no rule.
        """
        self._seed = seed
        self._numbers = count(1)
        self._switches: dict[str, Switch] = {}
        self._runs: dict[str, list[RunStrike]] = {}
        self._api: Api | None = None
        self.add(*rules)

    def strike_at(self, api: Api) -> None:
        self._api = api

    def add(self, *rules: FaultRule | str) -> list[str]:
        """Switch rules on, behind those that are; give their ids. None is added if one is wrong.

        Raises:
            WrongFault: a text is no rule.
        """
        read = [read_rule(rule) if isinstance(rule, str) else rule for rule in rules]
        ids = []
        for rule in read:
            number = next(self._numbers)
            seed = f"{self._seed}/{number}" if rule.seed is None else str(rule.seed)
            switch = Switch(f"fault_{number}", rule, Random(seed))  # noqa: S311 - chance, no secret
            self._switches[switch.id] = switch
            ids.append(switch.id)
        return ids

    def remove(self, rule_id: str) -> None:
        """Switch a rule off, and let go of what it holds.

        Raises:
            UnknownRule: there is none of this id.
        """
        self._switch(rule_id).turn_off()
        del self._switches[rule_id]

    def clear(self) -> None:
        """Switch all rules off, and let go of all that they hold."""
        for rule_id in list(self._switches):
            self.remove(rule_id)

    def let_go(self, rule_id: str, *, at_most: int | None = None) -> int:
        """Let go of what a rule holds now, the oldest first; give how many that were.

        Raises:
            UnknownRule: there is none of this id.
        """
        return self._switch(rule_id).let_go(at_most)

    def seen(self) -> list[SwitchSeen]:
        """Give every rule that is switched on, with its counts, in the order of their adding."""
        return [switch.seen for switch in self._switches.values()]

    async def holding(self, rule_id: str, number: int = 1) -> None:
        """Wait until a rule holds exactly so many.

        Raises:
            UnknownRule: there is none of this id.
        """
        await self._switch(rule_id).wait_holding(number)

    async def struck(self, rule_id: str, number: int = 1) -> None:
        """Wait until a rule has struck at least so often.

        Raises:
            UnknownRule: there is none of this id.
        """
        await self._switch(rule_id).wait_struck(number)

    async def around(self, call: Call, perform: Callable[[], Awaitable[Reply]]) -> Reply:
        return await self._through(tuple(self._switches.values()), call, perform)

    async def during(self, moment: Moment) -> None:
        if moment.phase is Phase.ADMITTED:
            self._begin(moment)
        strikes = self._runs.get(moment.response_id)
        if strikes is None:
            return
        is_over = True
        try:
            for strike in strikes:
                await strike.at(moment)
            is_over = moment.phase is Phase.ANSWERED
        finally:
            if is_over:
                for strike in self._runs.pop(moment.response_id):
                    strike.leave()

    def on_the_way(self, call: Call, events: Events) -> Events:
        for switch in self._switches.values():
            fault = switch.rule.fault
            if isinstance(fault, StreamFault) and self._decides(switch, call):
                events = StreamStrike(self._struck_api, switch, call).on_the_way(fault, events)
        return events

    async def _through(
        self, switches: Sequence[Switch], call: Call, perform: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        for place, switch in enumerate(switches):
            fault = switch.rule.fault
            if (
                isinstance(fault, RequestFault)
                and has_target(fault, self._struck_api, call)
                and self._decides(switch, call)
            ):
                behind = partial(self._through, switches[place + 1 :], call, perform)
                return await RequestStrike(self._struck_api, switch, call, behind).reply(fault)
        return await perform()

    def _begin(self, moment: Moment) -> None:
        strikes = [
            RunStrike(self._struck_api, switch, fault)
            for switch in self._switches.values()
            if isinstance(fault := switch.rule.fault, RunFault)
            and not (isinstance(fault, OrphanRun) and moment.conversation_id is None)
            and self._decides(switch, moment.call)
        ]
        if strikes:
            self._runs[moment.response_id] = strikes

    def _decides(self, switch: Switch, call: Call) -> bool:
        conversation_id = self._struck_api.conversation_of(call)
        return switch.rule.matches(call, conversation_id) and switch.decide()

    @property
    def _struck_api(self) -> Api:
        if self._api is None:
            message = "These faults have been given to no simulator."
            raise RuntimeError(message)
        return self._api

    def _switch(self, rule_id: str) -> Switch:
        switch = self._switches.get(rule_id)
        if switch is None:
            known = ", ".join(self._switches) or "none at all"
            message = f"There is no rule '{rule_id}'; there are: {known}."
            raise UnknownRule(message)
        return switch

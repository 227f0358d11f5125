"""Processes drawn at random run as a few lines of plain Python say they should."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from dadm.ports.engine import InstanceState
from tests.adapters.engines.bpmn import (
    boundary,
    end,
    flow,
    flows,
    model,
    node,
    start,
    task,
    timer,
)
from tests.adapters.engines.stage import Stage

MOST_COMPLETIONS = 40


@dataclass
class Written:
    """A part of a model as BPMN: its nodes and flows, and where tokens come in and go out."""

    text: str
    entry: str
    exit: str


@dataclass
class Decisions:
    """What loops decided while a task was completed: variables for their conditions."""

    again: dict[str, bool] = field(default_factory=dict)


class Part:
    """A block of a process: it starts, offers tasks, and is over at some time."""

    is_over = False

    def write(self, names: Iterator[int]) -> Written:
        raise NotImplementedError

    def start(self) -> None:
        self.is_over = False

    def offered(self) -> list[str]:
        raise NotImplementedError

    def complete(self, name: str, decisions: Decisions) -> None:
        raise NotImplementedError


class Work(Part):
    def __init__(self, has_timer: bool) -> None:
        self.has_timer = has_timer
        self.name = ""

    def write(self, names: Iterator[int]) -> Written:
        self.name = f"T{next(names)}"
        text = task(self.name)
        if self.has_timer:
            late = f"late_{self.name}"
            text += boundary(late, self.name, timer("PT1H")) + end(f"end_{late}")
            text += flows(f"{late} > end_{late}")
        return Written(text, self.name, self.name)

    def offered(self) -> list[str]:
        return [] if self.is_over else [self.name]

    def complete(self, name: str, decisions: Decisions) -> None:
        self.is_over = True


class Sequence(Part):
    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.at = 0

    def write(self, names: Iterator[int]) -> Written:
        written = [part.write(names) for part in self.parts]
        joints = [flow(a.exit, b.entry) for a, b in itertools.pairwise(written)]
        text = "".join(part.text for part in written) + "".join(joints)
        return Written(text, written[0].entry, written[-1].exit)

    def start(self) -> None:
        super().start()
        self.at = 0
        self.parts[0].start()

    def offered(self) -> list[str]:
        return [] if self.is_over else self.parts[self.at].offered()

    def complete(self, name: str, decisions: Decisions) -> None:
        self.parts[self.at].complete(name, decisions)
        if self.parts[self.at].is_over:
            self.at += 1
            if self.at == len(self.parts):
                self.is_over = True
            else:
                self.parts[self.at].start()


class Branches(Part):
    """All branches at once, joined by a parallel or an inclusive gateway."""

    def __init__(self, parts: list[Part], is_inclusive: bool) -> None:
        self.parts = parts
        self.is_inclusive = is_inclusive

    def write(self, names: Iterator[int]) -> Written:
        number = next(names)
        fork, join = f"fork{number}", f"join{number}"
        tag = "inclusiveGateway" if self.is_inclusive else "parallelGateway"
        condition = "${true}" if self.is_inclusive else ""
        text = node(tag, fork) + node(tag, join)
        for part in self.parts:
            written = part.write(names)
            text += written.text + flow(fork, written.entry, condition) + flow(written.exit, join)
        return Written(text, fork, join)

    def start(self) -> None:
        super().start()
        for part in self.parts:
            part.start()

    def offered(self) -> list[str]:
        if self.is_over:
            return []
        return [name for part in self.parts if not part.is_over for name in part.offered()]

    def complete(self, name: str, decisions: Decisions) -> None:
        for part in self.parts:
            if not part.is_over and name in part.offered():
                part.complete(name, decisions)
        self.is_over = all(part.is_over for part in self.parts)


class Loop(Part):
    def __init__(self, body: Part, turns: int) -> None:
        self.body = body
        self.turns = turns
        self.left = turns
        self.variable = ""

    def write(self, names: Iterator[int]) -> Written:
        number = next(names)
        self.variable = f"again{number}"
        back, out, on = f"back{number}", f"out{number}", f"on{number}"
        written = self.body.write(names)
        text = (
            node("exclusiveGateway", back)
            + node("exclusiveGateway", out)
            + node("task", on)
            + written.text
            + flow(back, written.entry)
            + flow(written.exit, out)
            + flow(out, back, f"${{{self.variable}}}")
            + flow(out, on, f"${{!{self.variable}}}")
        )
        return Written(text, back, on)

    def start(self) -> None:
        super().start()
        self.left = self.turns
        self.body.start()

    def offered(self) -> list[str]:
        return [] if self.is_over else self.body.offered()

    def complete(self, name: str, decisions: Decisions) -> None:
        self.body.complete(name, decisions)
        if self.body.is_over:
            self.left -= 1
            decisions.again[self.variable] = self.left > 0
            if self.left:
                self.body.start()
            else:
                self.is_over = True


class Inside(Part):
    """A sub-process around a part."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def write(self, names: Iterator[int]) -> Written:
        sub = f"sub{next(names)}"
        written = self.part.write(names)
        inner = start(f"start_{sub}") + written.text + end(f"end_{sub}")
        inner += flow(f"start_{sub}", written.entry) + flow(written.exit, f"end_{sub}")
        return Written(node("subProcess", sub, inner), sub, sub)

    def start(self) -> None:
        super().start()
        self.part.start()

    def offered(self) -> list[str]:
        return [] if self.is_over else self.part.offered()

    def complete(self, name: str, decisions: Decisions) -> None:
        self.part.complete(name, decisions)
        self.is_over = self.part.is_over


def larger(parts: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    several = st.lists(parts, min_size=2, max_size=3)
    return st.one_of(
        st.builds(Sequence, several),
        st.builds(Branches, several, st.booleans()),
        st.builds(Loop, parts, st.integers(1, 3)),
        st.builds(Inside, parts),
    )


PARTS: st.SearchStrategy[Part] = st.recursive(st.builds(Work, st.booleans()), larger, max_leaves=8)


async def play(part: Part, choices: list[int]) -> None:
    stage = Stage()
    written = part.write(itertools.count(1))
    await stage.run(
        model(start(), written.text, end(), flow("s", written.entry), flow(written.exit, "e"))
    )
    part.start()
    for choice in choices:
        offered = sorted(part.offered())
        assert sorted(await stage.offered()) == offered
        assert (await stage.see()).state is InstanceState.ACTIVE
        chosen = offered[choice % len(offered)]
        decisions = Decisions()
        part.complete(chosen, decisions)
        await stage.work(chosen, **decisions.again)
        if part.is_over:
            break
    seen = await stage.see()
    assert (seen.state is InstanceState.COMPLETED) == part.is_over
    assert seen.incident_count == 0


@settings(max_examples=150, deadline=None)
@given(PARTS, st.lists(st.integers(0, 99), min_size=MOST_COMPLETIONS, max_size=MOST_COMPLETIONS))
def test_a_process_offers_what_it_should_and_ends_when_it_should(
    part: Part, choices: list[int]
) -> None:
    asyncio.run(play(part, choices))

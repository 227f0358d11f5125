"""Milliseconds for a turn of a conversation so and so long, and what is stored for each turn."""

import asyncio
import gc
import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks.entrants import Conversations, Entrant
from benchmarks.places import NewPlace
from benchmarks.readings import Reading

NEW = 1
"""A conversation's first turn, which also begins it."""
MOST_CONVERSATIONS = 10
TURNS_TO_FILL = 3000
"""In all conversations of one length, about: few long ones, more short ones."""


@dataclass(slots=True)
class Latency:
    """Milliseconds per turn by the conversation's length, for one entrant that reads in one way."""

    entrant: Entrant
    reading: Reading
    samples: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def median(self, length: int) -> float:
        """Give the middle of the samples."""
        return median(self.samples[length])

    def least(self, length: int) -> float:
        """Give the smallest of the samples, which other programs disturb least."""
        return min(self.samples[length])


@dataclass(slots=True)
class Stored:
    """Bytes by which the database grew for each turn that the longest conversations are of.

    Others were there before, so that what a database sets aside once is not counted.
    """

    entrant: Entrant
    bytes_per_turn: float


@dataclass(slots=True)
class Filled:
    """An open entrant with conversations of every length."""

    entrant: Entrant
    opened: Conversations
    conversations: dict[int, "itertools.cycle[str]"]
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def conversation(self, length: int) -> str:
        """Give the next conversation whose next turn is about its `length`th."""
        return f"new-{next(self.numbers)}" if length == NEW else next(self.conversations[length])


async def measure_latency(
    entrants: Sequence[Entrant], new_place: NewPlace, *, lengths: Sequence[int], samples: int
) -> tuple[list[Latency], list[Stored]]:
    """Fill everyone's conversations; then let everyone take single turns, by turns."""
    async with AsyncExitStack() as stack:
        filled, stored = [], []
        for entrant in entrants:
            place = await stack.enter_async_context(new_place())
            opened = await stack.enter_async_context(entrant.opens(place.address))
            conversations = names_by_length(lengths)
            await fill(opened, conversations, shorter(lengths))
            before = await place.stored_bytes()
            turns = await fill(opened, conversations, [max(lengths)])
            grown = await place.stored_bytes() - before
            stored.append(Stored(entrant, grown / turns))
            cycles = {length: itertools.cycle(names) for length, names in conversations.items()}
            filled.append(Filled(entrant, opened, cycles))
        measured = await sample(filled, lengths, samples)
    return measured, stored


def names_by_length(lengths: Sequence[int]) -> dict[int, list[str]]:
    """Name the conversations to be filled, by the turn that is to be measured."""
    return {
        length: [
            f"{length}-{number}"
            for number in range(max(1, min(MOST_CONVERSATIONS, TURNS_TO_FILL // length)))
        ]
        for length in lengths
        if length > NEW
    }


def shorter(lengths: Sequence[int]) -> list[int]:
    """Give all but the greatest."""
    return sorted(lengths)[:-1]


async def fill(
    opened: Conversations, conversations: dict[int, list[str]], lengths: Sequence[int]
) -> int:
    """Make conversations of these lengths, whose next turn is the one to measure; count turns."""
    names = [(name, length) for length in lengths for name in conversations.get(length, ())]
    await asyncio.gather(*(opened.fill(name, length - 1) for name, length in names))
    return sum(length - 1 for _, length in names)


async def sample(filled: Sequence[Filled], lengths: Sequence[int], samples: int) -> list[Latency]:
    """Take single turns: each of everyone's lengths once, and again; the first round not counted."""
    measured = {
        (one.entrant.name, reading): Latency(one.entrant, reading)
        for one in filled
        for reading in one.entrant.readings
    }
    gc.collect()
    for number in range(samples + 1):
        for one, length in itertools.product(filled, lengths):
            for reading in one.entrant.readings:
                milliseconds = await take(one, length, reading)
                if number:
                    measured[one.entrant.name, reading].samples[length].append(milliseconds)
    return list(measured.values())


async def take(one: Filled, length: int, reading: Reading) -> float:
    """Give the milliseconds of one turn."""
    conversation = one.conversation(length)
    begun_at = time.perf_counter()
    await one.opened.turn(conversation, reading)
    return (time.perf_counter() - begun_at) * 1000

"""A thread is given its memory back exactly once, whatever is lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.domain.errors import (
    BackendError,
    BackendUnavailable,
    ConversationBusy,
    OutcomeUnknown,
)
from dadm.domain.json import JsonObject
from dadm.domain.thread import ConversationId, GenerationState
from dadm.domain.transcript import Message, Role
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.backend import KeptMessage
from tests.unit.application.stage import LIMITS, Replica, Stage, settled

PATIENT = replace(LIMITS, patience_seconds=60.0)

RETIRED, LIVE = GenerationState.RETIRED, GenerationState.LIVE
TURNS = 35
"""Makes seventy messages: four chunks of twenty, the last one half full."""


class LosingAppends(ScriptedBackend):
    """Loses chosen appends, before or after they took effect; the caller never knows which.

    Attributes:
        lost: What becomes of each append that is coming, one after the other: `""` for nothing.
        late: What was lost before and may still arrive.
    """

    def __init__(self, answers: str = "To {}") -> None:
        super().__init__(lambda question: answers.format(question.prompt), keeps_conversations=True)
        self.lost: list[str] = []
        self.late: list[Callable[[], Any]] = []

    async def append(self, conversation_id: ConversationId, messages: Sequence[Message]) -> str:
        lost = self.lost.pop(0) if self.lost else ""
        if lost == "before":
            kept = self._conversations
            self.late.append(lambda: kept.append(conversation_id, messages))
            raise OutcomeUnknown
        last = await super().append(conversation_id, messages)
        if lost == "after":
            raise OutcomeUnknown
        return last


async def with_long_thread(stage: Stage, backend: ScriptedBackend, turns: int = TURNS) -> Replica:
    """Have a thread with many turns, whose conversation is gone."""
    stage.use(backend)
    replica = await stage.replica()
    for number in range(turns):
        await replica.ask(f"t{number}")
    backend.lose(backend.conversation_ids[0])
    return replica


async def transcript(stage: Stage) -> list[str]:
    """Give all texts that were asked and answered, in order."""
    thread = (await stage.thread()).ref
    turns = await stage.store.turns(thread, limit=10_000)
    return [text for turn in turns for text in (turn.prompt, turn.answer or "")]


async def held(stage: Stage) -> list[str]:
    """Give the texts in the live conversation."""
    thread_id = (await stage.thread()).thread_id
    return [message.text for message in await stage.kept(thread_id or "")]


async def test_chunk_whose_reply_was_lost_is_found_and_not_sent_again(keeping: Stage) -> None:
    backend = LosingAppends()
    replica = await with_long_thread(keeping, backend)
    backend.lost = ["", "after", "", "after"]

    answer = await replica.ask("last")

    assert (answer.change, answer.copied_messages) == (ThreadChange.REBUILT, 2 * TURNS)
    assert await held(keeping) == await transcript(keeping)
    assert await keeping.states() == [RETIRED, LIVE]
    assert keeping.called("append") == 4


async def test_chunk_that_may_still_arrive_is_left_behind_and_its_thread_heals_by_links(
    keeping: Stage,
) -> None:
    backend = LosingAppends()
    replica = await with_long_thread(keeping, backend)
    backend.lost = ["", "before"]

    answer = await replica.ask("last")
    for arrive in backend.late:
        arrive()

    assert answer.recommendation == "To What about last?"
    assert await held(keeping) == await transcript(keeping), "nothing arrived where we read"
    assert await keeping.states() == [RETIRED, RETIRED, LIVE], "the doubtful one is to be erased"


async def test_backend_without_links_is_begun_anew(keeping: Stage) -> None:
    backend = LosingAppends()
    backend.links_items = False
    replica = await with_long_thread(keeping, backend)
    backend.lost = ["", "before"]

    await replica.ask("last")

    assert await held(keeping) == await transcript(keeping)
    assert keeping.called("link") == 0


@pytest.mark.parametrize("error", [BackendUnavailable("HTTP 429"), ConversationBusy("Locked.")])
async def test_chunk_that_was_surely_not_taken_is_sent_again(
    keeping: Stage, error: BackendError
) -> None:
    backend = LosingAppends()
    replica = await with_long_thread(keeping, backend)
    for _ in range(3):
        # Tests of the application have no patience, and no pause is within it but these.
        backend.fail("append", error)
    replica = await keeping.replica(limits=PATIENT)

    answer = await replica.ask("last")

    assert answer.generation == 2
    assert await held(keeping) == await transcript(keeping)


async def test_conversation_in_which_somebody_writes_while_it_is_built_is_not_used(
    keeping: Stage,
) -> None:
    backend = LosingAppends()
    replica = await with_long_thread(keeping, backend)
    arrived, let_go = replica.store.hold_next("note_copied")
    asking = keeping.begin(replica.ask("last"))
    await arrived.wait()
    await backend.append(backend.conversation_ids[-1], [Message(role=Role.USER, text="Ha!")])
    let_go.set()

    await asking

    assert await held(keeping) == await transcript(keeping)


async def test_healing_interrupted_at_any_point_leaves_one_live_conversation(
    keeping: Stage,
) -> None:
    backend = LosingAppends()
    await with_long_thread(keeping, backend)
    for point in ("note_conversation", "note_copied", "make_live"):
        dying = await keeping.replica()
        arrived, _ = dying.store.hold_next(point)
        keeping.let_run(dying.ask("last"))
        await arrived.wait()
        await dying.crash()
        await asyncio.sleep(LIMITS.lease_seconds + 1)
    replica = await keeping.replica()

    answer = await replica.ask("last")

    assert await held(keeping) == await transcript(keeping)
    assert answer.recommendation == "To What about last?"
    states = await keeping.states()
    assert states.count(LIVE) == 1
    assert set(states) == {RETIRED, LIVE}, "everything begun is to be erased"


class TakingBlanks(LosingAppends):
    """Takes the blanks off the ends of what is appended, as some servers do."""

    async def append(self, conversation_id: ConversationId, messages: Sequence[Message]) -> str:
        taken = [replace(each, text=each.text.strip()) for each in messages]
        return await super().append(conversation_id, taken)


@pytest.mark.parametrize("lost", [[], ["after"], ["", "before"]], ids=["", "found", "linked"])
async def test_thread_heals_where_the_server_takes_blanks_off_the_ends(
    keeping: Stage, lost: list[str]
) -> None:
    backend = TakingBlanks("\nTo {}\n\n")
    replica = await with_long_thread(keeping, backend)
    backend.lost = lost

    answer = await replica.ask("last")

    assert (answer.change, answer.copied_messages) == (ThreadChange.REBUILT, 2 * TURNS)
    given = [text.strip() for text in await transcript(keeping)]
    assert [text.strip() for text in await held(keeping)] == given


class Faulty(ScriptedBackend):
    """Loses one request in ten: surely, before it took effect, or after."""

    def __init__(self, chance: Random) -> None:
        super().__init__("ok", keeps_conversations=True)
        self.chance = chance
        self.is_faulty = False
        self.struck = 0

    def strike(self) -> BackendError | None:
        if not self.is_faulty or self.chance.random() >= 0.1:
            return None
        self.struck += 1
        kinds: list[type[BackendError]] = [OutcomeUnknown, BackendUnavailable, ConversationBusy]
        return self.chance.choice(kinds)()

    async def open(self, *, labels: JsonObject) -> ConversationId:
        opened: ConversationId = await self._perhaps(super().open, labels=labels)
        return opened

    async def append(self, conversation_id: ConversationId, messages: Sequence[Message]) -> str:
        last: str = await self._perhaps(super().append, conversation_id, messages)
        return last

    async def link(self, conversation_id: ConversationId, item_ids: Sequence[str]) -> None:
        await self._perhaps(super().link, conversation_id, item_ids)

    def messages(
        self, conversation_id: ConversationId, *, after_item: str = ""
    ) -> AsyncIterator[KeptMessage]:
        fault = self.strike()
        if fault is not None:
            raise fault
        return super().messages(conversation_id, after_item=after_item)

    async def _perhaps(self, ask: Callable[..., Any], *given: Any, **named: Any) -> Any:
        fault = self.strike()
        if fault is not None and (
            not isinstance(fault, OutcomeUnknown) or self.chance.random() < 0.5
        ):
            raise fault
        result = await ask(*given, **named)
        if fault is not None:
            raise fault
        return result


@pytest.mark.parametrize("seed", range(5))
async def test_two_thousand_messages_heal_with_a_fault_in_one_request_of_ten(
    keeping: Stage, seed: int
) -> None:
    backend = Faulty(Random(seed))  # noqa: S311 - a test repeats what it drew
    await with_long_thread(keeping, backend, turns=1000)
    replica = await keeping.replica(limits=PATIENT)
    backend.is_faulty = True

    outcome: Any = None
    for _ in range(4):
        (outcome,) = await settled(replica.ask("last"))
        if not isinstance(outcome, BackendUnavailable | OutcomeUnknown):
            break

    assert outcome.copied_messages == 2000
    assert backend.struck > 5
    assert await held(keeping) == await transcript(keeping)

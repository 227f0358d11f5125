"""A turn's states over whatever callers do, in whatever order: only legal changes, at most one open."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dadm.adapters.stores.memory import MemoryStore
from dadm.domain.errors import RequestError, ThreadConflict
from dadm.domain.thread import NO_USAGE, BackendIdentity, ConversationId, GenerationReason
from dadm.domain.turn import LEGAL_CHANGES, AttemptRef, Refusal, Turn, TurnRef, TurnState
from dadm.ports.store_values import (
    AnswerSettlement,
    ClaimRequest,
    Granted,
    Lease,
    RefusalSettlement,
    Submission,
    Submitted,
    ThreadGranted,
)
from tests.builders import make_key, make_task
from tests.clocks import LoopClock, VirtualTimeLoop

Result = TypeVar("Result")

TASKS = st.sampled_from(["t1", "t2", "t3"])
LEASE_SECONDS = 30.0
TICKET_SECONDS = 60.0


def has_turns(machine: Any) -> bool:
    return bool(machine.seen)


class TurnStates(RuleBasedStateMachine):
    """Deliveries, decisions and lost leases at random, under any lease that was ever granted."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.store = MemoryStore(LoopClock())
        self.leases: list[Lease] = []
        self.seen: dict[str, Turn] = {}
        self.owners = 0

    def teardown(self) -> None:
        self.loop.close()

    def do(self, work: Coroutine[None, None, Result]) -> Result | None:
        """Call the store; an error it documents changes nothing, which `see` checks."""
        try:
            return self.loop.run_until_complete(work)
        except (RequestError, ThreadConflict):
            return None

    @initialize()
    def open_conversation(self) -> None:
        self.lease_thread()
        self.reopen()
        self.do(self.store.release(self.leases[-1]))

    @rule()
    def lease_thread(self) -> None:
        self.owners += 1
        granted = self.do(
            self.store.lease_thread(
                make_key(), owner=f"o{self.owners}", lease_seconds=LEASE_SECONDS
            )
        )
        if isinstance(granted, ThreadGranted):
            self.leases.append(granted.lease)

    @rule()
    def reopen(self) -> None:
        lease = self.leases[-1]
        building = self.do(
            self.store.note_conversation(
                lease.thread,
                identity=BackendIdentity(adapter="scripted"),
                conversation_id=ConversationId(f"conv_{self.loop.time()}_{self.owners}"),
                reason=GenerationReason.FENCED,
                opened_from=0,
                opened_to=0,
            )
        )
        if building is not None:
            self.do(self.store.make_live(lease, building.number))

    @rule(task=TASKS, can_submit=st.booleans(), content=st.sampled_from("ab"), strict=st.booleans())
    def claim(self, *, task: str, can_submit: bool, content: str, strict: bool) -> None:
        self.owners += 1
        request = ClaimRequest(
            thread=make_key(),
            turn=make_task(task).turn_key,
            content_digest=content,
            element_id="",
            process_definition="",
            owner=f"o{self.owners}",
            lease_seconds=LEASE_SECONDS,
            ticket_seconds=TICKET_SECONDS,
            refuse_other_content=strict,
            submission=self.submission() if can_submit else None,
        )
        claimed = self.do(self.store.claim(request))
        if isinstance(claimed, Granted | Submitted):
            self.leases.append(claimed.lease)

    @precondition(has_turns)
    @rule(held=st.data())
    def submit(self, held: st.DataObject) -> None:
        self.decide(held, lambda lease, turn: self.store.submit(lease, turn, self.submission()))

    @precondition(has_turns)
    @rule(held=st.data(), answer=st.sampled_from(["yes", "no"]), keep=st.booleans())
    def answer(self, *, held: st.DataObject, answer: str, keep: bool) -> None:
        settlement = AnswerSettlement(answer=answer, usage=NO_USAGE, last_item_id="")
        self.decide(
            held,
            lambda lease, turn: self.store.settle(lease, turn, settlement, keep_lease=keep),
        )

    @precondition(has_turns)
    @rule(held=st.data())
    def refuse(self, held: st.DataObject) -> None:
        settlement = RefusalSettlement(refusal=Refusal(code="refused", reason="No."))
        self.decide(held, lambda lease, turn: self.store.settle(lease, turn, settlement))

    @precondition(has_turns)
    @rule(held=st.data())
    def set_aside(self, held: st.DataObject) -> None:
        self.decide(
            held,
            lambda lease, turn: self.store.set_aside(
                lease, turn, error_code="unknown", error_message="?"
            ),
        )

    @precondition(has_turns)
    @rule(held=st.data(), keep=st.booleans())
    def replan(self, *, held: st.DataObject, keep: bool) -> None:
        self.decide(held, lambda lease, turn: self.replan_latest(lease, turn, keep=keep))

    async def replan_latest(self, lease: Lease, turn: TurnRef, *, keep: bool) -> None:
        attempts = await self.store.attempts(turn)
        latest = attempts[-1].ref if attempts else AttemptRef(0)
        await self.store.replan(
            lease, latest, error_code="lost", error_message="?", keep_lease=keep
        )

    @rule(task=TASKS)
    def report(self, task: str) -> None:
        self.do(self.store.mark_reported(make_task(task).turn_key))

    @rule(held=st.data())
    def release(self, held: st.DataObject) -> None:
        self.do(self.store.release(self.draw(held)))

    @rule(seconds=st.sampled_from([LEASE_SECONDS, TICKET_SECONDS, 1.0]))
    def wait(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @invariant()
    def only_legal_changes_happened_and_answers_stayed(self) -> None:
        for turn in self.turns():
            assert (turn.state is TurnState.COMPLETED) == (turn.answer is not None)
            before = self.seen.get(turn.key.task_id)
            self.seen[turn.key.task_id] = turn
            event(f"{before.state if before else 'none'} → {turn.state}")
            if before is None:
                assert turn.state in {TurnState.PLANNED, TurnState.SUBMITTED}
            elif before.state is TurnState.REFUSED and turn.state is TurnState.SUBMITTED:
                # One claim plans a released turn and submits it.
                assert before.is_reported
            elif before.state is not turn.state:
                assert turn.state in LEGAL_CHANGES[before.state]
            elif turn.state is TurnState.COMPLETED:
                assert replace(before, is_reported=turn.is_reported) == turn

    @invariant()
    def at_most_one_turn_is_open_and_sequences_are_unique(self) -> None:
        turns = self.turns()
        sequences = [turn.sequence for turn in turns if turn.sequence]
        assert sum(turn.state.is_open for turn in turns) <= 1
        assert len(set(sequences)) == len(sequences)
        assert all(turn.sequence for turn in turns if turn.state.is_open)
        open_turn = [turn.sequence for turn in turns if turn.state.is_open]
        assert not open_turn or open_turn[0] == max(sequences)

    def decide(self, held: st.DataObject, decision: Any) -> None:
        """Decide about a turn, rather the open one, under any late lease; a stale one is nothing."""
        before = self.turns()
        likely = [turn for turn in before if turn.state.is_open] * 3
        turn = held.draw(st.sampled_from(likely + before), label="turn")
        lease = self.draw(held)
        is_stale = not self.store._records.threads[lease.thread].stands(lease)
        self.do(decision(lease, turn.ref))
        if is_stale:
            assert self.turns() == before

    def draw(self, held: st.DataObject) -> Lease:
        # The latest first, as it is the one that most likely stands.
        return held.draw(st.sampled_from([self.leases[-1], *self.leases[:-4:-1]]), label="lease")

    def turns(self) -> list[Turn]:
        return [record.turn for record in self.store._records.turns.values()]

    def submission(self) -> Submission:
        (thread,) = self.store._records.threads.values()
        return Submission(
            prompt="?",
            assistant_version="v1",
            answer_schema=None,
            after_sequence=thread.turn_count,
            generation=thread.live,
        )


TestTurnStates = TurnStates.TestCase
TestTurnStates.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("state", list(TurnState))
def test_every_state_that_is_no_end_leads_to_an_end(state: TurnState) -> None:
    reached, frontier = {state}, {state}
    while frontier:
        frontier = {after for each in frontier for after in LEGAL_CHANGES[each]} - reached
        reached |= frontier

    assert any(each.is_settled for each in reached)

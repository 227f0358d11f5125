"""Mutants of the store's promises: leases, fences, tickets, one open turn, answers once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from dadm.adapters.stores.memory import claims
from dadm.adapters.stores.memory.claims import MemoryClaims
from dadm.adapters.stores.memory.endings import MemoryEndings
from dadm.adapters.stores.memory.erasures import MemoryErasures
from dadm.adapters.stores.memory.records import Records, ThreadRecord, TurnRecord
from dadm.application.lease_keeping import LeaseKeeper
from dadm.application.turns.held import TurnResult
from dadm.application.turns.held_endings import HeldEndings, result_of
from dadm.domain.turn import TurnState
from dadm.ports.backend import Answered
from dadm.ports.store_values import AnswerSettlement
from tests.simulation.mutants import Mutant, replaced


@contextmanager
def fence_not_checked() -> Iterator[None]:
    def change(_: Any) -> Any:
        return lambda records, lease: records.threads[lease.thread]

    with replaced(Records, "leased", change):
        yield


@contextmanager
def paused_writer_decides() -> Iterator[None]:
    def change(settle: Any) -> Any:
        async def settle_all_the_same(
            self: Any, lease: Any, turn: Any, *rest: Any, **more: Any
        ) -> Any:
            thread = self._records.threads[lease.thread]
            now = replace(lease, owner=thread.lease_owner, fence=thread.fence)
            return await settle(self, now, turn, *rest, **more)

        return settle_all_the_same

    with replaced(MemoryEndings, "settle", change):
        yield


@contextmanager
def lease_does_not_keep_others_out() -> Iterator[None]:
    with replaced(ThreadRecord, "held_by_another", lambda _: lambda *_: False):
        yield


@contextmanager
def released_in_a_finally_only() -> Iterator[None]:
    def run(_run: Any) -> Any:
        async def run_and_release(self: Any, lease: Any, *rest: Any, **more: Any) -> Any:
            try:
                return await _run(self, lease, *rest, **more)
            finally:
                await self._store.release(lease)

        return run_and_release

    def held(_: Any) -> Any:
        return lambda record, owner, _now: record.lease_owner not in {"", owner}

    with ExitStack() as both:
        both.enter_context(replaced(LeaseKeeper, "run", run))
        both.enter_context(replaced(ThreadRecord, "held_by_another", held))
        yield


@contextmanager
def ticket_skipped() -> Iterator[None]:
    with replaced(TurnRecord, "waits", lambda _: lambda *_: False):
        yield


@contextmanager
def ticket_never_dies() -> Iterator[None]:
    def change(_: Any) -> Any:
        return lambda record, _now: record.turn.state is TurnState.PLANNED

    with replaced(TurnRecord, "waits", change):
        yield


@contextmanager
def open_turn_passed_over() -> Iterator[None]:
    with ExitStack() as both:
        both.enter_context(replaced(ThreadRecord, "open_record", lambda _: lambda _self: None))
        both.enter_context(replaced(ThreadRecord, "open_turn", lambda _: lambda _self: None))
        yield


@contextmanager
def settled_in_two() -> Iterator[None]:
    async def note_last_item(store: Any, lease: Any, item: str) -> None:
        record = store._records.threads[lease.thread]
        live = record.live_generation()
        if live and record.stands(lease):
            store._records.set_generation(record, replace(live, last_item_id=item))
        record.free()

    def change(settle: Any) -> Any:
        async def settle_in_two(self: Any, held: Any, end: Any, begun_at: float) -> TurnResult:
            if not isinstance(end, Answered):
                result: TurnResult = await settle(self, held, end, begun_at)
                return result
            first = AnswerSettlement(answer=end.text, usage=end.usage, last_item_id="")
            turn = await self._store.settle(held.lease, held.turn.ref, first, keep_lease=True)
            await self._store.note_last_item(held.lease, end.last_item_id)
            return result_of(held, turn)

        return settle_in_two

    with replaced(HeldEndings, "settle", change):
        MemoryEndings.note_last_item = note_last_item  # type: ignore[attr-defined]
        try:
            yield
        finally:
            del MemoryEndings.note_last_item  # type: ignore[attr-defined]


@contextmanager
def recorded_answer_asked_again() -> Iterator[None]:
    def change(claim: Any) -> Any:
        async def claim_anew(self: Any, request: Any) -> Any:
            record = self._records.turn_by_key(request.turn)
            if record is not None and record.turn.state is TurnState.COMPLETED:
                self._release_again(self._records.threads[record.turn.thread], record)
            return await claim(self, request)

        return claim_anew

    with replaced(MemoryClaims, "claim", change):
        yield


@contextmanager
def refusal_repeated_after_a_release() -> Iterator[None]:
    def change(is_recorded: Any) -> Any:
        def is_settled(state: Any, turn: Any, *rest: Any, **more: Any) -> Any:
            return is_recorded(state, turn, *rest, **more) or turn.state is TurnState.REFUSED

        return is_settled

    with replaced(claims, "is_recorded", change):
        yield


@contextmanager
def runs_left_out_of_erasure() -> Iterator[None]:
    def change(_: Any) -> Any:
        async def none(_self: Any, _thread: Any) -> Any:
            return {}

        return none

    with replaced(MemoryErasures, "response_ids", change):
        yield


MUTANTS_OF_STORE = (
    Mutant(
        name="fence_not_checked",
        breaks="The store takes decisions under any lease, whoever was granted the thread since.",
        mutation=fence_not_checked,
    ),
    Mutant(
        name="paused_writer_decides",
        breaks="A writer that was paused over the end of its lease settles its turn all the same.",
        mutation=paused_writer_decides,
    ),
    Mutant(
        name="lease_does_not_keep_others_out",
        breaks="The thread is granted to whoever asks, while another still holds it.",
        mutation=lease_does_not_keep_others_out,
    ),
    Mutant(
        name="released_in_a_finally_only",
        breaks="Leases do not run out; their holder releases them in a `finally`.",
        mutation=released_in_a_finally_only,
    ),
    Mutant(
        name="ticket_skipped",
        breaks="Whoever asks first when a thread is free gets it, not who came first.",
        mutation=ticket_skipped,
    ),
    Mutant(
        name="ticket_never_dies",
        breaks="A ticket that nobody keeps alive any more still holds up the line.",
        mutation=ticket_never_dies,
    ),
    Mutant(
        name="open_turn_passed_over",
        breaks="The next turn is asked although another's outcome is not known yet.",
        mutation=open_turn_passed_over,
    ),
    Mutant(
        name="settled_in_two",
        breaks="The answer is recorded in one transaction, the last item and the release in another.",
        mutation=settled_in_two,
    ),
    Mutant(
        name="recorded_answer_asked_again",
        breaks="A task that comes again is asked again, although its answer is recorded.",
        mutation=recorded_answer_asked_again,
    ),
    Mutant(
        name="refusal_repeated_after_a_release",
        breaks="A refused task that a person released gets its old refusal again.",
        mutation=refusal_repeated_after_a_release,
    ),
    Mutant(
        name="runs_left_out_of_erasure",
        breaks="Erasing a thread deletes its conversations and leaves the runs it knows by name.",
        mutation=runs_left_out_of_erasure,
    ),
)

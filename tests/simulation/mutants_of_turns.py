"""Mutants of turn taking: looking, fencing, healing, and what a lost task lease means."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from dadm.application.conversations.conversation_filling import ConversationFilling
from dadm.application.conversations.conversation_opening import REUSED, ConversationOpening
from dadm.application.endings.thread_cleanup import ThreadCleanup
from dadm.application.orchestration.service_orchestrator import ServiceOrchestrator
from dadm.application.turns.conversing import Conversing
from dadm.application.turns.failed_attempts import FailedAttempts
from dadm.application.turns.recovery import Recovery
from dadm.domain.errors import BackendUnavailable, LeaseLost, OutcomeUnknown, TaskGone
from dadm.domain.thread import NO_USAGE, GenerationReason
from dadm.domain.transcript import Window
from dadm.ports.backend import Answered
from tests.simulation.mutants import Mutant, replaced

NOTHING = Window(exchanges=(), left_out=0)


@contextmanager
def inferred_instead_of_looked() -> Iterator[None]:
    def look(_: Any) -> Any:
        async def infer(self: Any, held: Any, backend: Any, error: Any, tries: Any) -> Any:
            not_taken = BackendUnavailable(error.message)
            return await self._try_later(held, backend, not_taken, tries)

        return infer

    def end(_: Any) -> Any:
        async def infer(self: Any, at: Any) -> Any:
            return await self._ask_again(at, "it was surely not taken")

        return infer

    with ExitStack() as both:
        both.enter_context(replaced(FailedAttempts, "_look", look))
        both.enter_context(replaced(Recovery, "_end", end))
        yield


@contextmanager
def item_before_forgotten() -> Iterator[None]:
    def change(end: Any) -> Any:
        async def end_from_the_start(
            self: Any, lease: Any, thread: Any, found: Any, **more: Any
        ) -> Any:
            found = replace(found, attempt=replace(found.attempt, item_before=""))
            return await end(self, lease, thread, found, **more)

        return end_from_the_start

    with replaced(Recovery, "end", change):
        yield


@contextmanager
def matched_by_text_alone() -> Iterator[None]:
    def change(by_looking: Any) -> Any:
        async def by_text(self: Any, at: Any, **more: Any) -> Any:
            for exchange in await self._store.exchanges(at.thread.ref):
                if exchange.prompt == at.found.turn.prompt:
                    found = Answered(text=exchange.answer, usage=NO_USAGE)
                    return await self._settle(at, found)
            return await by_looking(self, at, **more)

        return by_text

    with replaced(Recovery, "_by_looking", change):
        yield


@contextmanager
def fenced_into_nothing() -> Iterator[None]:
    def change(reopen: Any) -> Any:
        async def stay(self: Any, at: Any, reason: Any) -> Any:
            return REUSED if reason is GenerationReason.FENCED else await reopen(self, at, reason)

        return stay

    with replaced(Recovery, "_reopen", change):
        yield


@contextmanager
def any_not_found_believed() -> Iterator[None]:
    def change(_: Any) -> Any:
        async def believe(self: Any, held: Any, _backend: Any, error: Any, tries: Any) -> Any:
            tries.failed_by(error)
            return await self._reopen(held, GenerationReason.LOST, error)

        return believe

    with replaced(FailedAttempts, "_lost", change):
        yield


@contextmanager
def chunk_of_unknown_outcome_sent_again() -> Iterator[None]:
    def change(write: Any) -> Any:
        async def write_again(self: Any, backend: Any, *rest: Any) -> Any:
            return await write(self, _SendsAgain(backend), *rest)

        return write_again

    with replaced(ConversationFilling, "write", change):
        yield


class _SendsAgain:
    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def append(self, *args: Any) -> Any:
        try:
            return await self._backend.append(*args)
        except OutcomeUnknown:
            return await self._backend.append(*args)


@contextmanager
def healed_without_memory() -> Iterator[None]:
    def build(_build: Any) -> Any:
        async def build_empty(
            self: Any, lease: Any, thread: Any, backend: Any, _window: Any, reason: Any
        ) -> Any:
            return await _build(self, lease, thread, backend, NOTHING, reason)

        return build_empty

    with replaced(ConversationOpening, "_build", build):
        yield


@contextmanager
def live_before_it_is_complete() -> Iterator[None]:
    def build(_build: Any) -> Any:
        async def build_live(self: Any, lease: Any, *rest: Any) -> Any:
            self.mutant_lease = lease
            return await _build(self, lease, *rest)

        return build_live

    def fill(_fill: Any) -> Any:
        async def fill_live(self: Any, backend: Any, generation: Any, *rest: Any) -> Any:
            await self._store.make_live(self.mutant_lease, generation.number)
            return await _fill(self, backend, generation, *rest)

        return fill_live

    with ExitStack() as both:
        both.enter_context(replaced(ConversationOpening, "_build", build))
        both.enter_context(replaced(ConversationOpening, "_fill", fill))
        yield


@contextmanager
def history_not_shown() -> Iterator[None]:
    def change(question: Any) -> Any:
        async def question_alone(self: Any) -> Any:
            return replace(await question(self), history=NOTHING)

        return question_alone

    with replaced(Conversing, "_question", change):
        yield


@contextmanager
def model_cancelled_on_a_lost_task_lease() -> Iterator[None]:
    def change(keep_lease: Any) -> Any:
        async def keep_or_cancel(self: Any, *args: Any) -> Any:
            try:
                await keep_lease(self, *args)
            except LeaseLost as lost:
                raise TaskGone from lost

        return keep_or_cancel

    with replaced(ServiceOrchestrator, "_keep_lease", change):
        yield


@contextmanager
def end_forgotten_before_it_is_handled() -> Iterator[None]:
    def change(_: Any) -> Any:
        async def forget_first(self: Any) -> int:
            ended = await self._history.ended_instances(after=0, limit=10)
            if ended:
                await self._history.forget_ended(up_to=ended[-1].position)
            for instance in ended:
                await self._directory.close_scope(
                    engine=self._engine_id, tenant=instance.tenant, scope=instance.instance_id
                )
            return len(ended)

        return forget_first

    with replaced(ThreadCleanup, "close_ended", change):
        yield


MUTANTS_OF_TURNS = (
    Mutant(
        name="inferred_instead_of_looked",
        breaks="After no definite answer the turn is taken for not applied and asked again.",
        mutation=inferred_instead_of_looked,
    ),
    Mutant(
        name="item_before_forgotten",
        breaks="Looking starts at the conversation's beginning, not behind the last known item.",
        mutation=item_before_forgotten,
    ),
    Mutant(
        name="matched_by_text_alone",
        breaks="An earlier answer to the same words is taken for the one that is looked for.",
        mutation=matched_by_text_alone,
    ),
    Mutant(
        name="fenced_into_nothing",
        breaks="Where nothing is found, the turn is asked again in the same conversation.",
        mutation=fenced_into_nothing,
    ),
    Mutant(
        name="any_not_found_believed",
        breaks="A conversation is rebuilt on the first word of its loss, without asking again.",
        mutation=any_not_found_believed,
    ),
    Mutant(
        name="chunk_of_unknown_outcome_sent_again",
        breaks="Copies whose request had no definite answer are sent a second time.",
        mutation=chunk_of_unknown_outcome_sent_again,
    ),
    Mutant(
        name="healed_without_memory",
        breaks="A conversation that takes the place of another begins empty.",
        mutation=healed_without_memory,
    ),
    Mutant(
        name="live_before_it_is_complete",
        breaks="A conversation is made live before its copies are in it.",
        mutation=live_before_it_is_complete,
    ),
    Mutant(
        name="history_not_shown",
        breaks="A backend that keeps nothing is shown the question alone.",
        mutation=history_not_shown,
    ),
    Mutant(
        name="model_cancelled_on_a_lost_task_lease",
        breaks="The model's run is stopped when the task's lease is lost, not only when it is gone.",
        mutation=model_cancelled_on_a_lost_task_lease,
    ),
    Mutant(
        name="end_forgotten_before_it_is_handled",
        breaks="The end of an instance is struck off before its threads are closed.",
        mutation=end_forgotten_before_it_is_handled,
    ),
)

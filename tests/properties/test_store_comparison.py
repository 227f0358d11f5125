"""Whatever is done to them, durable stores answer as the memory store does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dadm.adapters.stores.memory import MemoryStore
from dadm.adapters.stores.postgres import PostgresStore, open_postgres
from dadm.adapters.stores.sqlite import SqliteStore, open_sqlite
from dadm.adapters.stores.tables import metadata
from dadm.adapters.system_clock import SystemClock
from dadm.domain.errors import DadmError
from dadm.domain.thread import ConversationId, GenerationReason, Thread, ThreadKey, Usage
from dadm.domain.turn import TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ErasureReport
from dadm.ports.jobs import JobKey
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import (
    AbandonSettlement,
    AnswerSettlement,
    Granted,
    Queued,
    Recorded,
    Settlement,
    Submission,
    Submitted,
    ThreadFilter,
    ThreadGranted,
)
from tests.contracts.stores import (
    AT_ONCE,
    HERE,
    LONG,
    refusal,
    request,
    submission,
    thread_key,
    turn_key,
)
from tests.properties.plain_values import PlainValues

Pair = tuple[Any, Any]
Opener = Callable[[], AbstractAsyncContextManager[ThreadStore]]
Do = Callable[[ThreadStore, int], Awaitable[Any]]

SCOPES = st.sampled_from(["p1", "p1", "p1", "p2"])
ASSISTANTS = st.sampled_from(["analyst", "analyst", "analyst", "critic"])
TASKS = st.sampled_from(["t1", "t2", "t3"])
OWNERS = st.sampled_from(["one", "two", "three"])
LASTING = st.sampled_from([LONG, AT_ONCE])
TEXTS = st.sampled_from(["", "short", "longer text", "é" * 30])
KEYS = st.builds(
    lambda scope, assistant: thread_key(scope=scope, assistant=assistant), SCOPES, ASSISTANTS
)
DELIVERIES = st.fixed_dictionaries(
    {
        "owner": OWNERS,
        "content": st.sampled_from(["same", "same", "same", "other"]),
        "element": st.sampled_from(["Task_1", "Task_1", "Task_1", "", "Task_2"]),
        "lease": LASTING,
        "ticket": LASTING,
        "strict": st.booleans(),
    }
)
COUNTS = st.integers(0, 3)
PICKS = st.sampled_from([0, 0, 0, 0, 1, 2, 5])
"""Which of those seen so far, counted back from the latest, which mostly fit each other."""
FLAGS = st.booleans()
USAGES = st.builds(Usage, input_tokens=COUNTS, output_tokens=COUNTS, cached_tokens=COUNTS)
SETTLEMENTS: st.SearchStrategy[Settlement] = st.one_of(
    st.builds(
        AnswerSettlement,
        answer=TEXTS,
        usage=USAGES,
        last_item_id=st.sampled_from(["", "item_1", "item_2"]),
        is_recovered=FLAGS,
    ),
    st.builds(refusal, usage=USAGES),
    st.builds(AbandonSettlement, reason=TEXTS),
)
REASONS = st.sampled_from(GenerationReason)
REPORTS = st.builds(
    ErasureReport,
    deleted_items=COUNTS,
    deleted_responses=COUNTS,
    unreachable=st.sampled_from([(), ("item_1",), ("é", "b\"'")]),
)
ACTIONS = st.sampled_from([AuditAction.CANCELLED, AuditAction.FOREIGN_ITEMS])


async def what_is_left(store: ThreadStore, _: int, *, seconds: float) -> list[Any]:
    """Give what waits to be cleared or parked, and which scopes are idle, without numbers."""
    keys = {thread.ref: thread.key for thread in await store.threads(ThreadFilter())}
    parked = await store.threads_to_park("embedded", idle_seconds=seconds)
    found = [
        tuple(each.ref for each in parked),
        await store.threads_to_clear([HERE], closed_seconds=seconds),
        await store.threads_to_clear([HERE], closed_seconds=seconds, with_cleared=True),
    ]
    idle = await store.idle_scopes("embedded", idle_seconds=seconds)
    return [*([keys[ref] for ref in refs] for refs in found), [scope.name for scope in idle]]


def claiming() -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a rule of claiming; the more rules there are of a kind, the likelier it is."""
    return rule(
        key=KEYS,
        task=TASKS,
        delivery=DELIVERIES,
        asks=st.tuples(TEXTS, st.sampled_from([0, 0, 0, 0, 1, None])),
    )


def ending() -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a rule of settling."""
    return rule(lease=PICKS, turn=PICKS, keeps=FLAGS, settlement=SETTLEMENTS)


Rule = TypeVar("Rule", bound=Callable[..., None])


def has(name: str) -> Callable[[Rule], Rule]:
    """Let a rule wait until there is something to apply it to."""

    def decorated(wrapped: Rule) -> Rule:
        waiting: Rule = precondition(lambda machine: bool(getattr(machine, name)))(wrapped)
        return waiting

    return decorated


class StoresCompared(RuleBasedStateMachine):
    """Does the same to two stores, and wants the same from both."""

    opener: Opener

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._opened = self.opener()
        other = self._runner.run(self._opened.__aenter__())
        self._stores: tuple[ThreadStore, ThreadStore] = (MemoryStore(SystemClock()), other)
        self._plain = (PlainValues(), PlainValues())
        self._conversations = 0
        self.threads: list[Pair] = []
        self.turns: list[Pair] = []
        self.leases: list[Pair] = []
        self.attempts: list[Pair] = []

    def teardown(self) -> None:
        try:
            self.compare_everything()
        finally:
            self._runner.run(self._opened.__aexit__(None, None, None))
            self._runner.close()

    def both(self, do: Do) -> Pair:
        """Do something to both stores, and compare what comes of it."""
        outcomes = [self._runner.run(self._outcome(do, at)) for at in (0, 1)]
        plain = [self._plain[at].of(outcomes[at]) for at in (0, 1)]
        assert plain[0] == plain[1]
        return outcomes[0], outcomes[1]

    async def _outcome(self, do: Do, at: int) -> Any:
        try:
            return await do(self._stores[at], at)
        except DadmError as error:
            return error

    def _remember(self, outcomes: Pair) -> None:
        """Keep what was given where later steps find it."""
        first = outcomes[0]
        if isinstance(first, Submitted):
            self._keep(self.attempts, outcomes, lambda given: given.attempt.ref)
        if isinstance(first, Granted | Submitted | ThreadGranted):
            self._keep(self.leases, outcomes, lambda given: given.lease)
            self._keep(self.threads, outcomes, lambda given: given.thread.ref)
        if isinstance(first, Granted | Submitted | Recorded):
            self._keep(self.turns, outcomes, lambda given: given.turn.ref)
        if isinstance(first, Queued):
            self._keep(self.turns, outcomes, lambda given: given.turn)

    def _keep(self, kept: list[Pair], given: Pair, part: Callable[[Any], Any]) -> None:
        pair = (part(given[0]), part(given[1]))
        if pair in kept:
            kept.remove(pair)
        kept.append(pair)

    @initialize()
    def begin(self) -> None:
        """Give a thread a live conversation, so that turns are taken from the start."""
        self.lease_thread("p1", "analyst", "beginner", LONG)
        self.open_conversation(0, 0)
        self.extend_or_release(0, None)

    def take(
        self,
        key: ThreadKey,
        task: str,
        delivery: dict[str, Any],
        asks: tuple[str, int | None],
    ) -> None:
        prompt, stale = asks
        turn = turn_key(task, scope=key.scope)
        standing = self.both(lambda store, _: store.look_up(key, turn))[0].thread
        given = request(
            thread=key,
            turn=turn,
            asks=None if stale is None else written(standing, prompt, stale),
            **delivery,
        )
        # Twice, as after an answer that was lost on the way.
        for _ in range(2):
            self._remember(self.both(lambda store, _: store.claim(given)))

    claim = claiming()(take)
    claim_more = claiming()(take)
    claim_most = claiming()(take)

    @rule(scope=SCOPES, assistant=ASSISTANTS, owner=OWNERS, seconds=LASTING)
    def lease_thread(self, scope: str, assistant: str, owner: str, seconds: float) -> None:
        key = thread_key(scope=scope, assistant=assistant)
        self._remember(
            self.both(lambda store, _: store.lease_thread(key, owner=owner, lease_seconds=seconds))
        )

    @has("leases")
    @rule(lease=PICKS, seconds=st.sampled_from([LONG, AT_ONCE, None]))
    def extend_or_release(self, lease: int, seconds: float | None) -> None:
        held = picked(self.leases, lease)
        if seconds is None:
            self.both(lambda store, at: store.release(held[at]))
        else:
            self.both(lambda store, at: store.extend(held[at], lease_seconds=seconds))

    @has("turns")
    @has("leases")
    @rule(lease=PICKS, turn=PICKS, stale=st.sampled_from([0, 0, 0, 1]), prompt=TEXTS)
    def submit(self, lease: int, turn: int, stale: int, prompt: str) -> None:
        held, asked = picked(self.leases, lease), picked(self.turns, turn)
        known = self.both(lambda store, _: store.threads(ThreadFilter()))[0]
        thread = next(found for found in known if found.ref == held[0].thread)
        asks = written(thread, prompt, stale)
        self._remember(self.both(lambda store, at: store.submit(held[at], asked[at], asks)))

    @has("attempts")
    @rule(attempt=PICKS, response=st.sampled_from(["resp_1", "resp_2"]))
    def note_response(self, attempt: int, response: str) -> None:
        noted = picked(self.attempts, attempt)
        self.both(lambda store, at: store.note_response(noted[at], response))

    def end(self, lease: int, turn: int, keeps: bool, settlement: Settlement) -> None:
        held, asked = picked(self.leases, lease), picked(self.turns, turn)
        for _ in range(2):
            self.both(
                lambda store, at: store.settle(held[at], asked[at], settlement, keep_lease=keeps)
            )

    @has("turns")
    @has("leases")
    @rule(lease=PICKS, turn=PICKS)
    def set_aside(self, lease: int, turn: int) -> None:
        held, asked = picked(self.leases, lease), picked(self.turns, turn)
        for _ in range(2):
            self.both(
                lambda store, at: store.set_aside(
                    held[at], asked[at], error_code="lost", error_message="No answer."
                )
            )

    settle = has("turns")(has("leases")(ending()(end)))
    settle_more = has("turns")(has("leases")(ending()(end)))

    @has("attempts")
    @has("leases")
    @rule(lease=PICKS, attempt=PICKS, keeps=FLAGS)
    def replan(self, lease: int, attempt: int, keeps: bool) -> None:
        held, asked = picked(self.leases, lease), picked(self.attempts, attempt)
        for _ in range(2):
            self.both(
                lambda store, at: store.replan(
                    held[at],
                    asked[at],
                    error_code="busy",
                    error_message="429",
                    keep_lease=keeps,
                )
            )

    @rule(scope=SCOPES, task=TASKS, closes=st.sampled_from([False] * 9 + [True]))
    def report_or_close(self, scope: str, task: str, closes: bool) -> None:
        self.both(lambda store, _: store.mark_reported(turn_key(task, scope=scope)))
        if closes:
            self.both(
                lambda store, _: store.close_scope(
                    engine="embedded", tenant="", scope=scope, reason="completed"
                )
            )

    @has("leases")
    @rule(lease=PICKS, report=REPORTS, parks=FLAGS)
    def clear_or_park(self, lease: int, report: ErasureReport, parks: bool) -> None:
        held = picked(self.leases, lease)
        if parks:
            self.both(lambda store, at: store.park(held[at]))
            return
        for known in self.both(lambda store, at: store.generations(held[at].thread))[0]:
            number: int = known.number
            self.both(lambda store, at: store.retire(held[at], number))  # noqa: B023 - done at once
            self.note_erased(lease, number, report)
        for _ in range(2):
            self.both(lambda store, at: store.note_cleared(held[at]))

    @rule(
        owner=OWNERS,
        seconds=LASTING,
        position=COUNTS,
        step=st.sampled_from(["take", "note", "leave"]),
    )
    def do_a_job(self, owner: str, seconds: float, position: int, step: str) -> None:
        job = JobKey(name="ends")
        if step == "take":
            self.both(lambda store, _: store.take_job(job, owner=owner, lease_seconds=seconds))
        elif step == "note":
            self.both(lambda store, _: store.note_job(job, owner=owner, position=position))
        else:
            self.both(lambda store, _: store.leave_job(job, owner=owner, rest_seconds=seconds))

    @has("turns")
    @rule(turn=PICKS, seconds=st.sampled_from([LONG, AT_ONCE, None]))
    def keep_or_drop_ticket(self, turn: int, seconds: float | None) -> None:
        pair = picked(self.turns, turn)
        if seconds is None:
            self.both(lambda store, at: store.drop_ticket(pair[at]))
        else:
            self.both(lambda store, at: store.keep_tickets([pair[at]], ticket_seconds=seconds))

    @has("threads")
    @rule(thread=PICKS, owner=OWNERS, seconds=LASTING)
    def lease_known_thread(self, thread: int, owner: str, seconds: float) -> None:
        pair = picked(self.threads, thread)
        self._remember(
            self.both(
                lambda store, at: store.lease_known_thread(
                    pair[at], owner=owner, lease_seconds=seconds
                )
            )
        )

    @has("threads")
    @rule(thread=PICKS, about=st.none() | PICKS, action=ACTIONS, detail=TEXTS)
    def note(self, thread: int, about: int | None, action: AuditAction, detail: str) -> None:
        pair = picked(self.threads, thread)
        turn = (None, None) if about is None or not self.turns else picked(self.turns, about)
        self.both(lambda store, at: store.note(pair[at], turn[at], action, detail=detail))

    @has("leases")
    @rule(lease=PICKS, report=REPORTS, steps=st.sampled_from([1, 2, 3, 3]))
    def erase(self, lease: int, report: ErasureReport, steps: int) -> None:
        """Erase a thread, or as much of it as is done before the eraser dies."""
        held = picked(self.leases, lease)
        for _ in range(2):
            self.both(lambda store, at: store.begin_erasure(held[at]))
        self.both(lambda store, at: store.response_ids(held[at].thread))
        if steps > 1:
            known = self.both(lambda store, at: store.generations(held[at].thread))[0]
            for generation in known[: None if steps > 2 else 1]:
                self.note_erased(lease, generation.number, report)
            for _ in range(2):
                self.both(lambda store, at: store.finish_erasure(held[at]))
            self.both(lambda store, at: store.receipt(held[at].thread))

    @has("leases")
    @rule(lease=PICKS, number=COUNTS, report=REPORTS)
    def note_erased(self, lease: int, number: int, report: ErasureReport) -> None:
        thread = picked(self.leases, lease)
        self.both(lambda store, at: store.note_erased(thread[at].thread, number, report))

    @has("leases")
    @rule(lease=PICKS, copied=COUNTS, reason=REASONS)
    def open_conversation(
        self, lease: int, copied: int, reason: GenerationReason = GenerationReason.FIRST
    ) -> None:
        held = picked(self.leases, lease)
        self._conversations += 1
        name = ConversationId(f"conv_{self._conversations}")
        opened = self.both(
            lambda store, at: store.note_conversation(
                held[at].thread,
                identity=HERE,
                conversation_id=name,
                reason=reason,
                opened_from=copied and 1,
                opened_to=copied,
            )
        )
        number = opened[0].number
        self.both(
            lambda store, at: store.note_copied(
                held[at].thread, number, copied_messages=copied, last_item_id=f"item_{copied}"
            )
        )
        self.both(lambda store, at: store.make_live(held[at], number))

    @has("leases")
    @rule(lease=PICKS, number=COUNTS, goes_live=FLAGS)
    def change_conversation(self, lease: int, number: int, goes_live: bool) -> None:
        held = picked(self.leases, lease)
        if goes_live:
            self.both(lambda store, at: store.make_live(held[at], number))
        else:
            self.both(lambda store, at: store.retire(held[at], number))

    @has("threads")
    @rule(thread=PICKS, characters=st.integers(0, 120), after=COUNTS)
    def read(self, thread: int, characters: int, after: int) -> None:
        pair = picked(self.threads, thread)
        self.both(lambda store, at: store.window(pair[at], characters=characters))
        self.both(lambda store, at: store.exchanges(pair[at], after_sequence=after, limit=2))
        self.both(lambda store, at: store.turns(pair[at], after_sequence=after, limit=2))

    def compare_everything(self) -> None:
        self.both(lambda store, _: store.threads(ThreadFilter()))
        self.both(lambda store, _: store.statistics())
        self.both(lambda store, _: store.retired([HERE], retired_seconds=AT_ONCE))
        self.both(lambda store, _: store.retired([HERE], retired_seconds=LONG))
        self.both(lambda store, _: store.count_lost(HERE, within_seconds=LONG))
        self.both(lambda store, _: store.open_turns_of_closed())
        for seconds in (LONG, AT_ONCE):
            self.both(partial(what_is_left, seconds=seconds))
        for thread in self.threads:
            self.compare_thread(thread)
        for turn in self.turns:
            self.compare_turn(turn)
        for number in range(1, self._conversations + 1):
            self.compare_conversation(f"conv_{number}")

    def compare_thread(self, thread: Pair) -> None:
        self.both(lambda store, at: store.turns(thread[at]))
        self.both(lambda store, at: store.turns_in(list(TurnState), thread=thread[at]))
        self.both(lambda store, at: store.generations(thread[at]))
        self.both(lambda store, at: store.exchanges(thread[at]))
        self.both(lambda store, at: store.window(thread[at], characters=15))
        self.both(lambda store, at: store.audit(thread[at]))
        self.both(lambda store, at: store.receipt(thread[at]))
        self.both(lambda store, at: store.response_ids(thread[at]))

    def compare_turn(self, turn: Pair) -> None:
        self.both(lambda store, at: store.find_turn(turn[at]))
        self.both(lambda store, at: store.attempts(turn[at]))

    def compare_conversation(self, name: str) -> None:
        self.both(lambda store, _: store.find_thread(name))


def picked(seen: list[Pair], number: int) -> Pair:
    """Choose one of those seen, 0 for the latest."""
    return seen[-1 - number % len(seen)]


def written(thread: Thread | None, prompt: str, stale: int) -> Submission:
    """Write down what would be asked on a thread as it stands, or was a while ago."""
    return submission(
        prompt,
        after=(thread.turn_count if thread else 0) + stale,
        generation=thread.live.number if thread and thread.live else 0,
        shown={"variable": prompt[:3]} if prompt else {},
    )


def compare(open_empty: Opener, examples: int) -> None:
    class Compared(StoresCompared):
        opener = staticmethod(open_empty)

    run_state_machine_as_test(
        Compared,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_sqlite_answers_as_memory_does(sqlite_template: Path, tmp_path: Path) -> None:
    @asynccontextmanager
    async def open_empty() -> AsyncIterator[ThreadStore]:
        async with open_sqlite(copyfile(sqlite_template, tmp_path / "dadm.db")) as database:
            yield SqliteStore(database)

    compare(open_empty, examples=80)


@pytest.mark.postgres
def test_postgres_answers_as_memory_does(postgres_url: str) -> None:
    @asynccontextmanager
    async def open_empty() -> AsyncIterator[ThreadStore]:
        async with open_postgres(postgres_url, connections=1) as database:
            for table in reversed(metadata.sorted_tables):
                await database.execute(f"DELETE FROM {table.name}")  # noqa: S608
            yield PostgresStore(database)

    compare(open_empty, examples=40)

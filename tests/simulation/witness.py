"""Witness: reads the store by its public methods while a run goes on, and notes what it saw."""

from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dadm.adapters.stores.memory import MemoryStore
from dadm.domain.thread import ConversationId, Generation, Thread, ThreadKey, ThreadRef
from dadm.domain.transcript import Exchange
from dadm.domain.turn import Turn, TurnKey, TurnState
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.store_values import Submitted, ThreadFilter, ThreadGranted
from tests.simulation.scheduler import SimulatedLoop

T = TypeVar("T")

DECISIONS = frozenset({"claim", "submit", "settle", "replan", "set_aside"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadSeen:
    """All that the store tells of a thread: its turns by sequence, its conversations by number."""

    thread: Thread
    turns: Sequence[Turn]
    exchanges: Sequence[Exchange]
    generations: Sequence[Generation]
    receipt: ErasureReceipt | None

    @property
    def marker_key(self) -> tuple[str, str]:
        """Scope and assistant."""
        return self.thread.key.scope, self.thread.key.assistant


class Witness:
    """Sees what the store says, at once and without the network."""

    def __init__(self, store: MemoryStore, loop: SimulatedLoop, *, engine_id: str) -> None:
        """Watch `store`."""
        self._store = store
        self._loop = loop
        self._engine_id = engine_id
        self.arrived_at: dict[str, float] = {}
        """When the first claim of a task took effect."""
        self.leased_at: dict[ThreadRef, float] = {}
        """When a thread was first leased without a task."""
        self.submitted_at: dict[str, list[float]] = defaultdict(list)
        """When a task's turn was submitted, each time."""
        self.answers: dict[str, list[str]] = defaultdict(list)
        """The answers that the store told of a task: one, and one more where its thread was erased
        and the task came again, since an erasure frees its key."""
        self.changed_answers: list[str] = []
        self.went_live: set[ConversationId] = set()
        """The conversations that were the live ones of their threads at some time."""
        self.first_answers: dict[tuple[ThreadRef, str], str] = {}
        """The first answer that the store told of a task on a thread."""

    def after_store_call(self, method: str, about: str, result: Any) -> None:
        """Note what has just taken effect in the store."""
        if method == "claim":
            self.arrived_at.setdefault(about, self._loop.time())
        if isinstance(result, ThreadGranted):
            self.leased_at.setdefault(result.thread.ref, self._loop.time())
        if isinstance(result, Submitted):
            times = self.submitted_at[result.turn.key.task_id]
            times.append(self._loop.time())
        if method == "make_live":
            self.went_live.update(
                thread.live.conversation_id
                for thread in at_once(self._store.threads(ThreadFilter(limit=1000)))
                if thread.live is not None
            )
        if method in DECISIONS:
            self._compare_answers()

    def tells_live(self, conversation_id: str, task: str) -> tuple[bool, bool]:
        """Say whether a conversation is its thread's live one, and a task's turn is completed."""
        thread = at_once(self._store.find_thread(conversation_id))
        if thread is None:
            return False, False
        key = TurnKey(engine=self._engine_id, tenant="", scope=thread.key.scope, task_id=task)
        turn = at_once(self._store.look_up(thread.key, key)).turn
        is_live = thread.thread_id == conversation_id
        return is_live, turn is not None and turn.state is TurnState.COMPLETED

    def turn_of(self, scope: str, assistant: str, task: str) -> Turn | None:
        """Find a task's turn."""
        thread = ThreadKey(engine=self._engine_id, tenant="", scope=scope, assistant=assistant)
        turn = TurnKey(engine=self._engine_id, tenant="", scope=scope, task_id=task)
        return at_once(self._store.look_up(thread, turn)).turn

    def threads(self) -> list[ThreadSeen]:
        """Read all threads, oldest first."""
        found = at_once(self._store.threads(ThreadFilter(limit=1000)))
        return [
            ThreadSeen(
                thread=thread,
                turns=at_once(self._store.turns(thread.ref, limit=1000)),
                exchanges=at_once(self._store.exchanges(thread.ref, limit=1000)),
                generations=at_once(self._store.generations(thread.ref)),
                receipt=at_once(self._store.receipt(thread.ref)),
            )
            for thread in reversed(found)
        ]

    def _compare_answers(self) -> None:
        for thread in at_once(self._store.threads(ThreadFilter(limit=1000))):
            for turn in at_once(self._store.turns(thread.ref, limit=1000)):
                if turn.state is TurnState.COMPLETED and turn.answer is not None:
                    self._compare(thread.ref, turn.key.task_id, turn.answer)

    def _compare(self, thread: ThreadRef, task: str, answer: str) -> None:
        if (thread, task) not in self.first_answers:
            self.answers[task].append(answer)
        first = self.first_answers.setdefault((thread, task), answer)
        if first != answer:
            self.changed_answers.append(f"{task}: first {first!r}, then {answer!r}")


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Give what a coroutine that never waits returns."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a StopIteration holds Any
    message = "the store waited for something"
    raise AssertionError(message)

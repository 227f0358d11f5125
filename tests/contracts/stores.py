"""What the contract suite of stores asks for: a store of each kind, and short ways to say what is claimed."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from dadm.domain.thread import (
    NO_USAGE,
    BackendIdentity,
    ConversationId,
    Generation,
    GenerationReason,
    Thread,
    ThreadKey,
    ThreadRef,
    ThreadState,
    Usage,
)
from dadm.domain.turn import Refusal, Turn, TurnKey, TurnRef
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ErasureReport
from dadm.ports.erasures import ErasureReceipt
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import (
    AnswerSettlement,
    Claim,
    ClaimRequest,
    Granted,
    Lease,
    RefusalSettlement,
    Submission,
    Submitted,
    ThreadGranted,
)

HERE = BackendIdentity(adapter="scripted", address="http://127.0.0.1:1/v1", account="a|b")
ELSEWHERE = BackendIdentity(adapter="scripted", address="", account="other")
NOTHING_DELETED = ErasureReport(deleted_items=0, deleted_responses=0)
LONG = 3600.0
AT_ONCE = 0.0
"""A lease or ticket of that many seconds has run out when the next call looks at it."""


def thread_key(
    *, scope: str = "p1", assistant: str = "analyst", engine: str = "embedded", tenant: str = ""
) -> ThreadKey:
    return ThreadKey(engine=engine, tenant=tenant, scope=scope, assistant=assistant)


def turn_key(
    task: str = "t1", *, scope: str = "p1", engine: str = "embedded", tenant: str = ""
) -> TurnKey:
    return TurnKey(engine=engine, tenant=tenant, scope=scope, task_id=task)


def submission(
    prompt: str = "What now?",
    *,
    after: int = 0,
    generation: int = 1,
    shown: dict[str, str] | None = None,
    schema: dict[str, str] | None = None,
) -> Submission:
    return Submission(
        prompt=prompt,
        assistant_version="v1",
        answer_schema=schema,
        after_sequence=after,
        generation=generation,
        shown=shown or {},
    )


def request(
    task: str = "t1",
    *,
    owner: str = "",
    thread: ThreadKey | None = None,
    turn: TurnKey | None = None,
    content: str = "content",
    element: str = "Task_1",
    definition: str = "decision:1",
    lease: float = LONG,
    ticket: float = LONG,
    strict: bool = False,
    asks: Submission | None = None,
) -> ClaimRequest:
    """Say what one delivery claims; the owner is named after the task unless given."""
    return ClaimRequest(
        thread=thread or thread_key(),
        turn=turn or turn_key(task),
        content_digest=content,
        element_id=element,
        process_definition=definition,
        owner=owner or f"owner of {task}",
        lease_seconds=lease,
        ticket_seconds=ticket,
        refuse_other_content=strict,
        submission=asks,
    )


def answer(
    text: str = "This.", *, last_item: str = "", usage: Usage = NO_USAGE, recovered: bool = False
) -> AnswerSettlement:
    return AnswerSettlement(
        answer=text, usage=usage, last_item_id=last_item, is_recovered=recovered
    )


def refusal(code: str = "backend_refused", *, usage: Usage = NO_USAGE) -> RefusalSettlement:
    return RefusalSettlement(refusal=Refusal(code=code, reason="Not this."), usage=usage)


def granted(claim: Claim) -> Granted:
    assert isinstance(claim, Granted)
    return claim


def submitted(claim: Claim) -> Submitted:
    assert isinstance(claim, Submitted)
    return claim


@dataclass
class StoreUnderTest:
    """One store, and what a test must be able to do behind its back.

    `put` sets a thread's state, for those that only later parts of the product reach.
    """

    store: ThreadStore
    put: Callable[[ThreadRef, ThreadState], Awaitable[None]]
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def lease(
        self, key: ThreadKey | None = None, *, owner: str = "somebody", seconds: float = LONG
    ) -> ThreadGranted:
        taken = await self.store.lease_thread(
            key or thread_key(), owner=owner, lease_seconds=seconds
        )
        assert isinstance(taken, ThreadGranted)
        return taken

    async def converse(
        self,
        lease: Lease,
        conversation: str = "",
        *,
        identity: BackendIdentity = HERE,
        reason: GenerationReason = GenerationReason.FIRST,
    ) -> Generation:
        """Open a conversation for a leased thread, and make it the live one."""
        generation = await self.note_conversation(
            lease, conversation, identity=identity, reason=reason
        )
        return await self.store.make_live(lease, generation.number)

    async def note_conversation(
        self,
        lease: Lease,
        conversation: str = "",
        *,
        identity: BackendIdentity = HERE,
        reason: GenerationReason = GenerationReason.FIRST,
    ) -> Generation:
        """Open a conversation for a thread."""
        return await self.store.note_conversation(
            lease.thread,
            identity=identity,
            conversation_id=ConversationId(conversation or f"conv_{next(self.numbers)}"),
            reason=reason,
            opened_from=0,
            opened_to=0,
        )

    async def ready(self, key: ThreadKey | None = None, conversation: str = "") -> Thread:
        """Give a thread that has a live conversation and is free."""
        taken = await self.lease(key)
        await self.converse(taken.lease, conversation)
        await self.store.release(taken.lease)
        return await self.thread(key)

    async def thread(self, key: ThreadKey | None = None) -> Thread:
        standing = await self.store.look_up(key or thread_key(), turn_key("nobody's"))
        assert standing.thread is not None
        return standing.thread

    async def turn(self, ref: TurnRef) -> Turn:
        turn = await self.store.find_turn(ref)
        assert turn is not None
        return turn

    async def submit(
        self,
        task: str = "t1",
        *,
        key: ThreadKey | None = None,
        prompt: str = "",
        shown: dict[str, str] | None = None,
    ) -> Submitted:
        """Claim a ready thread for a task, and submit its turn in the same step."""
        standing = await self.thread(key)
        assert standing.live is not None
        asks = submission(
            prompt or f"{task}?",
            after=standing.turn_count,
            generation=standing.live.number,
            shown=shown,
        )
        scope = (key or thread_key()).scope
        return submitted(
            await self.store.claim(
                request(task, thread=key, turn=turn_key(task, scope=scope), asks=asks)
            )
        )

    async def ask(self, task: str, asks: Submission) -> Submitted:
        """Claim the thread for a task, and submit in the same step what is given."""
        return submitted(await self.store.claim(request(task, asks=asks)))

    async def erase(self, lease: Lease) -> ErasureReceipt:
        """Erase a leased thread whose conversations are gone at their backends."""
        await self.store.begin_erasure(lease)
        for generation in await self.store.generations(lease.thread):
            await self.store.note_erased(lease.thread, generation.number, NOTHING_DELETED)
        return await self.store.finish_erasure(lease)

    async def trail(self, thread: ThreadRef) -> list[tuple[AuditAction, str]]:
        """Give what a thread's audit rows are about, and their details."""
        return [(row.action, row.detail) for row in await self.store.audit(thread)]

    async def complete(
        self, task: str = "t1", *, key: ThreadKey | None = None, prompt: str = "", text: str = ""
    ) -> Turn:
        """Take a whole turn."""
        taken = await self.submit(task, key=key, prompt=prompt)
        return await self.store.settle(taken.lease, taken.turn.ref, answer(text or f"{task}!"))

    async def usurp(self, lease: Lease, key: ThreadKey | None = None) -> Lease:
        """Let the lease run out, and grant the thread to somebody else."""
        assert await self.store.extend(lease, lease_seconds=AT_ONCE)
        return (await self.lease(key, owner="usurper")).lease

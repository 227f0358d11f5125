"""ThreadVerifying: says whether a transcript is whole and its conversation holds the same."""

from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dadm.application.care.conversation_comparing import ConversationComparing
from dadm.application.care.conversation_content import wanted_messages
from dadm.application.care.findings import Finding, FindingKind
from dadm.application.care.thread_rebuilding import NotRebuilt, Rebuilt, ThreadRebuilding
from dadm.application.care.transcript_check import TranscriptCheck
from dadm.application.thread_holding import ThreadBusy, ThreadHolding
from dadm.application.world import World
from dadm.domain.errors import BackendError, ConversationLost, ThreadConflict, ThreadErased
from dadm.domain.thread import Generation, GenerationReason, Thread, ThreadRef, ThreadState
from dadm.domain.turn import Turn, TurnRef
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ConversationBackend
from dadm.ports.store_values import OpenTurn, ThreadFilter, ThreadGranted

PAGE = 100

READ_AT_MOST = 10
"""How often a thread is read to its end before it is said to be busy."""


class RemoteCheck(StrEnum):
    """How far the remote conversation was looked at."""

    NOT_ASKED = "not_asked"
    COMPARED = "compared"
    NOT_COMPARED = "not_compared"
    """It was not reached, or the thread was busy; a finding says so."""
    NO_CONVERSATION = "no_conversation"
    KEEPS_NOTHING = "keeps_nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What verifying a thread found, and what was done about it.

    `turns` were read here, `messages` agreed with the conversation. `open_turn` waits for its end
    on the thread. `not_rebuilt` says why a repair that was asked for did not happen.
    """

    thread: Thread
    turns: int
    findings: tuple[Finding, ...]
    remote: RemoteCheck = RemoteCheck.NOT_ASKED
    messages: int = 0
    open_turn: Turn | None = None
    rebuilt: Rebuilt | None = None
    not_rebuilt: str = ""

    @property
    def unmended(self) -> tuple[Finding, ...]:
        """Give what is still wrong, or still unsure."""
        if self.rebuilt is None:
            return self.findings
        return tuple(each for each in self.findings if not each.kind.is_drift)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remote:
    check: RemoteCheck
    findings: tuple[Finding, ...] = ()
    messages: int = 0
    open_turn: Turn | None = None
    rebuilt: Rebuilt | None = None
    not_rebuilt: str = ""


@dataclass(slots=True, kw_only=True)
class _Local:
    thread: Thread
    check: TranscriptCheck = field(default_factory=TranscriptCheck)
    last: Turn | None = None
    """The turn with the highest number, which alone may change while it is looked at."""


class ThreadVerifying:
    """Verifies one thread at a time, in little memory however long it is.

    The transcript is read without a lease, until nothing changed while it was read; so a turn in
    flight is neither disturbed nor taken for damage. The conversation is compared under the
    thread's lease, so that no turn is in flight meanwhile.
    """

    def __init__(self, world: World, holding: ThreadHolding, rebuilding: ThreadRebuilding) -> None:
        """Read in the world's store and at its backends; mend by `rebuilding`."""
        self._store = world.store
        self._backends = world.backends
        self._holding = holding
        self._rebuilding = rebuilding

    async def verify(
        self, thread: Thread, *, is_remote: bool = False, is_repaired: bool = False
    ) -> Verification:
        """Verify the transcript, and the conversation if `is_remote`.

        If `is_repaired`, a conversation that is lost or drifted is rebuilt from the transcript;
        not from one that is damaged itself, which is only told.

        Raises:
            ThreadErased: The thread is being erased, or has been.
            StoreError: The store did not take part.
        """
        local = await self._verify_transcript(thread)
        found = tuple(local.check.findings)
        told = Verification(thread=local.thread, turns=local.check.turn_count, findings=found)
        if local.last is not None and local.last.state.is_open:
            told = replace(told, open_turn=local.last)
        if not is_remote:
            return told
        is_damaged = any(not each.kind.is_unsure for each in found)
        remote = await self._verify_conversation(thread.ref, is_repaired=is_repaired and not found)
        not_rebuilt = remote.not_rebuilt
        if is_repaired and is_damaged and any(each.kind.is_drift for each in remote.findings):
            not_rebuilt = "The transcript itself is damaged, so nothing is rebuilt from it."
        return replace(
            told,
            findings=(*found, *remote.findings),
            remote=remote.check,
            messages=remote.messages,
            open_turn=told.open_turn or remote.open_turn,
            rebuilt=remote.rebuilt,
            not_rebuilt=not_rebuilt,
        )

    # Here

    async def _verify_transcript(self, thread: Thread) -> _Local:
        local = _Local(thread=await self._again(thread))
        for _ in range(READ_AT_MOST):
            await self._read_on(local)
            before, local.thread = local.thread, await self._again(thread)
            # A chain never comes back to an earlier link: nothing was settled between the two.
            if (before.chain, before.turn_count) == (local.thread.chain, local.thread.turn_count):
                if local.last is not None and _was_planned_again(local.last, local.thread):
                    local.last = None
                if local.last is not None:
                    local.check.take(local.last)
                local.check.end(local.thread, await self._refusals(thread.ref))
                return local
        said = "Turns of this thread end faster than they can be read. Verify it again later."
        local.check.findings.append(Finding(kind=FindingKind.BUSY, said=said))
        return local

    async def _read_on(self, local: _Local) -> None:
        """Look at the turns that were not looked at yet, but for the last.

        The last of each page is read again with the next one, for it may have been the last of
        all when its page was read.
        """
        while True:
            after = local.check.last_sequence
            page = await self._store.turns(local.thread.ref, after_sequence=after, limit=PAGE)
            for turn in page[:-1]:
                local.check.take(turn)
            local.last = page[-1] if page else None
            if len(page) < PAGE:
                return

    async def _again(self, thread: Thread) -> Thread:
        key = thread.key
        wanted = ThreadFilter(
            engine=key.engine, tenant=key.tenant, scope=key.scope, assistant=key.assistant
        )
        found = [each for each in await self._store.threads(wanted) if each.ref == thread.ref]
        if not found or found[0].state in {ThreadState.ERASING, ThreadState.ERASED}:
            raise ThreadErased
        return found[0]

    async def _refusals(self, thread: ThreadRef) -> Counter[TurnRef]:
        """Count the audit rows about refusals, by turn."""
        counted: Counter[TurnRef] = Counter()
        after = 0
        while True:
            page = await self._store.audit(thread, after=after, limit=PAGE)
            counted.update(
                each.turn for each in page if each.turn and each.action is AuditAction.REFUSED
            )
            if len(page) < PAGE:
                return counted
            after = page[-1].position

    # At the backend

    async def _verify_conversation(self, thread: ThreadRef, *, is_repaired: bool) -> _Remote:
        async def work(granted: ThreadGranted) -> _Remote:
            remote = await self._compare(granted)
            if is_repaired and any(each.kind.is_drift for each in remote.findings):
                return await self._mend(granted, remote)
            return remote

        try:
            remote = await self._holding.hold(thread, work)
        except ThreadConflict as error:
            return _not_compared(FindingKind.BUSY, error.message)
        if isinstance(remote, ThreadBusy):
            return _not_compared(FindingKind.BUSY, remote.said)
        return remote

    async def _compare(self, granted: ThreadGranted) -> _Remote:
        live = granted.thread.live
        if live is None:
            return _Remote(check=RemoteCheck.NO_CONVERSATION)
        try:
            backend = await self._backends.of(live.identity)
            if not backend.keeps_conversations:
                return _Remote(check=RemoteCheck.KEEPS_NOTHING)
            return await self._compare_with(backend, live, granted.open_turn)
        except BackendError as error:
            return _not_compared(FindingKind.UNREACHABLE, error.message)

    async def _compare_with(
        self, backend: ConversationBackend, live: Generation, open_turn: OpenTurn | None
    ) -> _Remote:
        comparing = ConversationComparing()
        try:
            await comparing.compare(
                wanted_messages(self._store, live.thread, live, open_turn),
                backend.messages(live.conversation_id),
            )
        except ConversationLost:
            return await self._confirm_lost(backend, live)
        return _Remote(
            check=RemoteCheck.COMPARED,
            findings=tuple(comparing.findings),
            messages=comparing.agreeing,
            open_turn=open_turn.turn if open_turn else None,
        )

    async def _confirm_lost(self, backend: ConversationBackend, live: Generation) -> _Remote:
        conversation = live.conversation_id
        if await backend.exists(conversation):
            said = f"The backend has {conversation} and does not list what is in it."
            return _not_compared(FindingKind.UNREACHABLE, said)
        said = (
            f"The backend no longer has {conversation}. The thread's next turn gives it a new one "
            "with its memory, and so does --repair."
        )
        found = Finding(kind=FindingKind.CONVERSATION_LOST, said=said)
        return _Remote(check=RemoteCheck.COMPARED, findings=(found,))

    async def _mend(self, granted: ThreadGranted, remote: _Remote) -> _Remote:
        kinds = Counter(each.kind for each in remote.findings)
        reason = GenerationReason.REQUESTED
        if kinds[FindingKind.CONVERSATION_LOST]:
            reason = GenerationReason.LOST
        if kinds[FindingKind.FOREIGN_MESSAGE]:
            detail = f"foreign messages: {kinds[FindingKind.FOREIGN_MESSAGE]}, left behind"
            await self._store.note(
                granted.thread.ref, None, AuditAction.FOREIGN_ITEMS, detail=detail
            )
        try:
            done = await self._rebuilding.rebuild_held(granted, reason)
        except BackendError as error:
            return replace(remote, not_rebuilt=error.message)
        if isinstance(done, NotRebuilt):
            return replace(remote, not_rebuilt=done.said)
        return replace(remote, rebuilt=done)


def _not_compared(kind: FindingKind, said: str) -> _Remote:
    return _Remote(check=RemoteCheck.NOT_COMPARED, findings=(Finding(kind=kind, said=said),))


def _was_planned_again(last: Turn, thread: Thread) -> bool:
    """Whether an open turn that was read has given its number back since, as the thread says."""
    return last.state.is_open and last.sequence > thread.turn_count

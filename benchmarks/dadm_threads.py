"""dadm's own store: every call of the turn protocol through the port, nothing left out."""

import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import texts
from benchmarks.readings import LATEST_TURNS, Reading
from dadm.adapters.stores.postgres import PostgresStore, open_postgres
from dadm.adapters.stores.sqlite import SqliteStore, open_sqlite
from dadm.domain.json import digest_of
from dadm.domain.thread import (
    BackendIdentity,
    ConversationId,
    GenerationReason,
    Thread,
    ThreadKey,
    Usage,
)
from dadm.domain.turn import TurnKey
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import (
    AnswerSettlement,
    ClaimRequest,
    Granted,
    Submission,
    Submitted,
)

CONNECTIONS = 20
LATEST_CHARACTERS = LATEST_TURNS * texts.BYTES_PER_TURN
BACKEND = BackendIdentity(
    adapter="openai", address="https://backend.example/v1", account="org|proj"
)
USAGE = Usage(input_tokens=512, output_tokens=256)


class DadmThreads:
    """Takes turns as the application does, with a backend that answers at once."""

    def __init__(self, store: ThreadStore) -> None:
        """Take turns in `store`."""
        self._store = store
        self._taken: Counter[str] = Counter()

    async def turn(self, conversation: str, reading: Reading) -> None:
        """Look up, claim and submit, read the window, note the run, settle, mark reported."""
        turn = self._taken[conversation]
        self._taken[conversation] += 1
        key = ThreadKey(engine="embedded", tenant="", scope=conversation, assistant="analyst")
        turn_key = TurnKey(
            engine="embedded", tenant="", scope=conversation, task_id=str(uuid.uuid4())
        )
        standing = await self._store.look_up(key, turn_key)
        thread = standing.thread
        is_ready = thread is not None and thread.live is not None
        submission = asked(thread, turn) if thread is not None and is_ready else None
        claim = await self._store.claim(request(key, turn_key, submission))
        if isinstance(claim, Granted):
            claim = await self._begin(claim, turn_key, turn)
        assert isinstance(claim, Submitted)
        if reading is Reading.LATEST:
            await self._store.window(claim.thread.ref, characters=LATEST_CHARACTERS)
        await self._store.note_response(claim.attempt.ref, f"resp_{uuid.uuid4().hex}")
        settlement = AnswerSettlement(
            answer=texts.answer(turn), usage=USAGE, last_item_id=f"msg_{uuid.uuid4().hex}"
        )
        await self._store.settle(claim.lease, claim.turn.ref, settlement)
        await self._store.mark_reported(turn_key)

    async def _begin(self, claim: Granted, turn_key: TurnKey, turn: int) -> Submitted:
        """Give a new thread its conversation, then submit: what the first turn does."""
        generation = await self._store.note_conversation(
            claim.thread.ref,
            identity=BACKEND,
            conversation_id=ConversationId(f"conv_{uuid.uuid4().hex}"),
            reason=GenerationReason.FIRST,
            opened_from=0,
            opened_to=0,
        )
        await self._store.make_live(claim.lease, generation.number)
        standing = await self._store.look_up(claim.thread.key, turn_key)
        assert standing.thread is not None
        return await self._store.submit(claim.lease, claim.turn.ref, asked(standing.thread, turn))

    async def fill(self, conversation: str, turns: int) -> None:
        """Take the turns, one after the other."""
        for _ in range(turns):
            await self.turn(conversation, Reading.NOTHING)


def asked(thread: Thread, turn: int) -> Submission:
    """Say what is asked on a thread that has a conversation."""
    assert thread.live is not None
    return Submission(
        prompt=texts.prompt(turn),
        assistant_version="0123456789ab",
        answer_schema=None,
        after_sequence=thread.turn_count,
        generation=thread.live.number,
    )


def request(key: ThreadKey, turn_key: TurnKey, submission: Submission | None) -> ClaimRequest:
    """Say what one delivery of a task claims."""
    return ClaimRequest(
        thread=key,
        turn=turn_key,
        content_digest=digest_of(turn_key.task_id),
        element_id="Task_Evaluate",
        process_definition="decision",
        owner=f"owner_{uuid.uuid4().hex}",
        lease_seconds=30.0,
        ticket_seconds=60.0,
        refuse_other_content=False,
        submission=submission,
    )


@asynccontextmanager
async def open_sqlite_threads(path: str) -> AsyncIterator[DadmThreads]:
    """Open the store of a file."""
    async with open_sqlite(Path(path)) as database:
        yield DadmThreads(SqliteStore(database))


@asynccontextmanager
async def open_postgres_threads(url: str) -> AsyncIterator[DadmThreads]:
    """Open the store of a database."""
    async with open_postgres(url, connections=CONNECTIONS) as database:
        yield DadmThreads(PostgresStore(database))

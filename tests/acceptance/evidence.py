"""What is left of process instances in the database, the engine and the simulated OpenAI, and whether it may be so."""

from collections import Counter
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx2

from dadm import bootstrap
from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.domain.thread import Generation, GenerationState, Thread
from dadm.domain.transcript import Message, Role
from dadm.domain.turn import Attempt, Turn, TurnState
from dadm.ports.engine import EngineIncident, InstanceState, ProcessInstance
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import ThreadFilter
from dadm.settings import load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """The simulated model was asked, for the task that the request was labelled with."""

    scope: str
    task_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Messages were added to a conversation at once, by a response or by a caller."""

    conversation_id: str
    messages: tuple[Message, ...]
    is_by_response: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """What the simulator has recorded, and what it still keeps of some scopes.

    `scopes` gives the scope that each of these conversations was labelled with.
    """

    model_calls: tuple[ModelCall, ...]
    appends: tuple[Append, ...]
    conversations: dict[str, tuple[Message, ...]]
    scopes: dict[str, str]

    def of(self, scope: str) -> list[str]:
        """Give the conversations that were opened for a scope."""
        return [each for each, labelled in self.scopes.items() if labelled == scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The back door of a simulator that runs in another process."""

    address: str
    client: httpx2.Client = field(
        default_factory=lambda: httpx2.Client(headers={"authorization": "Bearer sk"}, timeout=30)
    )

    def get(self, path: str) -> Any:
        return self._document(self.client.get(f"{self.address}/{path}"))

    def post(self, path: str, body: Any) -> Any:
        return self._document(self.client.post(f"{self.address}/{path}", json=body))

    def delete(self, path: str) -> Any:
        return self._document(self.client.delete(f"{self.address}/{path}"))

    def delete_conversation(self, conversation_id: str) -> None:
        self.delete(f"simulator/conversations/{conversation_id}")

    def remote(self, scopes: Container[str]) -> Remote:
        """Read all that has happened, and the conversations of these scopes."""
        entries = self.get("simulator/ledger")["entries"]
        kept = {each: scope for each, scope in self._scopes().items() if scope in scopes}
        return Remote(
            model_calls=tuple(
                ModelCall(
                    scope=entry["metadata"]["scope"],
                    task_id=entry["metadata"]["task"],
                    conversation_id=entry["conversation_id"],
                )
                for entry in entries
                if entry["kind"] == "ModelCall"
            ),
            appends=tuple(
                Append(
                    conversation_id=entry["conversation_id"],
                    messages=tuple(_messages(entry["items"])),
                    is_by_response=entry["response_id"] is not None,
                )
                for entry in entries
                if entry["kind"] == "Append" and not entry["lost"]
            ),
            conversations={
                each: tuple(_messages(self.get(f"simulator/conversations/{each}")["items"]))
                for each in kept
            },
            scopes=kept,
        )

    def _scopes(self) -> dict[str, str]:
        """Give the scope of each conversation that is there, and not deleted while we look."""
        scopes = {}
        for each in self.get("simulator/conversations")["conversations"]:
            response = self.client.get(f"{self.address}/v1/conversations/{each}")
            if response.status_code != HTTPStatus.NOT_FOUND:
                scopes[each] = self._document(response)["metadata"]["scope"]
        return scopes

    def _document(self, response: httpx2.Response) -> Any:
        assert response.is_success, response.text
        return response.json()


def _messages(items: Sequence[dict[str, Any]]) -> Iterator[Message]:
    for item in items:
        if item["type"] == "message":
            yield Message(role=Role(item["role"]), text=item["content"][0]["text"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Threads and processes of one database, while it is open."""

    threads: ThreadStore
    engine: EmbeddedEngine


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Open a database as DADM's own programs do, beside those that run on it."""
    settings = load_settings(database_url=url)
    async with bootstrap.open_databases(settings) as databases:
        engine = bootstrap.embedded_engine(settings, databases.processes)
        yield Database(threads=databases.threads, engine=engine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One process instance whose process has one thread.

    Attributes:
        instance: It, as the engine has it.
        incidents: What stopped it.
        thread: Its thread.
        turns: The thread's turns by sequence.
        attempts: The attempts at each of them.
        generations: The conversations the thread has had.
        asked: The tasks for which the model was asked, once for each time, by element.
        remote: Everything at the simulator, of all instances.
    """

    instance: ProcessInstance
    incidents: tuple[EngineIncident, ...]
    thread: Thread
    turns: tuple[Turn, ...]
    attempts: tuple[tuple[Attempt, ...], ...]
    generations: tuple[Generation, ...]
    asked: Counter[str]
    remote: Remote

    @property
    def scope(self) -> str:
        """What the thread is named after at the backend."""
        return self.thread.key.scope

    @property
    def live(self) -> Generation:
        (live,) = [each for each in self.generations if each.state is GenerationState.LIVE]
        return live

    @property
    def transcript(self) -> tuple[Message, ...]:
        """The messages that the thread should be made of."""
        return tuple(
            Message(role=role, text=text)
            for turn in self.turns
            if turn.answer is not None
            for role, text in ((Role.USER, turn.prompt), (Role.ASSISTANT, turn.answer))
        )

    @property
    def recovered(self) -> list[str]:
        return [turn.element_id for turn in self.turns if turn.recovered]

    def kept(self, generation: Generation) -> tuple[Message, ...] | None:
        """Give what the simulator keeps of a conversation; None where it keeps none."""
        return self.remote.conversations.get(generation.conversation_id)


async def gathered(database: Database, door: Door) -> tuple[Evidence, ...]:
    """Read all instances, oldest first."""
    instances = await database.engine.instances(limit=100_000)
    remote = door.remote({each.instance_id for each in instances})
    threads = {
        thread.key.scope: thread
        for thread in await database.threads.threads(ThreadFilter(limit=100_000))
    }
    incidents = await database.engine.incidents(limit=1_000)
    return tuple(
        [
            await _evidence(database, remote, instance, threads[instance.instance_id], incidents)
            for instance in reversed(instances)
        ]
    )


async def _evidence(
    database: Database,
    remote: Remote,
    instance: ProcessInstance,
    thread: Thread,
    incidents: Sequence[EngineIncident],
) -> Evidence:
    turns = await database.threads.turns(thread.ref, limit=1_000)
    elements = {turn.key.task_id: turn.element_id for turn in turns}
    return Evidence(
        instance=instance,
        incidents=tuple(each for each in incidents if each.instance_id == instance.instance_id),
        thread=thread,
        turns=tuple(turns),
        attempts=tuple([tuple(await database.threads.attempts(turn.ref)) for turn in turns]),
        generations=tuple(await database.threads.generations(thread.ref)),
        asked=Counter(
            elements.get(call.task_id, call.task_id)
            for call in remote.model_calls
            if call.scope == instance.instance_id
        ),
        remote=remote,
    )


def violations(evidence: Evidence, elements: Sequence[str]) -> list[str]:
    """Say what is wrong with an instance whose process has just these AI tasks, in this order.

    The rules are the invariants of the turn protocol, checked against what is found and not
    against how it came to be.
    """
    return [*_of_turns(evidence, elements), *_of_conversations(evidence), *_of_engine(evidence)]


def _of_turns(evidence: Evidence, elements: Sequence[str]) -> Iterator[str]:
    where = evidence.instance.instance_id
    taken = [turn.element_id for turn in evidence.turns]
    if taken != list(elements):
        yield f"{where}: turns were taken for {taken}, not once for each of {list(elements)}"
    if [turn.sequence for turn in evidence.turns] != list(range(1, len(taken) + 1)):
        yield f"{where}: sequences are {[turn.sequence for turn in evidence.turns]}"
    for turn in evidence.turns:
        if turn.state is not TurnState.COMPLETED or turn.answer is None:
            yield f"{where}: the turn of {turn.element_id} is {turn.state}"
    for turn in evidence.turns:
        if not evidence.asked[turn.element_id]:
            yield f"{where}: the model was never asked for {turn.element_id}"


def _of_conversations(evidence: Evidence) -> Iterator[str]:
    where = evidence.instance.instance_id
    lives = [each for each in evidence.generations if each.state is GenerationState.LIVE]
    if len(lives) != 1:
        yield f"{where}: {len(lives)} conversations are live"
        return
    if evidence.kept(lives[0]) != evidence.transcript:
        yield (
            f"{where}: the live conversation holds {evidence.kept(lives[0])}, "
            f"the transcript is {evidence.transcript}"
        )
    mine = {each.conversation_id for each in evidence.generations}
    said = {turn.prompt for turn in evidence.turns}
    for append in evidence.remote.appends:
        strayed = [each.text for each in append.messages if each.text in said]
        if strayed and append.conversation_id not in mine:
            yield f"{where}: {strayed} reached another's conversation {append.conversation_id}"
    answered = Counter(
        append.messages[0].text
        for append in evidence.remote.appends
        if append.is_by_response and append.conversation_id == lives[0].conversation_id
    )
    yield from (
        f"{where}: {count} answers to {prompt!r} were appended to the live conversation"
        for prompt, count in answered.items()
        if count > 1
    )


def _of_engine(evidence: Evidence) -> Iterator[str]:
    instance = evidence.instance
    if instance.state is not InstanceState.COMPLETED or evidence.incidents:
        yield f"{instance.instance_id}: it is {instance.state} with {evidence.incidents}"
    for turn in evidence.turns:
        told = instance.variables.get(f"{turn.element_id}_result")
        if told != turn.answer:
            yield (
                f"{instance.instance_id}: the engine has {told!r} from {turn.element_id}, "
                f"the recorded answer is {turn.answer!r}"
            )

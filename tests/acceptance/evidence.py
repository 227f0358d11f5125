"""What is left of process instances in the database, the engine and the simulated OpenAI, and whether it may be so."""

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Container, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

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

LOOK_AGAIN_SECONDS = 0.05
"""The pause before another process is asked again, which cannot be waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """What the simulator has recorded, and what it still keeps of some scopes.

    Attributes:
        asked: The tasks of each scope that the model was asked for, once for each time.
        reached: The conversations that each text was ever added to.
        answered: The questions that each conversation was given answers to, once for each answer.
        removed: The conversations that were deleted, by whomever.
        struck: How often a fault struck a request about each conversation, by the fault's name.
        conversations: The messages of those that are kept.
        scopes: The scope that each of these was labelled with.
    """

    asked: dict[str, list[str]]
    reached: dict[str, set[str]]
    answered: dict[str, Counter[str]]
    removed: frozenset[str]
    struck: dict[str, Counter[str]]
    conversations: dict[str, tuple[Message, ...]]
    scopes: dict[str, str]

    def asked_of(self, scope: str) -> list[str]:
        """Give the tasks of a scope that the model was asked for, once for each time."""
        return self.asked.get(scope, [])

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, path: str) -> Any:
        return self._document(self.client.get(f"{self.address}/{path}"))

    def post(self, path: str, body: Any) -> Any:
        return self._document(self.client.post(f"{self.address}/{path}", json=body))

    def delete(self, path: str) -> Any:
        return self._document(self.client.delete(f"{self.address}/{path}"))

    def hold(self, rule: dict[str, Any]) -> "Hold":
        """Switch a fault on that holds a request, a run or a reply."""
        (added,) = self.post("simulator/faults", rule)["faults"]
        return Hold(door=self, rule_id=added["id"])

    def delete_conversation(self, conversation_id: str) -> None:
        self.delete(f"simulator/conversations/{conversation_id}")

    def has(self, response_id: str) -> bool:
        """Whether a response can still be retrieved."""
        response = self.client.get(f"{self.address}/v1/responses/{response_id}")
        return response.status_code != HTTPStatus.NOT_FOUND

    def remote(self, scopes: Container[str]) -> Remote:
        """Read all that has happened, and the conversations of these scopes."""
        entries = defaultdict(list)
        for entry in self.get("simulator/ledger")["entries"]:
            entries[entry["kind"]].append(entry)
        asked: dict[str, list[str]] = defaultdict(list)
        reached: dict[str, set[str]] = defaultdict(set)
        answered: dict[str, Counter[str]] = defaultdict(Counter)
        struck: dict[str, Counter[str]] = defaultdict(Counter)
        for entry in entries["Append"]:
            messages = list(_messages(entry["items"]))
            if not entry["lost"]:
                for message in messages:
                    reached[message.text].add(entry["conversation_id"])
                if entry["response_id"] and len(messages) > 1:
                    answered[entry["conversation_id"]][messages[0].text] += 1
        for entry in entries["ModelCall"]:
            labels = entry["metadata"]
            asked[labels["scope"]].append(labels["task"])
        for entry in entries["FaultStruck"]:
            struck[entry["conversation_id"] or ""][entry["fault"]] += 1
        kept = {each: scope for each, scope in self._scopes().items() if scope in scopes}
        return Remote(
            asked=asked,
            reached=reached,
            answered=answered,
            removed=frozenset(
                each["conversation_id"] for each in entries["Removal"] if each["item_id"] is None
            ),
            struck=struck,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A fault of the simulator that holds what it strikes until it is let go."""

    door: Door
    rule_id: str

    def is_holding(self, *, seconds: float) -> None:
        """Wait until something is held."""
        self._look_until(lambda: self._told["holding"] > 0, seconds)

    def is_asked_about(self, *, seconds: float) -> None:
        """Wait until somebody retrieves the response that is held."""
        self._look_until(self._is_retrieved, seconds)

    @property
    def _told(self) -> dict[str, Any]:
        rules: list[dict[str, Any]] = self.door.get("simulator/faults")["faults"]
        return next(each for each in rules if each["id"] == self.rule_id)

    def _is_retrieved(self) -> bool:
        entries = self.door.get("simulator/ledger")["entries"]
        held = {each["response_id"] for each in entries if each.get("rule") == self.rule_id}
        wanted = {f"/v1/responses/{each}" for each in held}
        return any(each.get("method") == "GET" and each["path"] in wanted for each in entries)

    def _look_until(self, is_so: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < until, self.door.get("simulator/faults")
            time.sleep(LOOK_AGAIN_SECONDS)

    def let_go(self) -> None:
        """Let it go on, and hold nothing more."""
        self.door.delete(f"simulator/faults/{self.rule_id}")

    def let_arrive(self, conversation_id: str, *, seconds: float) -> None:
        """Let a late request go on, and wait until its response has ended too."""
        before = self._ended(conversation_id)
        self.let_go()
        self._look_until(lambda: self._ended(conversation_id) > before, seconds)

    def _ended(self, conversation_id: str) -> int:
        entries = self.door.get("simulator/ledger")["entries"]
        return sum(
            each["kind"] == "ResponseEnded" and each["conversation_id"] == conversation_id
            for each in entries
        )


def _messages(items: Sequence[dict[str, Any]]) -> Iterator[Message]:
    for item in items:
        if item["type"] == "message":
            yield Message(role=Role(item["role"]), text=item["content"][0].get("text", ""))


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


async def evidence_of(
    database: Database,
    door: Door,
    instance: ProcessInstance,
    incidents: Sequence[EngineIncident],
) -> Evidence:
    """Read all about an instance of another engine, which says itself what it has of it."""
    scope = instance.instance_id
    (thread,) = [
        thread
        for thread in await database.threads.threads(ThreadFilter(limit=100_000))
        if thread.key.scope == scope
    ]
    return await _evidence(database, door.remote({scope}), instance, thread, incidents)


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
        asked=Counter(elements.get(task, task) for task in remote.asked_of(instance.instance_id)),
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
    if (sequences := [turn.sequence for turn in evidence.turns]) != sorted(set(sequences)):
        yield f"{where}: sequences are {sequences}"
    for turn in evidence.turns:
        if turn.state is not TurnState.COMPLETED or turn.answer is None:
            yield f"{where}: the turn of {turn.element_id} is {turn.state}"
    for turn in evidence.turns:
        if not evidence.asked[turn.element_id]:
            yield f"{where}: the model was never asked for {turn.element_id}"


def _of_conversations(evidence: Evidence) -> Iterator[str]:
    where = evidence.instance.instance_id
    remote = evidence.remote
    lives = [each for each in evidence.generations if each.state is GenerationState.LIVE]
    if len(lives) > 1:
        yield f"{where}: {len(lives)} conversations are live"
    for live in lives:
        # One that was lost behind the last turn heals with the next one.
        if live.conversation_id in remote.removed:
            continue
        if evidence.kept(live) != evidence.transcript:
            yield (
                f"{where}: the live conversation holds {evidence.kept(live)}, "
                f"the transcript is {evidence.transcript}"
            )
        yield from (
            f"{where}: {count} answers to {prompt!r} were appended to the live conversation"
            for prompt, count in remote.answered.get(live.conversation_id, Counter()).items()
            if count > 1
        )
    mine = {each.conversation_id for each in evidence.generations}
    for turn in evidence.turns:
        strayed = remote.reached.get(turn.prompt, set()) - mine
        if strayed:
            yield f"{where}: {turn.prompt!r} reached the conversations {strayed} of others"


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

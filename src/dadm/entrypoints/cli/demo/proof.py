"""The demo's proof: computed from what the model was shown and what the database holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dadm.domain.thread import Thread
from dadm.domain.turn import Attempt, Turn
from dadm.entrypoints.cli.demo.scenes import SCENES, TASKS, Scene
from dadm.ports.store import ThreadStore
from dadm.ports.store_values import ThreadFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one decision left behind.

    `shown` are the texts of the messages that the model was shown for the last task, its own
    prompt included. `at_the_kill` is the thread as it stood when the program was killed.
    """

    scene: Scene
    at_the_kill: Thread
    thread: Thread
    turns: Sequence[Turn]
    attempts: Sequence[Attempt]
    shown: Sequence[str]
    is_completed: bool
    recommendation: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must hold, and what was found."""

    claim: str
    holds: bool
    found: str


async def gather(
    store: ThreadStore, instance_id: str
) -> tuple[Thread, Sequence[Turn], Sequence[Attempt]]:
    """Read the one thread of an instance, its turns and every attempt at them."""
    thread = await only_thread(store, instance_id)
    turns = await store.turns(thread.ref)
    attempts = [attempt for turn in turns for attempt in await store.attempts(turn.ref)]
    return thread, turns, attempts


async def only_thread(store: ThreadStore, instance_id: str) -> Thread:
    """Read the thread of an instance.

    Raises:
        LookupError: There is none, or more than one.
    """
    threads = await store.threads(ThreadFilter(scope=instance_id))
    if len(threads) != 1:
        msg = f"Process instance {instance_id} has {len(threads)} threads instead of one."
        raise LookupError(msg)
    return threads[0]


def checks(evidence: Evidence) -> list[Check]:
    """Judge one decision."""
    last = evidence.turns[-1]
    facts = evidence.scene.facts
    told = "\n".join(evidence.shown)
    others = [fact for scene in SCENES if scene != evidence.scene for fact in told_facts(scene)]
    leaked = [fact for fact in others if fact in told]
    before, after = evidence.at_the_kill, evidence.thread
    return [
        Check(
            claim="the last task was shown the owner and the budget",
            holds=all(fact in told for fact in facts),
            found=f"{quoted(fact for fact in facts if fact in told)} in {len(evidence.shown)} "
            "messages",
        ),
        Check(
            claim="its own prompt names neither",
            holds=not any(fact in last.prompt for fact in facts),
            found=repr(last.prompt),
        ),
        Check(
            claim="nothing of the other decision is among them",
            holds=not leaked,
            found=quoted(leaked) if leaked else f"none of {quoted(others)}",
        ),
        Check(
            claim="the thread id survived the kill",
            holds=before.thread_id == after.thread_id is not None,
            found=f"{before.thread_id} before, {after.thread_id} after",
        ),
        Check(
            claim="the turns survived the kill",
            holds=(before.turn_count, after.turn_count) == (len(TASKS) // 2, len(TASKS)),
            found=f"{before.turn_count} before, {after.turn_count} after",
        ),
        Check(
            claim="every task was asked once",
            holds=len(evidence.turns) == len(evidence.attempts) == len(TASKS),
            found=f"{len(evidence.turns)} turns, {len(evidence.attempts)} requests to the model",
        ),
        Check(
            claim="the process has ended with the last answer",
            holds=evidence.is_completed and evidence.recommendation == last.answer,
            found="completed" if evidence.is_completed else "not completed",
        ),
    ]


def told_facts(scene: Scene) -> tuple[str, ...]:
    """Give everything that only this decision's first task was told."""
    return (*scene.facts, scene.decision)


def repeats(answer: str, scene: Scene) -> Mapping[str, bool]:
    """Say which of the facts an answer repeats."""
    return {fact: fact.lower() in answer.lower() for fact in scene.facts}


def quoted(texts: Iterable[str]) -> str:
    """List texts in quotes."""
    return ", ".join(f"“{text}”" for text in texts) or "nothing"

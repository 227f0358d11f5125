"""What happens in a soak: instances are started, replicas killed and started again, incidents retried."""

import asyncio
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from dadm.ports.engine import InstanceState
from tests.acceptance.crashes import SHORT_LEASES, process
from tests.acceptance.evidence import Database
from tests.acceptance.programs import DADM, Program, running

TASKS = ("Frame", "Collect", "Weigh", "Recommend")
AT_ONCE = 60
"""How many instances are active at the same time."""

REPLICAS = 2
TELL_EVERY_SECONDS = 5.0

SETTINGS = {
    **SHORT_LEASES,
    "DADM_PORT": "0",
    "DADM_TURNS__TURN_SECONDS": "30",
    "DADM_ENGINE__RETRIES": "8",
    # Here so many conversations really are lost, and nobody mends an address meanwhile.
    "DADM_TURNS__LOSSES_BELIEVED": "1000000",
    "OPENAI_API_KEY": "sk-of-nobody",
}

REPLAYED = re.compile(r"action=turn_replayed ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What is played, and where."""

    instances: int
    seed: int
    seconds_between_kills: float
    limit_seconds: float
    database: Database
    database_url: str
    simulator: str
    folder: Path


@dataclass(slots=True, kw_only=True)
class Played:
    """What happened.

    Attributes:
        kills: When replicas were killed, by the store's clock.
        replayed: How many recorded answers were given again.
        released: How many incidents were retried, as a person would, by instance.
        is_complete: Whether all instances ended within the time.
        broken: What replicas wrote that ended by themselves.
    """

    kills: list[float] = field(default_factory=list)
    replayed: int = 0
    released: dict[str, int] = field(default_factory=dict)
    is_complete: bool = False
    broken: list[str] = field(default_factory=list)


class Replica:
    """One replica, which is started again whenever it was killed."""

    def __init__(self, play: Play, number: int, stack: ExitStack) -> None:
        self._play = play
        self._folder = play.folder / f"replica{number}"
        self._folder.mkdir()
        self._stack = stack
        self.program = self._started()
        self.replayed = 0

    def kill(self) -> None:
        self.program.kill()
        self._count()
        self.program = self._started()

    def end(self) -> None:
        self.program.end()
        self._count()

    def _count(self) -> None:
        self.replayed += sum(bool(REPLAYED.search(line)) for line in self.program.stderr)

    def _started(self) -> Program:
        settings = SETTINGS | {
            "DADM_DATABASE_URL": self._play.database_url,
            "OPENAI_BASE_URL": f"{self._play.simulator}/v1",
        }
        return self._stack.enter_context(
            running(DADM, "run", folder=self._folder, settings=settings)
        )


async def play(given: Play) -> Played:
    """Bring all instances to their ends, or give up when the time is over."""
    played = Played()
    await given.database.engine.deploy({"soak.bpmn": process(TASKS)})
    with ExitStack() as stack:
        replicas = [Replica(given, number, stack) for number in range(REPLICAS)]
        await _bring_to_their_ends(given, played, replicas)
        for replica in replicas:
            await asyncio.to_thread(replica.end)
            played.replayed += replica.replayed
    return played


async def _bring_to_their_ends(given: Play, played: Played, replicas: list[Replica]) -> None:
    chance = Random(given.seed)  # noqa: S311 - decides whom to kill, and nothing secret
    begun = told = time.monotonic()
    kill_at = begun + chance.expovariate(1 / given.seconds_between_kills)
    started = 0
    engine = given.database.engine
    while time.monotonic() < begun + given.limit_seconds:
        active = len(await engine.instances(state=InstanceState.ACTIVE, limit=AT_ONCE + 1))
        if started == given.instances and not active:
            played.is_complete = True
            return
        for _ in range(min(AT_ONCE - active, given.instances - started)):
            started += 1
            await engine.start("p", variables={"matter": f"matter {given.seed}/{started}"})
        await _release_incidents(given, played)
        now = time.monotonic()
        if now >= kill_at and active:
            replica = chance.choice(replicas)
            played.kills.append((await given.database.threads.now()).timestamp())
            await asyncio.to_thread(replica.kill)
            kill_at = now + chance.expovariate(1 / given.seconds_between_kills)
        if now >= told + TELL_EVERY_SECONDS:
            told = now
            _tell(given, played, started - active, seconds=now - begun)
        await asyncio.sleep(0.5)


async def _release_incidents(given: Play, played: Played) -> None:
    """Do what a person does about a refused answer, or after the last retry: try again."""
    engine = given.database.engine
    for incident in await engine.incidents():
        played.released[incident.instance_id] = played.released.get(incident.instance_id, 0) + 1
        await engine.retry_incident(incident.incident_id, variables={})


def _tell(given: Play, played: Played, ended: int, *, seconds: float) -> None:
    print(
        f"{seconds:6.0f} s  {ended}/{given.instances} instances ended, "
        f"{len(played.kills)} kills, {sum(played.released.values())} incidents retried",
        flush=True,
    )

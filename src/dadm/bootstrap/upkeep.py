"""Upkeep: what is done in the background about threads, where no task comes for it."""

import asyncio
from dataclasses import dataclass

from dadm.application.endings.closed_cleanup import ClosedCleanup, EndedPolicy
from dadm.application.endings.closed_threads import ClosedThreads
from dadm.application.endings.job_holding import JobHolding
from dadm.application.endings.rests import Rests
from dadm.application.endings.retired_cleanup import RetiredCleanup
from dadm.application.world import World
from dadm.bootstrap.system import CLOCK, IDENTIFIERS
from dadm.ports.jobs import JobKey
from dadm.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """Conversations out of use are deleted, and closed threads brought to their end."""

    retired_cleanup: RetiredCleanup
    closed_threads: ClosedThreads
    closed_cleanup: ClosedCleanup

    async def run(self, stop: asyncio.Event) -> None:
        """Do all of it until `stop` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.retired_cleanup.run(stop))
            group.create_task(self.closed_threads.run(stop))
            group.create_task(self.closed_cleanup.run(stop))


def upkeep(settings: Settings, world: World) -> Upkeep:
    """Put it together for one replica."""
    rests = Rests(world)
    # One replica of those that talk to the same backend clears what has ended.
    job = JobKey(name="clear", subject=str(world.backends.default.identity))
    return Upkeep(
        retired_cleanup=RetiredCleanup(world, rests),
        closed_threads=ClosedThreads(world),
        closed_cleanup=ClosedCleanup(
            world,
            JobHolding(world.store, job, CLOCK, IDENTIFIERS),
            policy=EndedPolicy(settings.ended.policy),
            after_seconds=settings.ended.after_seconds,
            rests=rests,
        ),
    )

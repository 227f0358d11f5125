"""Stepping: what the roles of the embedded engine share, and how each changes an instance."""

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

from dadm.adapters.engines.embedded.bell import Bell
from dadm.adapters.engines.embedded.family import Family
from dadm.adapters.engines.embedded.library import ModelLibrary
from dadm.adapters.engines.embedded.member import Member
from dadm.domain.errors import EngineUnavailable
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.process_store import ProcessStore

MOST_ATTEMPTS = 50
"""Times a step is made again because others changed the same instance meanwhile."""
MOST_ROOTS = 10_000
"""Instances whose run is remembered, so that it need not be read before each step."""


class Stepping:
    """Store, clock, models and the bell, held once for all roles."""

    def __init__(
        self, store: ProcessStore, clock: Clock, identifiers: Identifiers, engine_id: str
    ) -> None:
        """Keep everything durable in `store`."""
        self.store = store
        self.clock = clock
        self.identifiers = identifiers
        self.engine_id = engine_id
        self.models = ModelLibrary(store)
        self.bell = Bell()
        self._roots: dict[str, str] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def family(self) -> Family:
        """Begin a step."""
        return Family(self.store, self.models, self.identifiers, self.clock.now())

    async def save(self, family: Family) -> bool:
        """Bring a step to its end and save it; False, and nothing saved, if others were quicker.

        Raises:
            StepFailed: The process cannot go on.
        """
        await family.settle()
        is_saved = await self.store.save(await family.changes())
        if is_saved:
            self.bell.ring()
        return is_saved

    async def step(self, instance_id: str, action: Callable[[Member], None]) -> Member:
        """Load an instance, do something to it, let it run, and save it as a whole.

        Within this process the steps of one run (an instance, who called it and what it called)
        wait for each other; other processes are noticed by the revision, and then the step is
        made again from what they left.

        Raises:
            UnknownProcess: There is no such instance.
            StepFailed: The process cannot go on; nothing is changed.
            EngineUnavailable: Others changed the instance again and again.
        """
        root_id = await self._root_of(instance_id)
        lock = self._locks.setdefault(root_id, asyncio.Lock())
        async with lock:
            for _ in range(MOST_ATTEMPTS):
                family = self.family()
                member = await family.load(instance_id)
                action(member)
                family.touch(member)
                if await self.save(family):
                    return member
        text = f"The process instance {instance_id} is being changed by others; repeat."
        raise EngineUnavailable(text)

    async def _root_of(self, instance_id: str) -> str:
        """Give the instance that the run began with; it never changes."""
        root_id = self._roots.get(instance_id)
        if root_id is None:
            stored = await self.store.instance(instance_id)
            root_id = instance_id if stored is None else stored.root_id
            if len(self._roots) >= MOST_ROOTS:
                self._roots.clear()
            self._roots[instance_id] = root_id
        return root_id

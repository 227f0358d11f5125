"""ThreadCleanup: closes the threads of process instances that have ended."""

import asyncio

from dadm.domain.errors import EngineError, StoreError
from dadm.ports.engine import ProcessHistory
from dadm.ports.observer import EngineTrouble, Observer, ThreadsClosed
from dadm.ports.store import ThreadDirectory

BATCH = 200
"""How many ended instances are read at once."""


class ThreadCleanup:
    """Follows an engine's record of ended instances and closes their threads.

    Closing is idempotent, and the engine's record is dropped only after it, so that nothing is
    missed when a replica dies in between. A closed thread takes no new turns; its recorded
    answers are still given.
    """

    def __init__(
        self,
        *,
        engine_id: str,
        history: ProcessHistory,
        directory: ThreadDirectory,
        observer: Observer,
        interval_seconds: float = 1.0,
    ) -> None:
        """Follow `history` of the engine called `engine_id`; close in `directory`."""
        self._engine_id = engine_id
        self._history = history
        self._directory = directory
        self._observer = observer
        self._interval_seconds = interval_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Close threads until `stop` is set; trouble is told once and tried again."""
        is_in_trouble = False
        while not stop.is_set():
            try:
                while await self.close_ended():
                    continue
                is_in_trouble = self._tell_trouble("", was=is_in_trouble, now=False)
            except (EngineError, StoreError) as error:
                is_in_trouble = self._tell_trouble(error.message, was=is_in_trouble, now=True)
            try:
                async with asyncio.timeout(self._interval_seconds):
                    await stop.wait()
            except TimeoutError:
                continue

    async def close_ended(self) -> int:
        """Close the threads of the next batch of ended instances; give how many instances."""
        ended = await self._history.ended_instances(after=0, limit=BATCH)
        for instance in ended:
            count = await self._directory.close_scope(
                engine=self._engine_id, tenant=instance.tenant, scope=instance.instance_id
            )
            if count:
                self._observer.notify(
                    ThreadsClosed(process_instance_id=instance.instance_id, count=count)
                )
        if ended:
            await self._history.forget_ended(up_to=ended[-1].position)
        return len(ended)

    def _tell_trouble(self, reason: str, *, was: bool, now: bool) -> bool:
        if was != now:
            self._observer.notify(
                EngineTrouble(engine=self._engine_id, reason=reason, is_over=not now)
            )
        return now

"""RunStopping: stops a withdrawn task's run that another replica waits for, and tells that replica.

A withdrawal over HTTP reaches one of several replicas, and seldom the one that waits for the run.
Cancelling decides nothing, so whoever hears of it may do so without the thread's lease. The audit
trail tells the replica whose run ended under its hands that its task is gone; without that, it
would ask again.
"""

from dadm.application.turns.turn_news import TurnNews
from dadm.application.turns.withdrawal import Withdrawal
from dadm.application.world import World
from dadm.domain.task import ServiceTask
from dadm.domain.thread import ThreadKey, ThreadRef
from dadm.domain.turn import Attempt, Turn
from dadm.ports.audit import AuditAction


class RunStopping:
    """Stops the runs of withdrawn tasks, wherever they are waited for."""

    def __init__(self, world: World) -> None:
        """Find runs in the world's store and stop them at its backends."""
        self._store = world.store
        self._backends = world.backends
        self._assistants = world.assistants
        self._news = TurnNews(world.observer, world.clock)

    async def stop_elsewhere(self, task: ServiceTask) -> None:
        """Stop the run of a task that is gone, if one is known that may be under way.

        A run that has no name yet is not stopped; nor is one at a backend that keeps nothing,
        which ends only when its caller leaves.

        Raises:
            BackendError: It could not be stopped; the replica that waits for it is told all the
                same.
            StoreError: The store did not say, or did not take note.
        """
        standing = await self._store.look_up(self._thread_of(task), task.turn_key)
        thread, turn = standing.thread, standing.turn
        if thread is None or thread.live is None or turn is None or not turn.state.is_open:
            return
        attempts = await self._store.attempts(turn.ref)
        if not attempts:
            # Its thread has been erased in between, and the erasure has stopped the run.
            return
        latest = attempts[-1]
        if latest.generation != thread.live.number or not latest.response_id:
            return
        backend = await self._backends.of(thread.live.identity)
        if not backend.keeps_conversations:
            return
        # Noted first: the other replica reads it as soon as the run has ended.
        await self.note(turn, latest.response_id)
        await backend.cancel(latest.response_id)
        self._news.stopped(
            turn,
            task.process_instance_id,
            thread.live.conversation_id,
            latest.response_id,
            reason="its task is gone",
        )

    async def note(self, turn: Turn, response_id: str) -> None:
        """Note that a run is stopped because its task is gone."""
        await self._store.note(
            turn.thread, turn.ref, AuditAction.CANCELLED, detail=_detail(response_id)
        )

    async def learn(self, withdrawal: Withdrawal, turn: Turn, attempt: Attempt) -> None:
        """Have `withdrawal` know that the task is gone, where another replica stopped its run.

        Raises:
            StoreError: The store did not say.
        """
        if withdrawal.is_withdrawn or not attempt.response_id:
            return
        if await self._is_noted(turn.thread, _detail(attempt.response_id)):
            withdrawal.note_withdrawn()

    async def _is_noted(self, thread: ThreadRef, detail: str) -> bool:
        after = 0
        while rows := await self._store.audit(thread, after=after):
            if any(row.action is AuditAction.CANCELLED and row.detail == detail for row in rows):
                return True
            after = rows[-1].position
        return False

    def _thread_of(self, task: ServiceTask) -> ThreadKey:
        """Name a thread the turn may be on; a turn that is there names its own."""
        return ThreadKey(
            engine=task.engine,
            tenant=task.tenant,
            scope=task.thread_scope,
            assistant=self._assistants.default.name,
        )


def _detail(response_id: str) -> str:
    return f"run {response_id}"

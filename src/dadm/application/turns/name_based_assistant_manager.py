"""NameBasedAssistantManager: finds the assistant by name and the thread by process instance."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dadm.application.lease_keeping import LeaseKeeper
from dadm.application.turns.held import TurnResult
from dadm.application.turns.refusals import error_of
from dadm.application.turns.request_refusals import explained, explained_thread
from dadm.application.turns.run_stopping import RunStopping
from dadm.application.turns.turn_taking import TurnTaking
from dadm.application.turns.withdrawal import Withdrawal
from dadm.application.world import World
from dadm.domain.assistant import Assistant
from dadm.domain.errors import (
    BackendRefused,
    InvalidTask,
    RequestError,
    ShuttingDown,
    StoreError,
    ThreadClosed,
    ThreadConflict,
    ThreadErased,
)
from dadm.domain.task import DEFAULT_ENGINE, ServiceTask, refuse_unusable_scope
from dadm.domain.thread import GenerationReason, Thread, ThreadKey
from dadm.domain.turn import TurnKey
from dadm.ports.assistant_service import TaskAnswer
from dadm.ports.observer import TaskReceived, ThreadReused
from dadm.ports.store_values import ThreadGranted, ThreadHeld

PROCESSED_BY = "dadm"
"""What answers name as their maker."""


class NameBasedAssistantManager:
    """Answers service tasks on the durable threads of their process instances.

    Tasks with a `process_instance_id` share the thread of (process instance, assistant); a task
    without one has a thread of its own. A turn, once begun, runs to its end whether or not its
    caller still waits; the same task brought again meanwhile waits for the same answer.

    Used as an async context manager, which owns the turns in flight: leaving it waits for them,
    or, after `drain`, stops those that took too long, recoverable by whoever comes next.
    """

    def __init__(self, world: World) -> None:
        """Take turns in `world`."""
        self._world = world = world.with_confirmed_store()
        self._turns = TurnTaking(world)
        self._opening = self._turns.opening
        self._stopping = RunStopping(world)
        self._keeper = LeaseKeeper(world.store, world.clock, world.limits)
        self._running: dict[_Delivered, asyncio.Task[TurnResult | Exception]] = {}
        self._withdrawals: dict[_Delivered, Withdrawal] = {}
        self._group = asyncio.TaskGroup()
        self._background = AsyncExitStack()
        self._is_draining = False

    async def __aenter__(self) -> Self:
        """Begin to take turns."""
        await self._background.enter_async_context(self._group)
        # Leaving undoes this in turn: first no more tickets are kept, then the group is empty.
        self._background.callback(self._group.create_task(self._turns.keep_tickets()).cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for turns in flight and stop keeping tickets."""
        self._stop_taking()
        try:
            if self._running:
                await asyncio.wait(self._running.values())
        finally:
            # Only where this waiting itself was cancelled are there any left.
            for turn in self._running.values():
                turn.cancel()
            await self._background.aclose()

    @property
    def in_flight_count(self) -> int:
        """How many turns are running or waiting for their threads here."""
        return len(self._running)

    async def drain(self, *, seconds: float) -> int:
        """Begin no more turns, wait for those that hold their threads, then stop what is left.

        Tasks that wait for their threads are sent away at once, to be delivered elsewhere.

        Returns:
            How many were stopped; they are recovered when their tasks are delivered again.
        """
        self._stop_taking()
        left = set(self._running.values())
        if left:
            _, left = await asyncio.wait(left, timeout=seconds)
        for turn in left:
            turn.cancel()
        if left:
            await asyncio.wait(left)
        return len(left)

    async def process_task(self, task: ServiceTask) -> TaskAnswer:
        """Answer the task on its thread; see AssistantService for the contract."""
        assistant = self._world.assistants.resolve(task.assistant)
        result = await self._take(task, assistant)
        return self._answer(task, result)

    async def get_or_create_process_thread(
        self,
        process_instance_id: str,
        assistant_id: str,
        *,
        engine: str = DEFAULT_ENGINE,
        tenant: str = "",
    ) -> str:
        """Give the id of the thread of a process instance with an assistant.

        The thread is checked at its backend. Only a confirmed not-found recreates it, with its
        memory; an unreachable backend, a rate limit or a wrong key never does.

        Raises:
            InvalidTask: That cannot be the id of a process instance.
            UnknownAssistant: There is no such assistant.
            ThreadClosed: The process instance has ended.
            ThreadErased: Its thread is being erased.
            BackendError: The check did not succeed; nothing was changed.
            ThreadConflict: Another task holds the thread; come back when its turn has ended.
            ShuttingDown: This replica begins nothing more.
        """
        if self._is_draining:
            raise ShuttingDown
        refuse_unusable_scope("process_instance_id", process_instance_id)
        if not process_instance_id:
            msg = "process_instance_id is empty; only a process instance has a thread to ask for."
            raise InvalidTask(msg)
        assistant = self._world.assistants.resolve(assistant_id)
        key = ThreadKey(
            engine=engine, tenant=tenant, scope=process_instance_id, assistant=assistant.name
        )
        asked_at = self._world.clock.monotonic()
        try:
            granted = await self._world.store.lease_thread(
                key,
                owner=self._world.identifiers.new_id("owner"),
                lease_seconds=self._world.limits.lease_seconds,
            )
        except (ThreadClosed, ThreadErased) as error:
            raise explained_thread(error, key) from error
        if isinstance(granted, ThreadHeld):
            msg = f"A task of process {process_instance_id} holds the thread; come back later."
            raise ThreadConflict(msg)
        return await self._keeper.run(
            granted.lease,
            lambda: self._check_or_open(granted, process_instance_id),
            asked_at=asked_at,
        )

    async def knows_assistant(self, name: str) -> bool:
        """Whether `name` is a known name or alias of an assistant."""
        return self._world.assistants.knows(name)

    async def refuse_if_away(self) -> None:
        """Find out whether turns are taken here; see AssistantService."""
        if self._is_draining:
            raise ShuttingDown
        await self._world.store.now()

    async def withdraw_task(self, task: ServiceTask) -> None:
        """Stop what is under way for a task that is gone; see AssistantService."""
        here = [each for key, each in self._withdrawals.items() if key.turn == task.turn_key]
        is_stopped_here = any(withdrawal.has_run for withdrawal in here)
        for withdrawal in here:
            await withdrawal.withdraw()
        if not is_stopped_here:
            await self._stopping.stop_elsewhere(task)

    async def outcome_reported(self, task: ServiceTask) -> None:
        """Record that the engine has the outcome of this task's settled turn."""
        await self._world.store.mark_reported(task.turn_key)

    async def _take(self, task: ServiceTask, assistant: Assistant) -> TurnResult:
        if self._is_draining:
            raise ShuttingDown
        same = _Delivered(
            turn=task.turn_key,
            content_digest=task.content_digest,
            element_id=task.element_id,
            process_definition=task.process_definition,
        )
        running = self._running.get(same)
        if running is None:
            self._tell_received(task, assistant)
            withdrawal = Withdrawal()
            running = self._group.create_task(self._contained(task, assistant, withdrawal))
            self._running[same], self._withdrawals[same] = running, withdrawal
            running.add_done_callback(lambda _: self._forget(same))
        try:
            outcome = await asyncio.shield(running)
        except asyncio.CancelledError:
            if running.cancelled():
                raise ShuttingDown from None
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _tell_received(self, task: ServiceTask, assistant: Assistant) -> None:
        self._world.observer.notify(
            TaskReceived(
                process_instance_id=task.process_instance_id,
                task_id=task.task_id,
                engine=task.engine,
                assistant=assistant.name,
            )
        )

    def _forget(self, ended: "_Delivered") -> None:
        del self._running[ended], self._withdrawals[ended]

    def _stop_taking(self) -> None:
        self._is_draining = True
        self._turns.close()

    async def _contained(
        self, task: ServiceTask, assistant: Assistant, withdrawal: Withdrawal
    ) -> TurnResult | Exception:
        """Take the turn; an error is a value here, so that it meets its caller and no other turn."""
        try:
            return await self._turns.take(task, assistant, withdrawal)
        except RequestError as error:
            return await self._explained(error, task, assistant)
        except Exception as error:  # noqa: BLE001 - whatever it is, its caller gets it whole
            return error

    async def _explained(
        self, error: RequestError, task: ServiceTask, assistant: Assistant
    ) -> RequestError:
        key = ThreadKey(
            engine=task.engine,
            tenant=task.tenant,
            scope=task.thread_scope,
            assistant=assistant.name,
        )
        try:
            standing = await self._world.store.look_up(key, task.turn_key)
        except StoreError:
            return error
        return explained(error, task, standing)

    async def _check_or_open(self, granted: ThreadGranted, process_instance_id: str) -> str:
        thread = granted.thread
        try:
            reason = await self._reason_to_open(thread)
            if reason is None:
                return self._reused(thread, process_instance_id)
            opening = await self._opening.open(
                granted.lease, thread, reason=reason, process_instance_id=process_instance_id
            )
            return opening.thread_id
        finally:
            await self._world.store.release(granted.lease)

    async def _reason_to_open(self, thread: Thread) -> GenerationReason | None:
        if thread.live is None:
            return self._opening.reason_to_open(thread)
        backend = await self._opening.backend_of(thread)
        if await backend.exists(thread.live.conversation_id):
            return None
        return GenerationReason.LOST

    def _reused(self, thread: Thread, process_instance_id: str) -> str:
        thread_id = thread.thread_id or ""
        self._world.observer.notify(
            ThreadReused(
                process_instance_id=process_instance_id,
                thread_id=thread_id,
                assistant=thread.key.assistant,
            )
        )
        return thread_id

    def _answer(self, task: ServiceTask, result: TurnResult) -> TaskAnswer:
        turn = result.turn
        if turn.refusal is not None:
            raise error_of(turn.refusal)
        if turn.answer is None or turn.settled_at is None:
            msg = f"A person abandoned the turn of task {task.task_id}; it has no answer."
            raise BackendRefused(msg)
        thread = result.thread
        return TaskAnswer(
            task_id=task.task_id,
            turn_id=str(turn.ref),
            recommendation=turn.answer,
            assistant_id=thread.key.assistant,
            assistant_version=turn.assistant_version,
            thread_id=thread.thread_id or "",
            generation=thread.live.number if thread.live else turn.generation,
            change=result.opening.change,
            previous_thread_id=result.opening.previous_thread_id,
            copied_messages=result.opening.copied_messages,
            sequence=turn.sequence,
            is_replayed=result.is_replayed,
            is_recovered=turn.recovered,
            usage=turn.usage,
            processed_at=turn.settled_at,
            processed_by=PROCESSED_BY,
            has_structure=turn.answer_schema is not None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivered:
    """What makes two deliveries the same: the second then waits for the answer of the first."""

    turn: TurnKey
    content_digest: str
    element_id: str
    process_definition: str

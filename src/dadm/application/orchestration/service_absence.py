"""ServiceAbsence: leaves tasks at their engine while the assistant service is not there."""

import asyncio

from dadm.domain.errors import DadmError, ServiceUnavailable, ShuttingDown, StoreUnavailable
from dadm.ports.assistant_service import AssistantService
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.observer import Observer, ServiceTrouble


class ServiceAbsence:
    """Knows whether the assistant service takes tasks, and waits for it where it does not.

    A service that is being restarted is no failure of any task. Nothing is fetched meanwhile;
    the service is asked again after pauses that grow until it has answered a task.
    """

    def __init__(
        self,
        service: AssistantService,
        observer: Observer,
        clock: Clock,
        identifiers: Identifiers,
        *,
        engine_id: str,
        longest_pause_seconds: float,
    ) -> None:
        """Ask `service`, tell `observer`; `engine_id` names who keeps the tasks meanwhile."""
        self._service = service
        self._observer = observer
        self._clock = clock
        self._identifiers = identifiers
        self._engine_id = engine_id
        self._longest_pause_seconds = longest_pause_seconds
        self._is_away = False
        self._found_at = float("-inf")
        self._pauses = 0

    @property
    def is_known(self) -> bool:
        """Whether the service was not there when it was asked last."""
        return self._is_away

    def note(self, error: ServiceUnavailable | StoreUnavailable, *, passed_at: float) -> None:
        """Note what became of a task that was passed at `passed_at`, by the monotonic clock.

        What was passed before the service was last found says nothing about now: many tasks
        meet one absence, some of them late.
        """
        if self._is_away or passed_at < self._found_at:
            return
        self._is_away = True
        self._tell(error.message, is_over=False)

    def note_answer(self) -> None:
        """Note that the service answered a task, be it with an error."""
        self._pauses = 0

    async def wait(self, stop: asyncio.Event) -> None:
        """Return once the service takes tasks, or `stop` is set."""
        while self._is_away and not stop.is_set():
            self._pauses += 1
            pause = min(self._longest_pause_seconds, 0.5 * 2 ** min(self._pauses, 8))
            await wait_for(stop, pause * (0.5 + self._identifiers.fraction() / 2))
            if not stop.is_set():
                await self._look()

    async def _look(self) -> None:
        try:
            await self._service.refuse_if_away()
        except (ServiceUnavailable, StoreUnavailable, ShuttingDown):
            return
        except DadmError:
            # It is there, and each task is told what is wrong with it.
            pass
        self._is_away = False
        self._found_at = self._clock.monotonic()
        self._tell("", is_over=True)

    def _tell(self, reason: str, *, is_over: bool) -> None:
        self._observer.notify(
            ServiceTrouble(engine=self._engine_id, reason=reason, is_over=is_over)
        )


async def wait_for(stop: asyncio.Event, seconds: float) -> None:
    """Wait that long, or until `stop` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return

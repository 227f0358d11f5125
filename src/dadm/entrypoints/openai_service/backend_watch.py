"""BackendWatch: whether the backend is usable, known without waiting for it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from dadm.domain.errors import BackendError, BackendMisconfigured
from dadm.ports.backend import ConversationBackend
from dadm.ports.clock import Clock

LOGGER = logging.getLogger("dadm.openai_service")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendState:
    """What was last found: `unknown`, `usable`, `unreachable` or `misconfigured`, and why."""

    state: str = "unknown"
    detail: str = ""
    checked_at: datetime | None = None


class BackendWatch:
    """Asks the backend beside the requests, and only when somebody wants to know.

    A provider's outage thus delays no probe and takes no replica out.
    """

    def __init__(
        self,
        backend: ConversationBackend,
        clock: Clock,
        *,
        fresh_seconds: float = 30.0,
        patience_seconds: float = 10.0,
    ) -> None:
        """Ask `backend` again once the last answer is `fresh_seconds` old."""
        self._backend = backend
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._patience_seconds = patience_seconds
        self._group: asyncio.TaskGroup | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked_at: float | None = None
        self._found = BackendState()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Allow asking for the length of the context."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                if self._asking is not None:
                    self._asking.cancel()

    def state(self) -> BackendState:
        """Give what was last found, at once; asks again beside if that is old."""
        now = self._clock.monotonic()
        is_old = self._asked_at is None or now - self._asked_at >= self._fresh_seconds
        if is_old and self._group is not None and (self._asking is None or self._asking.done()):
            self._asked_at = now
            self._asking = self._group.create_task(self._ask())
        return self._found

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                state, detail = "usable", await self._backend.ping()
        except TimeoutError:
            state, detail = "unreachable", f"No answer within {self._patience_seconds:g} seconds."
        except BackendMisconfigured as error:
            state, detail = "misconfigured", error.message
        except BackendError as error:
            state, detail = "unreachable", error.message
        except Exception:
            # A fault in the check must not end the service that it is only a field of.
            LOGGER.exception("The check of the backend failed")
            state, detail = "unknown", "The check itself failed; the log says why."
        self._found = BackendState(state=state, detail=detail, checked_at=self._clock.now())

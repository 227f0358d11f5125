"""Where faults strike: around a request, inside a run, and on events on their way to a caller."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from dadm.adapters.simulators.openai.clock import Clock
from dadm.adapters.simulators.openai.ledger import Ledger
from dadm.adapters.simulators.openai.wire import Call, Events, Reply


class Phase(StrEnum):
    """A point in the run of a response."""

    ADMITTED = "admitted"
    """Checked, created and holding the lock; the model has not been asked."""
    SPEAKING = "speaking"
    """The model has answered; the next delta is about to be published."""
    ANSWERED = "answered"
    """Everything is published but the end; nothing has been appended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A run that has come to a phase; `call` is the request that began it."""

    phase: Phase
    call: Call
    response_id: str
    conversation_id: str | None


class RunEnds(Exception):
    """The run ends here, with what it has put out so far.

    `code` is that of a `failed` response, or the reason of an `incomplete` one.
    """

    def __init__(
        self, status: Literal["failed", "incomplete", "cancelled"], *, code: str, message: str = ""
    ) -> None:
        super().__init__(message or status)
        self.status = status
        self.code = code
        self.message = message


class Api(Protocol):
    """What a fault may do to the API, besides standing in the way of requests and runs."""

    @property
    def clock(self) -> Clock: ...

    @property
    def ledger(self) -> Ledger: ...

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` until it ends, is cancelled, or the simulator is left."""
        ...

    def conversation_of(self, call: Call) -> str | None:
        """Give the id of the conversation that a request is about, if it is about one."""
        ...

    def has_conversation(self, conversation_id: str) -> bool: ...

    def has_response(self, response_id: str) -> bool: ...

    def delete_conversation(self, conversation_id: str) -> None:
        """Delete a conversation behind its callers' backs."""
        ...

    def hold_lock(self, conversation_id: str, *, holder: str) -> None:
        """Lock a conversation for someone who is no response."""
        ...

    def release_lock(self, conversation_id: str, *, holder: str) -> None:
        """Undo `hold_lock` of this holder."""
        ...

    def expire_response(self, response_id: str) -> None:
        """Keep a response no longer, as if its time were over."""
        ...

    async def response_ended(self, response_id: str) -> None:
        """Wait until a response has ended and appended; there is nothing to wait for without it."""
        ...


class Faults(Protocol):
    """What may go wrong; every hook is awaited where the fault would strike, so it may delay.

    A hook may raise `ApiError` for an error reply and `ConnectionDropped` to break the connection.
    """

    def strike_at(self, api: Api) -> None:
        """Take up work at this API, before anything is asked of it."""
        ...

    async def around(self, call: Call, perform: Callable[[], Awaitable[Reply]]) -> Reply:
        """Answer a request by performing it, which takes effect each time it is awaited.

        Performing it not at all, later in a task of the simulator, or twice makes a lost, a late
        or a duplicated request; dropping the connection afterwards makes a lost reply. `perform`
        is cancelled when the caller leaves.
        """
        ...

    async def during(self, moment: Moment) -> None:
        """Stand in the way of a run; `RunEnds` ends it, and `ApiError` makes it fail."""
        ...

    def on_the_way(self, call: Call, events: Events) -> Events:
        """Give the events that reach the caller of those that were sent."""
        ...


class NoFaults:
    """Nothing goes wrong."""

    def strike_at(self, api: Api) -> None:
        del api

    async def around(self, call: Call, perform: Callable[[], Awaitable[Reply]]) -> Reply:
        del call
        return await perform()

    async def during(self, moment: Moment) -> None:
        del moment

    def on_the_way(self, call: Call, events: Events) -> Events:
        del call
        return events

"""Where faults strike: around a request, inside a run, and on events on their way to a caller."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

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
    """A run that has come to a phase."""

    phase: Phase
    response_id: str
    conversation_id: str | None


class Faults(Protocol):
    """What may go wrong; every hook is awaited where the fault would strike, so it may delay.

    A hook reaches the simulator through what it was built with; it may raise `ApiError` for an
    error reply and `ConnectionDropped` to break the connection.
    """

    async def around(self, call: Call, perform: Callable[[], Awaitable[Reply]]) -> Reply:
        """Answer a request by performing it, which takes effect each time it is awaited.

        Performing it not at all, later in a task of the simulator, or twice makes a lost, a late
        or a duplicated request; dropping the connection afterwards makes a lost reply. `perform`
        is cancelled when the caller leaves.
        """
        ...

    async def during(self, moment: Moment) -> None:
        """Stand in the way of a run; `ApiError` raised here makes the response fail."""
        ...

    def on_the_way(self, call: Call, events: Events) -> Events:
        """Give the events that reach the caller of those that were sent."""
        ...


class NoFaults:
    """Nothing goes wrong."""

    async def around(self, call: Call, perform: Callable[[], Awaitable[Reply]]) -> Reply:
        del call
        return await perform()

    async def during(self, moment: Moment) -> None:
        del moment

    def on_the_way(self, call: Call, events: Events) -> Events:
        del call
        return events

"""The events of one response, in order, kept so that any number of callers can follow or rejoin."""

import asyncio

from dadm.adapters.simulators.openai.changes import Changes
from dadm.adapters.simulators.openai.wire import Events, JsonObject


class EventLog:
    """Events numbered from 0 by `sequence_number`, open until `close`."""

    def __init__(self) -> None:
        self._events: list[JsonObject] = []
        self._changes = Changes()
        self._ended = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._ended.is_set()

    @property
    def last_type(self) -> str | None:
        """Give the type of the last event so far."""
        return str(self._events[-1]["type"]) if self._events else None

    def publish(self, event_type: str, **fields: object) -> None:
        """Append an event; it is never changed afterwards, so hand in snapshots."""
        number = len(self._events)
        self._events.append({"type": event_type, "sequence_number": number} | fields)
        self._changes.tell()

    def close(self) -> None:
        """Say that no event will follow; whoever follows the log comes to its end."""
        self._ended.set()
        self._changes.tell()

    async def wait_closed(self) -> None:
        await self._ended.wait()

    async def follow(self, *, after: int = -1) -> Events:
        """Give the events numbered above `after`, those to come included, until the log closes."""
        position = after + 1
        while True:
            while position < len(self._events):
                yield self._events[position]
                position += 1
            if self.is_closed:
                return
            await self._changes.wait()

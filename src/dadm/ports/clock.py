"""Clock and Identifiers: time and chance as the application is handed them."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """This replica's own clock; leases are never judged by it, only kept with a margin."""

    def now(self) -> datetime:
        """Give the wall-clock time, aware and in UTC; it may jump."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never go backwards, from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        ...


class Identifiers(Protocol):
    """Where new ids and chance come from."""

    def new_id(self, prefix: str) -> str:
        """Give a new id `prefix_…` that nobody else has."""
        ...

    def fraction(self) -> float:
        """Give a random number, at least 0 and below 1, for jitter."""
        ...

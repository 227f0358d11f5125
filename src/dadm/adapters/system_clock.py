"""SystemClock and RandomIdentifiers: this machine's time and chance."""

import asyncio
import secrets
import time
import uuid
from datetime import UTC, datetime


class SystemClock:
    """A Clock that reads the machine's own."""

    def now(self) -> datetime:
        """Give the wall-clock time, aware and in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds that never go backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        await asyncio.sleep(seconds)


class RandomIdentifiers:
    """Identifiers that nobody else has, for they are 122 random bits."""

    def __init__(self) -> None:
        """Draw from the operating system."""
        self._chance = secrets.SystemRandom()

    def new_id(self, prefix: str) -> str:
        """Give `prefix_` and 32 hexadecimal digits."""
        return f"{prefix}_{uuid.uuid4().hex}"

    def fraction(self) -> float:
        """Give a random number, at least 0 and below 1."""
        return self._chance.random()

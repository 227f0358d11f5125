"""Points in time as SQLite keeps them: microseconds since 1970 in UTC."""

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds_now() -> int:
    """Give the machine's time; WAL keeps all users of a file on one machine, so it is the file's."""
    return time.time_ns() // 1000


def instant(microseconds: int) -> datetime:
    """Read a stored point in time."""
    return EPOCH + timedelta(microseconds=microseconds)


def microseconds(at: datetime) -> int:
    """Write a point in time as it is stored."""
    return (at - EPOCH) // MICROSECOND


def later(now: int, seconds: float) -> int:
    """Give the instant that many seconds after `now`."""
    return now + int(seconds * 1_000_000)

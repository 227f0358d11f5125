"""BackOff: how long to wait before a request is tried again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from dadm.application.limits import TurnLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """Waits that double up to a bound, and that no two replicas have in common.

    `fraction` gives a random number from 0 to 1. `patience_seconds` is how long one delivery may
    wait in all before it goes back to its engine.
    """

    first_seconds: float
    longest_seconds: float
    patience_seconds: float
    fraction: Callable[[], float]

    @classmethod
    def within(cls, limits: TurnLimits, fraction: Callable[[], float]) -> "BackOff":
        """Wait as `limits` say."""
        return cls(
            first_seconds=limits.first_pause_seconds,
            longest_seconds=limits.longest_pause_seconds,
            patience_seconds=limits.patience_seconds,
            fraction=fraction,
        )

    def pause(self, tries: int, *, at_least: timedelta | None = None) -> float:
        """Give the seconds to wait after that many tries, at least as many as were asked for."""
        full = min(self.longest_seconds, self.first_seconds * 2.0 ** min(tries - 1, 16))
        asked_for = at_least.total_seconds() if at_least else 0.0
        return max(asked_for, full * (0.5 + self.fraction() / 2))

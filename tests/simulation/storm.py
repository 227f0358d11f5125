"""Storm: all chance of a run from one seed, and whether a trouble strikes here and now."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from tests.simulation.record import Record
from tests.simulation.weather import Trouble, Weather

T = TypeVar("T")


class Storm:
    """Draws. Once it is over nothing goes wrong any more, while delays are drawn as before."""

    def __init__(
        self, chance: Random, weather: Weather, record: Record, now: Callable[[], float]
    ) -> None:
        """Draw from `chance`; note what strikes in `record`."""
        self._chance = chance
        self._record = record
        self._now = now
        self.weather = weather
        self.is_over = False

    def strikes(self, trouble: Trouble, *, replica: str = "", about: str = "") -> bool:
        """Say whether `trouble` happens at this opportunity, and note it if so."""
        likely = self.weather.chances.get(trouble)
        if likely is None or self.is_over or self._chance.random() >= likely:
            return False
        self._record.strike(trouble.value, replica=replica, about=about)
        return True

    def is_possible(self, troubles: Sequence[Trouble]) -> bool:
        """Say whether any of these may still happen."""
        return not self.is_over and any(each in self.weather.chances for each in troubles)

    def latency(self) -> float:
        """Draw how long a message is under way."""
        return self._chance.random() * self.weather.latency_seconds

    def seconds(self, low: float, high: float) -> float:
        """Draw a time, short ones more often than long ones."""
        return float(low * (high / low) ** self._chance.random())

    def pick(self, among: Sequence[T]) -> T:
        """Draw one of several."""
        return among[int(self._chance.random() * len(among))]

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number, both ends included."""
        return self._chance.randint(low, high)

    def fraction(self) -> float:
        """Draw a number from 0 to 1."""
        return self._chance.random()

    def shuffled(self, among: Sequence[T]) -> list[T]:
        """Draw an order."""
        return self._chance.sample(list(among), len(among))

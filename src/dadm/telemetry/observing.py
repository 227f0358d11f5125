"""Fanout: one Observer that tells several."""

from collections.abc import Sequence

from dadm.ports.observer import Event, Observer


class Fanout:
    """Tells each of its observers, in the order they were given."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        """Tell `observers`."""
        self._observers = tuple(observers)

    def notify(self, event: Event) -> None:
        """Pass `event` on."""
        for observer in self._observers:
            observer.notify(event)

"""Withdrawal: what a task's turn is told when the task is gone from its engine."""

from collections.abc import Awaitable, Callable

from dadm.domain.errors import TaskGone


class Withdrawal:
    """Tells one delivery that nobody waits for its answer any more.

    A delivery that waits for its thread gives up its place. One whose model is being asked has
    the run stopped, where the backend can; what its turn then comes to is found out as ever.
    """

    def __init__(self) -> None:
        """Begin with a task that is there."""
        self._is_withdrawn = False
        self._wake: Callable[[], None] | None = None
        self._stop: Callable[[], Awaitable[None]] | None = None

    @property
    def is_withdrawn(self) -> bool:
        """Whether the task is gone."""
        return self._is_withdrawn

    @property
    def has_run(self) -> bool:
        """Whether the delivery waits for a run right now, and knows how to stop it."""
        return self._stop is not None

    async def withdraw(self) -> None:
        """Note that the task is gone; stop its run, if there is one.

        Raises:
            BackendError: The run could not be stopped.
        """
        self.note_withdrawn()
        if self._stop is not None:
            await self._stop()

    def note_withdrawn(self) -> None:
        """Note that the task is gone; its run has been stopped, or it has none."""
        self._is_withdrawn = True
        if self._wake is not None:
            self._wake()

    def wakes(self, wake: Callable[[], None]) -> None:
        """Say how the delivery is woken where it waits for its thread."""
        self._wake = wake

    def stops(self, stop: Callable[[], Awaitable[None]] | None) -> None:
        """Say how the delivery's run is stopped from now on; None where there is no run."""
        self._stop = stop

    def refuse_if_withdrawn(self) -> None:
        """Let nothing more be asked for a task that is gone.

        Raises:
            TaskGone: It is.
        """
        if self._is_withdrawn:
            raise TaskGone

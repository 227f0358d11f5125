"""SimulatedEngine: the memory engine, whose processes may also take back a single task."""

from dadm.adapters.engines.memory import MemoryEngine


class SimulatedEngine(MemoryEngine):
    """A MemoryEngine with boundary events."""

    def withdraw(self, task_id: str) -> None:
        """Take back a task, as an interrupting event at its boundary does."""
        self._offers.pop(task_id, None)

"""StoreGauges: what the store counts, as Prometheus reads it."""

from prometheus_client import CollectorRegistry, Gauge

from dadm.domain.thread import ThreadState
from dadm.domain.turn import TurnState
from dadm.ports.store_values import StoreStatistics


class StoreGauges:
    """Threads, turns and conversations by their states, when the page was read last."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Show them on the page of `registry`."""

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(name, meaning, labels, registry=registry)

        self._up = gauge("dadm_store_up", "1 if the store answered when this was read.")
        self._threads = gauge("dadm_threads", "Threads by state.", "state")
        self._stored_turns = gauge("dadm_stored_turns", "Turns by state.", "state")
        self._open_turns = gauge("dadm_open_turns", "Turns submitted or unknown.")
        self._oldest_open = gauge("dadm_oldest_open_turn_seconds", "Age of the oldest open turn.")
        self._unreported = gauge("dadm_unreported_turns", "Settled turns nobody was told of.")
        self._retired = gauge("dadm_retired_conversations", "Conversations waiting for erasure.")

    def show(self, found: StoreStatistics) -> None:
        """Show what the store counted."""
        self._up.set(1)
        for thread_state in ThreadState:
            count = found.threads_by_state.get(thread_state, 0)
            self._threads.labels(thread_state.value).set(count)
        for turn_state in TurnState:
            count = found.turns_by_state.get(turn_state, 0)
            self._stored_turns.labels(turn_state.value).set(count)
        self._open_turns.set(
            sum(found.turns_by_state.get(state, 0) for state in TurnState if state.is_open)
        )
        self._oldest_open.set(found.oldest_open_seconds)
        self._unreported.set(found.unreported_turns)
        self._retired.set(found.retired_conversations)

    def show_away(self) -> None:
        """Show that the store did not answer; the counts stay as they were."""
        self._up.set(0)

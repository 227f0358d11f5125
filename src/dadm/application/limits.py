"""TurnLimits: how long things may take and how many may happen at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLimits:
    """Bounds of turn taking; seconds unless the name says otherwise.

    Attributes:
        turn_seconds: The longest one turn may hold its thread, its recovery included.
        lease_seconds: How long a thread's lease lasts without a heartbeat.
        lease_margin_seconds: The holder stops deciding this long before its lease may end.
        ticket_seconds: How long a waiting task keeps its place without a heartbeat.
        concurrent_turns: Turns that may hold their threads at once in this replica.
        waiting_turns: Tasks that may wait for their threads at once in this replica.
        poll_seconds: How often the first waiter asks whether another replica is done, at least.
        busy_poll_seconds: How soon a run under way at the backend is asked about again, at first.
        copied_characters: How much transcript a rebuilt conversation is given back at most.
        patience_seconds: How long one delivery may wait in all for a backend that is busy or
            failing, before it is sent back to its engine.
        first_pause_seconds: The first wait before a request is tried again; it doubles each time.
        longest_pause_seconds: The longest such wait, unless the backend asks for more.
        failures_in_a_row: After so many failures in a row a backend is left alone.
        rest_seconds: For how long, the first time; it doubles each time.
        longest_rest_seconds: For how long at most.
        losses_believed: How many threads' conversations one backend may lose within
            `losses_seconds` before more are no longer believed but shown to a person.
        losses_seconds: See there.
        is_shortened: Whether a conversation that no longer fits the model's window gives way to
            one with less of the thread; otherwise its tasks are refused.
        retired_seconds: How long a conversation that is no longer in use stays at its backend, at
            least as long as a turn may take; 0 to keep them all.
    """

    turn_seconds: float = 600.0
    lease_seconds: float = 30.0
    lease_margin_seconds: float = 5.0
    ticket_seconds: float = 60.0
    concurrent_turns: int = 16
    waiting_turns: int = 1000
    poll_seconds: float = 1.0
    busy_poll_seconds: float = 2.0
    copied_characters: int = 400_000
    patience_seconds: float = 60.0
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 20.0
    failures_in_a_row: int = 5
    rest_seconds: float = 15.0
    longest_rest_seconds: float = 300.0
    losses_believed: int = 10
    losses_seconds: float = 600.0
    is_shortened: bool = True
    retired_seconds: float = 86_400.0

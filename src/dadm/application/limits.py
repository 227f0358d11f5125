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
        busy_poll_seconds: How often a run under way at the backend is asked about.
        copied_characters: How much transcript a rebuilt conversation is given back at most.
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

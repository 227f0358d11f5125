"""Weather: all that one seed lets happen to a run, drawn before the run begins.

Seeds differ in kind, not only in order. Some have no faults at all, so that anything odd is a
bug; some have one kind of fault, so that its effects stand alone; some have everything at once.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from random import Random


class Trouble(StrEnum):
    """What may go wrong. The name's first word says where."""

    STORE_LOST = "store_lost"
    STORE_UNCONFIRMED = "store_unconfirmed"
    STORE_LATE = "store_late"
    STORE_CUT_OFF = "store_cut_off"
    STORE_CLOCK_JUMPS = "store_clock_jumps"
    ENGINE_LOST = "engine_lost"
    ENGINE_UNCONFIRMED = "engine_unconfirmed"
    ENGINE_LATE = "engine_late"
    ENGINE_TWICE = "engine_twice"
    ENGINE_CLOCK_JUMPS = "engine_clock_jumps"
    BACKEND_UNREACHABLE = "backend_unreachable"
    BACKEND_BUSY_RATE = "backend_busy_rate"
    BACKEND_LOST = "backend_lost"
    BACKEND_UNCONFIRMED = "backend_unconfirmed"
    BACKEND_LATE = "backend_late"
    BACKEND_TWICE = "backend_twice"
    BACKEND_NOT_FOUND = "backend_not_found"
    BACKEND_WRONG_KEY = "backend_wrong_key"
    BACKEND_OUTAGE = "backend_outage"
    STREAM_BROKEN = "stream_broken"
    STREAM_SILENT = "stream_silent"
    RUN_FAILED = "run_failed"
    RUN_FAILED_FOR_GOOD = "run_failed_for_good"
    RUN_CUT_SHORT = "run_cut_short"
    RUN_CANCELLED = "run_cancelled"
    RUN_REFUSED = "run_refused"
    RUN_SLOW = "run_slow"
    RUN_TOO_LONG = "run_too_long"
    RUN_EXPIRED = "run_expired"
    CONVERSATION_LOST = "conversation_lost"
    CONVERSATION_LOCKED = "conversation_locked"
    CONVERSATION_FOREIGN = "conversation_foreign"
    CONVERSATION_ORPHAN = "conversation_orphan"
    CONVERSATION_ITEM_GONE = "conversation_item_gone"
    REPLICA_CRASH_AT_CALL = "replica_crash_at_call"
    REPLICA_CRASH = "replica_crash"
    REPLICA_PAUSE_AT_CALL = "replica_pause_at_call"
    REPLICA_PAUSE = "replica_pause"
    REPLICA_STOP = "replica_stop"
    REPLICA_CLOCK_JUMPS = "replica_clock_jumps"
    INSTANCE_ENDED = "instance_ended"
    TASK_CANCELLED = "task_cancelled"
    OPERATOR_RETRIES = "operator_retries"
    PERSON_ERASES = "person_erases"
    PERSON_REBUILDS = "person_rebuilds"
    PERSON_RESOLVES = "person_resolves"
    VISITOR = "visitor"


RATES = (0.01, 0.04, 0.15)
"""How likely a trouble is at each of its chances."""

THEMES: tuple[tuple[Trouble, ...], ...] = (
    (Trouble.STORE_CLOCK_JUMPS, Trouble.ENGINE_CLOCK_JUMPS),
    (Trouble.STORE_CLOCK_JUMPS, Trouble.ENGINE_CLOCK_JUMPS, Trouble.RUN_CUT_SHORT),
    (Trouble.REPLICA_PAUSE, Trouble.REPLICA_PAUSE_AT_CALL, Trouble.ENGINE_CLOCK_JUMPS),
    (Trouble.REPLICA_PAUSE_AT_CALL, Trouble.RUN_CUT_SHORT, Trouble.BACKEND_BUSY_RATE),
    (Trouble.REPLICA_CRASH, Trouble.REPLICA_CRASH_AT_CALL),
    (Trouble.REPLICA_CRASH_AT_CALL, Trouble.STREAM_BROKEN),
    (Trouble.REPLICA_CRASH_AT_CALL, Trouble.CONVERSATION_LOST),
    (Trouble.REPLICA_PAUSE_AT_CALL, Trouble.CONVERSATION_LOST),
    (Trouble.CONVERSATION_LOST, Trouble.BACKEND_LATE, Trouble.BACKEND_LOST),
    (Trouble.STREAM_BROKEN, Trouble.STREAM_SILENT, Trouble.BACKEND_UNCONFIRMED),
    (Trouble.STORE_LATE, Trouble.BACKEND_BUSY_RATE, Trouble.BACKEND_UNREACHABLE),
    (Trouble.STORE_LATE, Trouble.STREAM_BROKEN, Trouble.BACKEND_LOST),
    (Trouble.PERSON_ERASES, Trouble.INSTANCE_ENDED, Trouble.REPLICA_PAUSE_AT_CALL),
    (Trouble.PERSON_ERASES, Trouble.REPLICA_CRASH_AT_CALL, Trouble.BACKEND_LATE),
    (Trouble.PERSON_REBUILDS, Trouble.REPLICA_CRASH_AT_CALL, Trouble.STREAM_BROKEN),
    (Trouble.PERSON_RESOLVES, Trouble.STREAM_SILENT, Trouble.BACKEND_UNREACHABLE),
)
"""Troubles whose effects meet: a lease that runs out while its holder is paused, and the like."""

SHARE_OF_THEMES = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What a run is made of.

    `chances` says how likely each trouble is at each opportunity; what is not in it does not
    happen. Troubles without an opportunity of their own come up every few seconds until
    `storm_seconds` have passed; from then on nothing goes wrong any more.
    """

    replicas: int
    instances: int
    tasks: int
    storm_seconds: float
    latency_seconds: float
    keeps_conversations: bool
    names_runs: bool
    runs_outlive_callers: bool
    links_items: bool
    appends_when_cut_short: str
    appends_when_failed: str
    model_seconds: float
    concurrent_turns: int
    copied_characters: int
    patience_seconds: float
    lease_seconds: float
    ticket_seconds: float
    task_lease_seconds: float
    same_words: bool
    """Whether tasks of one thread ask the same question in the same words."""
    assistants: int
    chances: dict[Trouble, float]

    def lines(self) -> list[str]:
        """Give it as text."""
        own = [each.name for each in fields(self) if each.name != "chances"]
        return [
            ", ".join(f"{name}={getattr(self, name)}" for name in own),
            ", ".join(f"{trouble.value} {likely:g}" for trouble, likely in self.chances.items())
            or "no trouble",
        ]


def draw_weather(chance: Random) -> Weather:
    """Draw what a run is made of."""
    # Where troubles meet, a thread has to be worth fighting for: few of them, and slow answers.
    is_themed = chance.random() < SHARE_OF_THEMES
    return Weather(
        replicas=chance.choice((2, 2, 3) if is_themed else (1, 2, 2, 3, 4)),
        instances=chance.choice((1, 1, 2) if is_themed else (1, 1, 2, 3, 4)),
        tasks=chance.randint(4, 14),
        storm_seconds=chance.choice((20.0, 60.0, 200.0)),
        latency_seconds=chance.choice((0.002, 0.05, 0.5)),
        keeps_conversations=chance.random() < 0.8,
        names_runs=chance.random() < (0.3 if is_themed else 0.6),
        runs_outlive_callers=chance.random() < 0.7,
        links_items=chance.random() < 0.6,
        appends_when_cut_short=chance.choice(("nothing", "input", "both", "both")),
        appends_when_failed=chance.choice(("nothing", "nothing", "input")),
        model_seconds=chance.choice((2.0, 10.0, 10.0) if is_themed else (0.2, 2.0, 10.0)),
        concurrent_turns=chance.choice((1, 2, 8)),
        copied_characters=chance.choice((150, 100_000, 100_000)),
        patience_seconds=chance.choice((5.0, 60.0)),
        lease_seconds=chance.choice((6.0, 30.0)),
        ticket_seconds=chance.choice((9.0, 60.0)),
        task_lease_seconds=chance.choice((12.0, 60.0)),
        same_words=chance.random() < 0.5,
        assistants=chance.choice((1, 1, 2)),
        chances=_of_theme(chance) if is_themed else _of_any_kind(chance),
    )


def _of_theme(chance: Random) -> dict[Trouble, float]:
    return {trouble: chance.choice(RATES[1:]) for trouble in chance.choice(THEMES)}


def _of_any_kind(chance: Random) -> dict[Trouble, float]:
    kinds = chance.choices((0, 1, 2, 4, len(Trouble)), weights=(5, 25, 30, 30, 10))[0]
    chosen = chance.sample(list(Trouble), kinds)
    # Where everything happens, each happens seldom: a run must still get somewhere.
    rates = RATES[:2] if kinds == len(Trouble) else RATES
    return {trouble: chance.choice(rates) for trouble in chosen}

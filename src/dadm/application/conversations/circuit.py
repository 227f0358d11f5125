"""Circuits: leave a backend alone that fails again and again, and try it carefully later."""

from dataclasses import dataclass
from datetime import timedelta

from dadm.application.conversations.reachable_backends import described
from dadm.application.limits import TurnLimits
from dadm.domain.errors import (
    BackendError,
    BackendResting,
    BackendUnavailable,
    ConversationBusy,
    OutcomeUnknown,
)
from dadm.domain.thread import BackendIdentity
from dadm.ports.clock import Clock
from dadm.ports.observer import BackendTrouble, Observer


@dataclass(slots=True, kw_only=True)
class _Circuit:
    failures: int = 0
    openings: int = 0
    open_until: float | None = None
    is_probed: bool = False
    reason: str = ""


class Circuits:
    """One circuit for each backend, as this replica has met it.

        closed ── so many failures in a row ──▶ open ── its rest is over ──▶ probing
          ▲                                      ▲   (one turn is let in)      │ │
          └──────────── an answer ───────────────┼─────────────────────────────┘ │
                                                 └── a failure, twice the rest ──┘

    A failure is a request that was not taken or whose outcome is unknown; whatever the backend
    says definitely, an error included, is an answer. While a circuit is open, tasks are sent back
    to their engine at once and keep their retries.
    """

    def __init__(self, clock: Clock, observer: Observer, limits: TurnLimits) -> None:
        """Measure rests by `clock`'s monotonic time; tell `observer` of changes."""
        self._clock = clock
        self._observer = observer
        self._limits = limits
        self._circuits: dict[BackendIdentity, _Circuit] = {}

    def admit(self, backend: BackendIdentity) -> None:
        """Let a turn use the backend, as a probe where its rest is over.

        Raises:
            BackendResting: Its circuit is open, or a probe is under way; says for how long.
        """
        circuit = self._of(backend)
        if circuit.open_until is None:
            return
        now = self._clock.monotonic()
        if now < circuit.open_until:
            rest = timedelta(seconds=circuit.open_until - now)
            msg = (
                f"The backend {described(backend)} failed {circuit.failures} times in a row and is "
                f"left alone for another {rest.total_seconds():.0f} seconds; the task keeps its "
                f"retries. The last time: {circuit.reason}"
            )
            raise BackendResting(msg, retry_after=rest)
        # Others are kept away until this one has found out, or for as long as it may take.
        circuit.open_until = now + self._rest_seconds(circuit)
        circuit.is_probed = True

    def lets_all_in(self, backend: BackendIdentity) -> bool:
        """Whether any turn may use the backend without being admitted."""
        return self._of(backend).open_until is None

    def give_probe_back(self, backend: BackendIdentity) -> None:
        """Let another turn be the probe: this one was ended before it found anything out."""
        circuit = self._of(backend)
        if circuit.is_probed:
            circuit.is_probed = False
            circuit.open_until = self._clock.monotonic()

    def is_failing(self, backend: BackendIdentity) -> bool:
        """Whether nothing new should be begun at the backend by a turn that was let in."""
        circuit = self._of(backend)
        return circuit.open_until is not None and not circuit.is_probed

    def note(self, backend: BackendIdentity, error: BackendError | None) -> None:
        """Note how a turn went: answered, or ended by `error`.

        Only turns count, and conversations that could not be opened for them, but nothing that is
        read: a provider may well list conversations while it answers no question. A busy
        conversation says nothing about its backend.
        """
        match error:
            case ConversationBusy():
                return
            case OutcomeUnknown(is_well=False) | BackendUnavailable():
                self._failed(backend, error.message)
            case _:
                self._answered(backend)

    def _answered(self, backend: BackendIdentity) -> None:
        circuit = self._of(backend)
        if circuit.open_until is not None:
            self._observer.notify(BackendTrouble(backend=backend.adapter, reason="", is_over=True))
        self._circuits[backend] = _Circuit()

    def _failed(self, backend: BackendIdentity, reason: str) -> None:
        circuit = self._of(backend)
        circuit.failures += 1
        circuit.reason = reason
        is_due = circuit.open_until is None and circuit.failures >= self._limits.failures_in_a_row
        if is_due or circuit.is_probed:
            circuit.openings += 1
            circuit.is_probed = False
            circuit.open_until = self._clock.monotonic() + self._rest_seconds(circuit)
        if is_due:
            self._observer.notify(
                BackendTrouble(backend=backend.adapter, reason=reason, is_over=False)
            )

    def _of(self, backend: BackendIdentity) -> _Circuit:
        return self._circuits.setdefault(backend, _Circuit())

    def _rest_seconds(self, circuit: _Circuit) -> float:
        doubled = self._limits.rest_seconds * 2.0 ** min(max(0, circuit.openings - 1), 16)
        return min(self._limits.longest_rest_seconds, doubled)

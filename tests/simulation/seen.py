"""Seen: all that the checks of a run may look at; nothing of it is the product's inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dadm.adapters.engines.memory import TaskReport
from dadm.domain.thread import Generation
from dadm.domain.transcript import Exchange, Message
from tests.simulation.backend import Run
from tests.simulation.conversations import Conversation
from tests.simulation.ledger import Ledger
from tests.simulation.person import Person
from tests.simulation.processes import Processes
from tests.simulation.record import Fault, Record
from tests.simulation.weather import Trouble, Weather
from tests.simulation.witness import ThreadSeen, Witness

HARMLESS = frozenset(
    {
        Trouble.ENGINE_LOST,
        Trouble.ENGINE_UNCONFIRMED,
        Trouble.ENGINE_LATE,
        Trouble.ENGINE_TWICE,
        Trouble.ENGINE_CLOCK_JUMPS,
        Trouble.REPLICA_CLOCK_JUMPS,
        Trouble.OPERATOR_RETRIES,
        Trouble.VISITOR,
        Trouble.PERSON_ERASES,
        Trouble.INSTANCE_ENDED,
        Trouble.TASK_CANCELLED,
    }
)
"""Troubles that excuse nothing: whatever the engine does, a turn is asked once and in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run after its end: the store by its reading methods, the backend's ledger, the engine."""

    weather: Weather
    record: Record
    witness: Witness
    threads: Sequence[ThreadSeen]
    ledger: Ledger
    conversations: Mapping[str, Conversation]
    processes: Processes
    person: Person
    runs: Mapping[str, Run]
    reports: Sequence[TaskReport]
    is_quiet: bool

    def faults_about(self, thread: ThreadSeen, *tasks: str) -> list[Fault]:
        """Give the faults that may have struck tasks of a thread, those that name nobody included."""
        names = {"", *tasks, thread.thread.key.scope, f"thread {thread.thread.ref}"}
        names |= {each.conversation_id for each in thread.generations}
        return [
            fault
            for fault in self.record.faults
            if fault.kind not in HARMLESS and (fault.about in names or is_of_replica(fault))
        ]

    def copies_in(self, thread: ThreadSeen, generation: Generation) -> list[Exchange]:
        """Give the exchanges that a conversation was opened with, as the store recorded it."""
        if not generation.opened_to:
            return []
        inside = [
            each
            for each in thread.exchanges
            if generation.opened_from <= each.sequence <= generation.opened_to
        ]
        if 2 * len(inside) == generation.copied_messages - 2:
            return [thread.exchanges[0], *inside]
        return inside

    def messages_of(self, exchanges: Sequence[Exchange]) -> list[Message]:
        """Give the messages of exchanges, in order."""
        return [message for exchange in exchanges for message in exchange.messages]


def is_of_replica(fault: Fault) -> bool:
    """Whether a fault struck a whole replica, whatever that was doing."""
    return fault.kind.startswith(("replica_", "store_cut_off", "backend_outage"))


def is_foreign(message: Message) -> bool:
    """Whether somebody else wrote a message."""
    return message.text.startswith("[foreign]")

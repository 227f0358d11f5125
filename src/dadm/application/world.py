"""World: what turn taking is handed, from the store to chance."""

from dataclasses import dataclass, replace
from typing import Self

from dadm.application.back_off import BackOff
from dadm.application.confirmed_store import confirmed
from dadm.application.limits import TurnLimits
from dadm.domain.assistant import AssistantCatalogue
from dadm.ports.backend import ConversationBackends
from dadm.ports.clock import Clock, Identifiers
from dadm.ports.observer import Observer
from dadm.ports.store import ThreadStore


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where things are durable, who answers, who is told, time, chance and bounds."""

    store: ThreadStore
    backends: ConversationBackends
    assistants: AssistantCatalogue
    observer: Observer
    clock: Clock
    identifiers: Identifiers
    limits: TurnLimits

    @property
    def back_off(self) -> BackOff:
        """How long to wait before a backend is asked again."""
        return BackOff.within(self.limits, self.identifiers.fraction)

    def with_confirmed_store(self) -> Self:
        """Give the same world with a store that is asked again where it did not confirm."""
        return replace(self, store=confirmed(self.store, self.clock))

"""ThreadCare: what a person can have done about threads, put together over one world."""

from dadm.application.care.answer_finding import AnswerFinding
from dadm.application.care.thread_erasing import ThreadErasing
from dadm.application.care.thread_rebuilding import ThreadRebuilding
from dadm.application.care.thread_verifying import ThreadVerifying
from dadm.application.care.turn_resolving import TurnResolving
from dadm.application.conversations.circuit import Circuits
from dadm.application.conversations.conversation_opening import ConversationOpening
from dadm.application.thread_holding import PATIENCE_SECONDS, ThreadHolding
from dadm.application.turns.recovery import Recovery
from dadm.application.world import World


class ThreadCare:
    """Works beside replicas that take turns on the same store: leases keep them apart."""

    def __init__(self, world: World, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Care for the world's threads; wait at most `patience_seconds` for one that is held."""
        world = world.with_confirmed_store()
        circuits = Circuits(world.clock, world.observer, world.limits)
        opening = ConversationOpening(world, circuits)
        recovery = Recovery(world, opening, circuits)
        holding = ThreadHolding(world, patience_seconds=patience_seconds)
        self.rebuilding = ThreadRebuilding(world, holding, opening, recovery)
        self.verifying = ThreadVerifying(world, holding, self.rebuilding)
        self.resolving = TurnResolving(world, holding, AnswerFinding(world))
        self.erasing = ThreadErasing(world, holding)

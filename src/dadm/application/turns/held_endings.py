"""HeldEndings: the ways in which a held turn is left, and its thread with it."""

from dadm.application.turns.held import Held, TurnResult
from dadm.application.turns.recovery import Recovery
from dadm.application.turns.recovery_case import Ended
from dadm.application.turns.turn_news import TurnNews
from dadm.application.world import World
from dadm.domain.errors import BackendRefused, DadmError
from dadm.domain.turn import Refusal, Turn
from dadm.ports.backend import Answered, CutShort
from dadm.ports.store_values import AnswerSettlement, RefusalSettlement


class HeldEndings:
    """Settles a held turn, or gives it back planned or unknown; each way frees the thread."""

    def __init__(self, world: World, recovery: Recovery) -> None:
        """Record in the world's store, tell its observer."""
        self._store = world.store
        self._recovery = recovery
        self._news = TurnNews(world.observer, world.clock)
        self._clock = world.clock

    async def settle(self, held: Held, end: Answered | CutShort, begun_at: float) -> TurnResult:
        """Record what the backend answered to a turn that was asked at `begun_at`."""
        answered_at = self._clock.monotonic()
        if isinstance(end, CutShort):
            ended = await self._recovery.refuse_cut_short(held.lease, held.thread, held.turn, end)
            return await self.finish(held, ended)
        settlement = AnswerSettlement(
            answer=end.text, usage=end.usage, last_item_id=end.last_item_id
        )
        turn = await self._store.settle(held.lease, held.turn.ref, settlement)
        self._news.completed(held, turn, begun_at=begun_at, answered_at=answered_at)
        return result_of(held, turn)

    async def refuse(self, held: Held, error: BackendRefused) -> TurnResult:
        """Record that the backend will never answer this."""
        refusal = Refusal(code=error.code, reason=error.message)
        turn = await self._store.settle(
            held.lease, held.turn.ref, RefusalSettlement(refusal=refusal)
        )
        self._news.refused(held, refusal)
        return result_of(held, turn)

    async def finish(self, held: Held, ended: Ended) -> TurnResult:
        """Release the thread of a turn that was brought to its end by looking."""
        await self._store.release(held.lease)
        self.tell_end(held, ended.turn)
        return result_of(held, ended.turn)

    def tell_end(self, held: Held, turn: Turn) -> None:
        """Tell of a turn that was brought to its end by looking."""
        if turn.refusal is not None:
            self._news.refused(held, turn.refusal)
            return
        now = self._clock.monotonic()
        self._news.completed(held, turn, begun_at=now, answered_at=now)

    async def plan_again(self, held: Held, error: DadmError) -> None:
        """Leave a turn planned, proven not applied; its place in the line is given up."""
        await self._store.replan(
            held.lease,
            held.attempt.ref,
            error_code=error.code,
            error_message=error.message,
            keep_lease=False,
        )
        self._news.unsettled(held, error, is_unknown=False)

    async def set_aside(self, held: Held, error: DadmError) -> None:
        """Leave a turn unknown, for whoever holds the thread next to look."""
        await self._store.set_aside(
            held.lease, held.turn.ref, error_code=error.code, error_message=error.message
        )
        self._news.unsettled(held, error, is_unknown=True)

    async def give_back(self, held: Held, error: DadmError | None = None) -> None:
        """Release the thread of a turn that is planned again, and its place in the line."""
        # In this order: the heartbeat takes a thread that is not held any more for a lost one.
        await self._store.drop_ticket(held.turn.ref)
        await self._store.release(held.lease)
        if error is not None:
            self._news.unsettled(held, error, is_unknown=False)


def result_of(held: Held, turn: Turn) -> TurnResult:
    """Give what became of a turn that was not recorded before."""
    return TurnResult(turn=turn, thread=held.thread, opening=held.opening, is_replayed=False)

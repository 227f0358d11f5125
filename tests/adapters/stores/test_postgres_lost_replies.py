"""Where the server has committed and its answer is lost, asking again gives what was decided."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from dadm.adapters.stores.postgres import PostgresStore, open_postgres
from dadm.domain.errors import StoreUnavailable
from dadm.domain.thread import GenerationReason, Usage
from dadm.domain.turn import TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.backend import ErasureReport
from dadm.ports.store import ThreadStore
from tests.adapters.stores.cutting_proxy import CuttingProxy, cutting_proxy
from tests.contracts.stores import (
    StoreUnderTest,
    answer,
    granted,
    refusal,
    request,
    submission,
    submitted,
    turn_key,
)

pytestmark = pytest.mark.postgres

T = TypeVar("T")


class Cut(StoreUnderTest):
    """A store whose answers can be lost."""

    proxy: CuttingProxy

    async def ask_again(self, ask: Callable[[ThreadStore], Awaitable[T]]) -> T:
        """Lose the answer to a call, and make the same call again."""
        self.proxy.cut_once()
        with pytest.raises(StoreUnavailable):
            await ask(self.store)
        assert self.proxy.cuts == 1
        return await ask(self.store)


@pytest.fixture
async def given(postgres_url: str) -> AsyncIterator[Cut]:
    async def put(*_: object) -> None:
        raise NotImplementedError

    async with (
        cutting_proxy(postgres_url) as (url, proxy),
        open_postgres(url, connections=1) as database,
    ):
        cut = Cut(PostgresStore(database), put)
        cut.proxy = proxy
        yield cut


async def test_a_claim_is_given_the_same_lease_and_submission(given: Cut) -> None:
    await given.ready()
    asked = request(asks=submission())

    taken = submitted(await given.ask_again(lambda store: store.claim(asked)))

    # Making the conversation took the first.
    assert taken.lease.fence == 2
    assert (taken.turn.sequence, taken.thread.turn_count) == (1, 1)
    assert len(await given.store.attempts(taken.turn.ref)) == 1


async def test_a_submission_is_made_once(given: Cut) -> None:
    await given.ready()
    claim = granted(await given.store.claim(request()))

    taken = await given.ask_again(
        lambda store: store.submit(claim.lease, claim.turn.ref, submission())
    )

    assert taken.thread.turn_count == 1
    assert len(await given.store.attempts(taken.turn.ref)) == 1


async def test_an_answer_is_settled_once(given: Cut) -> None:
    await given.ready()
    taken = await given.submit()
    usage = Usage(input_tokens=7)
    end = answer("A", usage=usage, recovered=True)

    settled = await given.ask_again(lambda store: store.settle(taken.lease, taken.turn.ref, end))

    thread = await given.thread()
    assert (settled.state, settled.answer) == (TurnState.COMPLETED, "A")
    assert (thread.usage, thread.chain) == (usage, settled.link)
    assert [action for action, _ in await given.trail(thread.ref)] == [AuditAction.RECOVERED]


async def test_a_refusal_is_settled_once(given: Cut) -> None:
    await given.ready()
    taken = await given.submit()
    end = refusal(usage=Usage(input_tokens=7))

    settled = await given.ask_again(lambda store: store.settle(taken.lease, taken.turn.ref, end))

    assert settled.state is TurnState.REFUSED
    assert (await given.thread()).usage == end.usage
    assert [action for action, _ in await given.trail(settled.thread)] == [AuditAction.REFUSED]


async def test_a_turn_is_set_aside_once(given: Cut) -> None:
    await given.ready()
    taken = await given.submit()

    await given.ask_again(
        lambda store: store.set_aside(
            taken.lease, taken.turn.ref, error_code="x", error_message="y"
        )
    )

    assert (await given.turn(taken.turn.ref)).state is TurnState.UNKNOWN


async def test_a_turn_is_planned_again_once(given: Cut) -> None:
    await given.ready()
    taken = await given.submit()

    await given.ask_again(
        lambda store: store.replan(
            taken.lease, taken.attempt.ref, error_code="x", error_message="y", keep_lease=False
        )
    )

    assert (await given.turn(taken.turn.ref)).state is TurnState.PLANNED
    assert (await given.thread()).turn_count == 0
    assert await given.trail(taken.turn.thread) == [(AuditAction.ASKED_AGAIN, "x")]


async def test_a_run_keeps_its_name_and_a_report_its_mark(given: Cut) -> None:
    await given.ready()
    taken = await given.submit()
    await given.ask_again(lambda store: store.note_response(taken.attempt.ref, "resp_1"))
    await given.store.settle(taken.lease, taken.turn.ref, answer())
    given.proxy.cuts = 0

    await given.ask_again(lambda store: store.mark_reported(turn_key()))

    (attempt,) = await given.store.attempts(taken.turn.ref)
    assert attempt.response_id == "resp_1"
    assert (await given.turn(taken.turn.ref)).is_reported


async def test_a_conversation_is_noted_and_goes_live_once(given: Cut) -> None:
    holder = await given.lease()
    await given.converse(holder.lease, "conv_1")

    noted = await given.ask_again(
        lambda _: given.note_conversation(holder.lease, "conv_2", reason=GenerationReason.FENCED)
    )
    given.proxy.cuts = 0
    live = await given.ask_again(lambda store: store.make_live(holder.lease, noted.number))

    assert [found.number for found in await given.store.generations(live.thread)] == [1, 2]
    assert [action for action, _ in await given.trail(live.thread)] == [AuditAction.FENCED]


async def test_an_erasure_is_begun_noted_and_finished_once(given: Cut) -> None:
    await given.ready()
    await given.complete()
    holder = await given.lease()
    thread = holder.thread.ref
    report = ErasureReport(deleted_items=2, deleted_responses=1)

    await given.ask_again(lambda store: store.begin_erasure(holder.lease))
    given.proxy.cuts = 0
    await given.ask_again(lambda store: store.note_erased(thread, 1, report))
    given.proxy.cuts = 0
    receipt = await given.ask_again(lambda store: store.finish_erasure(holder.lease))

    assert (receipt.turns, receipt.deleted_items) == (1, 2)
    assert await given.store.receipt(thread) == receipt
    assert [action for action, _ in await given.trail(thread)] == [
        AuditAction.ERASURE_BEGUN,
        AuditAction.ERASED,
    ]

"""Faults that strike the run of a response: how it ends, and what it leaves."""

import asyncio

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import ResponseFailedEvent, ResponseIncompleteEvent

from dadm.adapters.simulators.openai import Scripted, SimulatedOpenAI
from tests.adapters.simulators.faults_under_test import (
    ON_RESPONSES,
    all_ended,
    begun,
    events_of,
    held_texts,
    struck,
    switch_on,
)
from tests.adapters.simulators.short_forms import MODEL, ask, conversation, soon


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded", "invalid_prompt"])
async def test_a_run_fails_with_a_code_and_leaves_nothing(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, code: str
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} fail-run code={code} times=1")

    failed = (await events_of(await begun(client, on)))[-1]

    assert isinstance(failed, ResponseFailedEvent)
    assert failed.response.error is not None
    assert failed.response.error.code == code
    assert failed.response.output == []
    assert held_texts(simulated, on) == []
    assert struck(simulated) == [("fail-run", 2)]
    assert simulated.ledger.faults()[0].response_id == failed.response.id
    assert (await ask(client, on, "again")).status == "completed"


@pytest.mark.parametrize(("at", "calls"), [("admitted", 0), ("speaking", 1), ("answered", 1)])
async def test_a_run_fails_before_or_after_the_model_was_asked(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, at: str, calls: int
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} fail-run at={at}")

    assert (await ask(client, on, "x")).status == "failed"

    assert len(simulated.ledger.model_calls()) == calls


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
async def test_a_run_is_cut_short_and_what_was_said_is_appended(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, reason: str
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} cut-run reason={reason}")

    cut = (await events_of(await begun(client, on)))[-1]

    assert isinstance(cut, ResponseIncompleteEvent)
    assert cut.response.incomplete_details is not None
    assert cut.response.incomplete_details.reason == reason
    assert cut.response.output_text == "I"
    assert cut.response.output[0].status == "incomplete"  # type: ignore[union-attr]
    assert held_texts(simulated, on) == ["x", "I"]
    assert struck(simulated) == [("cut-run", 2)]


async def test_a_run_that_is_cut_where_little_was_said_keeps_all_of_it(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted(["Yes."])
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} cut-run")

    cut = await ask(client, on, "x")

    assert (cut.status, cut.output_text) == ("incomplete", "Yes.")
    assert cut.output[0].status == "incomplete"  # type: ignore[union-attr]


async def test_a_run_that_is_cut_before_it_spoke_has_said_nothing(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} cut-run at=admitted")

    assert (await ask(client, on, "x")).output == []

    assert held_texts(simulated, on) == ["x"]


async def test_what_an_incomplete_run_leaves_is_a_switch(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.switch(incomplete_appends="nothing")
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} cut-run")

    assert (await ask(client, on, "x")).status == "incomplete"

    assert held_texts(simulated, on) == []


async def test_a_cancelled_run_ends_its_stream_without_a_word(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} cancel-run times=1")

    events = await events_of(await begun(client, on))
    (response_id,) = simulated.state.responses

    assert events[-1].type == "response.output_text.delta"
    assert (await client.responses.retrieve(response_id)).status == "cancelled"
    assert held_texts(simulated, on) == []
    assert struck(simulated) == [("cancel-run", 2)]
    assert (await ask(client, on, "again")).status == "completed"


@pytest.mark.parametrize(("at", "calls"), [("admitted", 0), ("speaking", 1), ("answered", 1)])
async def test_a_held_run_holds_the_lock_until_it_is_let_go(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, at: str, calls: int
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-run at={at} times=1")
    held = await client.responses.create(model=MODEL, conversation=on, input="x", background=True)
    await soon(faults.holding("fault_1", 1))

    assert len(simulated.ledger.model_calls()) == calls
    assert held_texts(simulated, on) == []
    with pytest.raises(BadRequestError) as locked:
        await ask(client, on, "y")
    faults.let_go("fault_1")
    await all_ended(simulated, 1)

    assert locked.value.code == "conversation_locked"
    assert (await client.responses.retrieve(held.id)).status == "completed"
    assert held_texts(simulated, on) == ["x", "I was told: x"]


async def test_a_held_run_can_be_cancelled(client: AsyncOpenAI, simulated: SimulatedOpenAI) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-run")
    held = await client.responses.create(model=MODEL, conversation=on, input="x", background=True)
    await soon(faults.holding("fault_1", 1))

    cancelled = await client.responses.cancel(held.id)
    await soon(faults.holding("fault_1", 0))

    assert cancelled.status == "cancelled"
    assert held_texts(simulated, on) == []


async def test_a_held_run_goes_on_after_its_time(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-run seconds=600")
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(ask(client, on, "x"))
        await soon(faults.holding("fault_1", 1))
        simulated.clock.forward(600)

    assert asked.result().status == "completed"


async def test_an_orphaned_run_completes_and_appends_nowhere(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} orphan-run")

    events = await events_of(await begun(client, on))

    assert events[-1].type == "response.completed"
    (append,) = simulated.ledger.appends(on)
    assert append.lost
    assert struck(simulated) == [("orphan-run", 2)]
    with pytest.raises(NotFoundError):
        await client.conversations.retrieve(on)


async def test_a_run_that_ends_before_its_fault_is_due_leaves_the_strike_to_the_next(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(
        simulated,
        f"{ON_RESPONSES} fail-run at=admitted times=1",
        f"{ON_RESPONSES} cut-run times=1",
    )

    first, second = await ask(client, on, "x"), await ask(client, on, "x")

    assert [first.status, second.status] == ["failed", "incomplete"]
    assert [(seen.matched, seen.struck) for seen in faults.seen()] == [(2, 1), (2, 1)]

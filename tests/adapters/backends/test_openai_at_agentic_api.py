"""What a server that is not ours does where it differs from OpenAI, and what the adapter makes of it."""

import asyncio
import importlib
import inspect
from collections.abc import AsyncIterator

import pytest

from dadm.adapters.backends.openai_probe import OpenAIProbe
from dadm.domain.errors import (
    BackendMisconfigured,
    ConversationLost,
    OutcomeUnknown,
)
from dadm.domain.transcript import Message, Role
from dadm.ports.backend import (
    Answered,
    FoundAnswered,
    FoundNothing,
    ResponseStarted,
    RunGone,
)
from tests.adapters.backends.agentic_api import AgenticApi
from tests.adapters.backends.under_test import KEY, BackendUnderTest, answer, events_of, question
from tests.contracts.agentic_gaps import GAPS

PATIENCE_SECONDS = 20
SUITES = ("test_conversation_backend", "test_conversation_backend_keeping")

pytestmark = pytest.mark.model


@pytest.fixture
async def under_test(agentic_api: AgenticApi) -> AsyncIterator[BackendUnderTest]:
    async with agentic_api.under_test() as under_test:
        yield under_test


async def test_a_turn_on_a_lost_conversation_is_answered_and_everything_else_tells_the_loss(
    under_test: BackendUnderTest,
) -> None:
    backend = under_test.backend
    on = await backend.open(labels={})
    await answer(backend, on, "The owner is Ines.")
    under_test.lose(on)

    answered = (await events_of(backend, question(on, "Who?")))[-1]

    assert isinstance(answered, Answered)
    assert not await backend.exists(on)
    with pytest.raises(ConversationLost):
        await backend.look(on, after_item="", prompt="Who?")
    with pytest.raises(ConversationLost):
        await anext(aiter(backend.messages(on)))
    with pytest.raises(ConversationLost):
        await backend.append(on, [Message(role=Role.USER, text="Who?")])


async def test_a_run_is_unknown_until_its_end_and_of_two_at_once_the_later_end_is_unknown(
    under_test: BackendUnderTest,
) -> None:
    backend = under_test.backend
    on = await backend.open(labels={})
    held = under_test.hold_turn()
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        backend.take_turn(question(on, "Who?")) as events,
    ):
        started = await anext(events)
        assert isinstance(started, ResponseStarted)
        assert await backend.retrieve(on, started.response_id) == RunGone()
        held_too = under_test.hold_turn()
        async with backend.take_turn(question(on, "Why?")) as others:
            assert isinstance(await anext(others), ResponseStarted)
            held.let_go()
            *_, answered = [event async for event in events]
            held_too.let_go()
            with pytest.raises(OutcomeUnknown, match="conversation changed"):
                [event async for event in others]

    assert isinstance(answered, Answered)
    assert await backend.retrieve(on, started.response_id) == answered
    assert isinstance(await backend.look(on, after_item="", prompt="Who?"), FoundAnswered)
    assert await backend.look(on, after_item=answered.last_item_id, prompt="Why?") == FoundNothing()


async def test_a_run_cannot_be_cancelled_and_appends_its_answer(
    under_test: BackendUnderTest,
) -> None:
    backend = under_test.backend
    on = await backend.open(labels={})
    held = under_test.hold_turn()
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with backend.take_turn(question(on, "Who?")) as events:
            started = await anext(events)
            assert isinstance(started, ResponseStarted)
            await backend.cancel(started.response_id)
            held.let_go()
            *_, answered = [event async for event in events]

        assert isinstance(answered, Answered)
        found = await backend.look(on, after_item="", prompt="Who?")
    assert isinstance(found, FoundAnswered)
    assert found.answered.text == answered.text


async def test_items_cannot_be_linked_and_nothing_is_appended(
    under_test: BackendUnderTest,
) -> None:
    backend = under_test.backend
    on, other = await backend.open(labels={}), await backend.open(labels={})
    item = await backend.append(on, [Message(role=Role.USER, text="Who?")])

    with pytest.raises(BackendMisconfigured, match="unsupported"):
        await backend.link(other, [item])

    assert [kept async for kept in backend.messages(other)] == []


async def test_erasing_names_the_responses_that_it_cannot_delete(
    under_test: BackendUnderTest,
) -> None:
    backend = under_test.backend
    on = await backend.open(labels={})
    answered = await answer(backend, on, "Who?")

    report = await backend.erase(on, response_ids=[answered.response_id])

    assert report.deleted_items == 2
    assert report.unreachable == (answered.response_id,)
    assert not await backend.exists(on)
    assert isinstance(await backend.retrieve(on, answered.response_id), Answered)


async def test_a_ping_says_that_the_model_is_not_known_by_its_name(
    under_test: BackendUnderTest,
) -> None:
    assert "does not say whether it offers" in await under_test.backend.ping()


async def test_a_probe_finds_what_is_so_here_and_names_what_it_cannot_delete(
    agentic_api: AgenticApi,
) -> None:
    probe = OpenAIProbe(model="smollm2", api_key=KEY, base_url=agentic_api.url)
    questions = ("links_items", "missing_conversation", "unknown_cursor", "items_outlive_removal")
    async with asyncio.timeout(PATIENCE_SECONDS), probe.opened():
        found = {each.question: each async for each in probe.findings(questions)}

    assert {name: each.answer for name, each in found.items()} == {
        "links_items": "no",
        "missing_conversation": "not_told",
        "unknown_cursor": "told",
        # Linking is refused for what it is, which tells nothing about the item.
        "items_outlive_removal": "",
    }
    assert found["links_items"].decides == "set DADM_OPENAI__LINKS_ITEMS=false"
    assert [each.partition("_")[0] for each in probe.left_behind] == ["resp"]


def test_every_gap_names_contracts_that_there_are() -> None:
    contracts = {
        name
        for suite in SUITES
        for name, _ in inspect.getmembers(importlib.import_module(f"tests.contracts.{suite}"))
    }

    assert not {name for gap in GAPS for name in gap.contracts} - contracts

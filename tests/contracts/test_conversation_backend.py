"""What every conversation backend promises, and what those that keep nothing promise besides."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from dadm.adapters.backends.local_model import LocalModel
from dadm.domain.thread import BackendIdentity, ConversationId
from dadm.domain.transcript import Message, Role
from dadm.ports.backend import (
    Answered,
    AnswerPart,
    ConversationBackend,
    ErasureReport,
    MessagesShown,
    ResponseStarted,
)
from tests.adapters.backends.agentic_api import AgenticApi
from tests.adapters.backends.under_test import (
    answer,
    chat_under_test,
    events_of,
    history,
    openai_under_test,
    question,
    scripted_under_test,
)
from tests.contracts.agentic_gaps import declare_gaps

LOCAL = pytest.param("local", marks=pytest.mark.model)
FOREIGN = pytest.param("agentic", marks=pytest.mark.model)


@pytest.fixture
async def openai() -> AsyncIterator[ConversationBackend]:
    async with openai_under_test() as under_test:
        yield under_test.backend


@pytest.fixture
async def agentic(
    request: pytest.FixtureRequest, agentic_api: AgenticApi
) -> AsyncIterator[ConversationBackend]:
    declare_gaps(request)
    async with agentic_api.under_test() as under_test:
        yield under_test.backend


@pytest.fixture
async def chat() -> AsyncIterator[ConversationBackend]:
    async with chat_under_test() as under_test:
        yield under_test.backend


@pytest.fixture
async def scripted() -> AsyncIterator[ConversationBackend]:
    async with scripted_under_test(keeps_conversations=False) as under_test:
        yield under_test.backend


@pytest.fixture
async def scripted_keeping() -> AsyncIterator[ConversationBackend]:
    async with scripted_under_test(keeps_conversations=True) as under_test:
        yield under_test.backend


@pytest.fixture(scope="module")
def local() -> Iterator[ConversationBackend]:
    # Loaded once: the model is bound to no event loop.
    backend = LocalModel(context_tokens=1024, answer_tokens=200)
    asyncio.run(backend.__aenter__())
    yield backend
    asyncio.run(backend.__aexit__(None, None, None))


@pytest.fixture(params=["openai", "chat", "scripted", "scripted_keeping", LOCAL, FOREIGN])
def backend(request: pytest.FixtureRequest) -> ConversationBackend:
    found: ConversationBackend = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["chat", "scripted", LOCAL])
def keeping_nothing(request: pytest.FixtureRequest) -> ConversationBackend:
    found: ConversationBackend = request.getfixturevalue(request.param)
    return found


async def test_a_turn_opens_with_one_event_and_ends_with_one_answer(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={"thread": "t"})

    first, *between, last = await events_of(backend, question(on, "Say yes."))

    opening = ResponseStarted if backend.keeps_conversations else MessagesShown
    assert isinstance(first, opening)
    assert isinstance(last, Answered)
    assert all(isinstance(event, AnswerPart) for event in between)


async def test_an_answer_is_the_sum_of_its_parts_and_is_counted(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={})

    *events, last = await events_of(backend, question(on, "Say yes."))

    assert isinstance(last, Answered)
    assert last.text == "".join(event.text for event in events if isinstance(event, AnswerPart))
    assert last.text
    assert last.usage.input_tokens > 0
    assert last.usage.output_tokens > 0


async def test_leaving_a_turn_early_does_not_spoil_the_next(backend: ConversationBackend) -> None:
    left = await backend.open(labels={})
    async with backend.take_turn(question(left, "Tell a long story.")) as events:
        await anext(events)

    on = await backend.open(labels={})
    assert (await answer(backend, on, "Say yes.")).text


async def test_a_turn_that_is_cancelled_does_not_spoil_the_next(
    backend: ConversationBackend,
) -> None:
    left = await backend.open(labels={})
    is_under_way = asyncio.Event()

    async def ask() -> None:
        async with backend.take_turn(question(left, "Tell a long story.")) as events:
            await anext(events)
            is_under_way.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask())
        await asyncio.wait_for(is_under_way.wait(), 20)
        asking.cancel()

    on = await backend.open(labels={})
    assert (await answer(backend, on, "Say yes.")).text


async def test_opening_twice_gives_two_conversations_that_exist(
    backend: ConversationBackend,
) -> None:
    one = await backend.open(labels={"a": "1"})
    other = await backend.open(labels={"a": "1"})

    assert one != other
    assert await backend.exists(one)
    assert await backend.exists(other)


async def test_the_identity_is_read_as_it_was_written(backend: ConversationBackend) -> None:
    assert BackendIdentity.parse(str(backend.identity)) == backend.identity
    assert backend.identity.adapter


async def test_transcript_is_wanted_only_where_none_is_kept(backend: ConversationBackend) -> None:
    assert (backend.history_characters == 0) == backend.keeps_conversations


async def test_cancelling_what_is_not_running_is_no_error(backend: ConversationBackend) -> None:
    await backend.cancel("resp_000000000000000000000000000000000000000000000000")


async def test_erasing_can_be_repeated(backend: ConversationBackend) -> None:
    on = await backend.open(labels={})
    answered = await answer(backend, on, "Say yes.")
    names = [answered.response_id] if answered.response_id else []

    await backend.erase(on, response_ids=names)

    assert await backend.erase(on, response_ids=names) == ErasureReport(
        deleted_items=0, deleted_responses=0
    )


async def test_a_ping_describes_the_backend(backend: ConversationBackend) -> None:
    assert (await backend.ping()).endswith(".")


# Those that keep nothing


async def test_the_model_is_shown_instructions_history_and_question_in_order(
    keeping_nothing: ConversationBackend,
) -> None:
    on = await keeping_nothing.open(labels={})
    before = history(("Who owns it?", "Ines."), ("How much?", "Forty."), left_out=3)

    shown, *_ = await events_of(keeping_nothing, question(on, "Sum up.", history=before))

    assert shown == MessagesShown(
        messages=(
            Message(role=Role.SYSTEM, text="Be brief."),
            Message(role=Role.USER, text="Who owns it?"),
            Message(role=Role.ASSISTANT, text="Ines."),
            Message(role=Role.USER, text="How much?"),
            Message(role=Role.ASSISTANT, text="Forty."),
            Message(role=Role.USER, text="Sum up."),
        ),
        left_out=3,
    )


async def test_any_conversation_exists_where_none_is_kept(
    keeping_nothing: ConversationBackend,
) -> None:
    assert await keeping_nothing.exists(ConversationId("of_another_process"))


async def test_nothing_can_be_looked_up_where_nothing_is_kept(
    keeping_nothing: ConversationBackend,
) -> None:
    on = await keeping_nothing.open(labels={})

    with pytest.raises(NotImplementedError):
        await keeping_nothing.retrieve(on, "resp_1")
    with pytest.raises(NotImplementedError):
        await keeping_nothing.look(on, after_item="", prompt="Say yes.")
    with pytest.raises(NotImplementedError):
        keeping_nothing.messages(on)
    with pytest.raises(NotImplementedError):
        await keeping_nothing.append(on, [])

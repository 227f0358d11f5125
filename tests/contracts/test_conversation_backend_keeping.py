"""What the backends that keep conversations promise, whatever OpenAI's answers to open questions."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from dadm.adapters.simulators.openai import Behaviour, OnDisconnect, alternatives
from dadm.domain.errors import ConversationBroken, ConversationBusy, ConversationLost
from dadm.domain.thread import ConversationId
from dadm.domain.transcript import Message, Role
from dadm.ports.backend import (
    Answered,
    ConversationBackend,
    FoundAnswered,
    FoundNothing,
    FoundUnanswered,
    ResponseStarted,
    RunCancelled,
    RunGone,
    Running,
)
from tests.adapters.backends.agentic_api import AgenticApi
from tests.adapters.backends.under_test import (
    BackendUnderTest,
    answer,
    events_of,
    openai_under_test,
    question,
    scripted_under_test,
)
from tests.contracts.agentic_gaps import declare_gaps

PATIENCE_SECONDS = 10
NO_SUCH_ITEM = "msg_" + "f" * 48
VARIANTS = {"usual": Behaviour(), **alternatives(Behaviour())}


FOREIGN = pytest.param("agentic-api", marks=pytest.mark.model)


@pytest.fixture(
    params=["scripted", *VARIANTS, "ids read after each turn", "no background", FOREIGN]
)
async def under_test(request: pytest.FixtureRequest) -> AsyncIterator[BackendUnderTest]:
    match request.param:
        case "agentic-api":
            server: AgenticApi = request.getfixturevalue("agentic_api")
            declare_gaps(request)
            given = server.under_test()
        case "scripted":
            given = scripted_under_test(keeps_conversations=True)
        case "no background":
            goes_on = Behaviour(streamed_disconnect=OnDisconnect.GOES_ON)
            given = openai_under_test(goes_on, use_background=False)
        case "ids read after each turn":
            others = Behaviour(output_ids_are_item_ids=False, last_output_is_last_item=False)
            given = openai_under_test(others, output_ids_are_item_ids=False)
        case variant:
            given = openai_under_test(VARIANTS[variant])
    async with given as under_test:
        yield under_test


@pytest.fixture
def backend(under_test: BackendUnderTest) -> ConversationBackend:
    return under_test.backend


def said(role: Role, text: str) -> Message:
    return Message(role=role, text=text)


async def texts(backend: ConversationBackend, on: ConversationId) -> list[str]:
    return [kept.message.text async for kept in backend.messages(on)]


async def test_a_run_can_be_retrieved_by_the_name_its_first_event_gave(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={})
    started, *_, answered = await events_of(backend, question(on, "Who?"))

    assert isinstance(started, ResponseStarted)
    assert isinstance(answered, Answered)
    retrieved = await backend.retrieve(on, started.response_id)

    assert isinstance(retrieved, Answered)
    assert (retrieved.text, retrieved.usage) == (answered.text, answered.usage)
    assert answered.response_id == started.response_id


async def test_a_run_nobody_knows_is_gone(backend: ConversationBackend) -> None:
    on = await backend.open(labels={})

    assert await backend.retrieve(on, "resp_" + "f" * 48) == RunGone()


async def test_turns_are_kept_in_order(backend: ConversationBackend) -> None:
    on = await backend.open(labels={})
    first = await answer(backend, on, "The owner is Ines.")
    second = await answer(backend, on, "Who?")

    assert [kept.message async for kept in backend.messages(on)] == [
        said(Role.USER, "The owner is Ines."),
        said(Role.ASSISTANT, first.text),
        said(Role.USER, "Who?"),
        said(Role.ASSISTANT, second.text),
    ]


async def test_conversations_do_not_mix(backend: ConversationBackend) -> None:
    one, other = await backend.open(labels={}), await backend.open(labels={})
    await answer(backend, one, "The owner is Ines.")

    assert await texts(backend, other) == []


async def test_looking_from_the_start_finds_the_first_turn(backend: ConversationBackend) -> None:
    on = await backend.open(labels={})
    answered = await answer(backend, on, "Who?")

    found = await backend.look(on, after_item="", prompt="Who?")

    assert isinstance(found, FoundAnswered)
    assert found.answered.text == answered.text
    assert found.foreign_items == 0


async def test_looking_behind_the_last_answer_finds_what_was_asked_since(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={})
    before = await answer(backend, on, "The owner is Ines.")
    answered = await answer(backend, on, "Who?")

    found = await backend.look(on, after_item=before.last_item_id, prompt="Who?")

    assert isinstance(found, FoundAnswered)
    assert found.answered.text == answered.text
    assert found.foreign_items == 0


async def test_looking_behind_what_was_found_finds_the_next_turn(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={})
    await answer(backend, on, "Same words.")
    found = await backend.look(on, after_item="", prompt="Same words.")
    assert isinstance(found, FoundAnswered)

    assert (
        await backend.look(on, after_item=found.answered.last_item_id, prompt="Same words.")
        == FoundNothing()
    )
    await answer(backend, on, "Same words.")
    again = await backend.look(on, after_item=found.answered.last_item_id, prompt="Same words.")

    assert isinstance(again, FoundAnswered)


async def test_looking_for_what_was_never_asked_finds_nothing(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={})
    before = await answer(backend, on, "The owner is Ines.")

    assert await backend.look(on, after_item=before.last_item_id, prompt="Who?") == FoundNothing()


async def test_looking_behind_an_item_that_is_gone_goes_backwards(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={})
    await answer(backend, on, "The owner is Ines.")
    answered = await answer(backend, on, "Who?")

    found = await backend.look(on, after_item=NO_SUCH_ITEM, prompt="Who?")

    assert isinstance(found, FoundAnswered)
    assert found.answered.text == answered.text
    assert found.is_by_text_alone, "an earlier question of these words might be meant"
    assert await backend.look(on, after_item=NO_SUCH_ITEM, prompt="Why?") == FoundNothing()


async def test_a_question_without_an_answer_is_found_as_such(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={})
    await backend.append(on, [said(Role.USER, "Who?")])

    assert await backend.look(on, after_item="", prompt="Who?") == FoundUnanswered()


async def test_what_others_wrote_is_counted_and_not_taken_for_ours(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={})
    before = await backend.append(on, [said(Role.USER, "Hello."), said(Role.ASSISTANT, "Hi.")])
    await backend.append(on, [said(Role.USER, "From elsewhere."), said(Role.ASSISTANT, "So?")])
    answered = await answer(backend, on, "Who?")
    await backend.append(on, [said(Role.USER, "From elsewhere again.")])

    found = await backend.look(on, after_item=before, prompt="Who?")

    assert isinstance(found, FoundAnswered)
    assert found.answered.text == answered.text
    assert found.foreign_items == 3
    nothing = await backend.look(on, after_item=before, prompt="Why?")
    assert nothing == FoundNothing(foreign_items=5)


async def test_appended_messages_are_kept_as_they_are_over_several_pages(
    backend: ConversationBackend,
) -> None:
    on = await backend.open(labels={})
    written = [
        said(Role.USER if number % 2 == 0 else Role.ASSISTANT, f"Message {number}\n\tas it is. ")
        for number in range(6 * backend.append_limit)
    ]
    last = ""
    for start in range(0, len(written), backend.append_limit):
        last = await backend.append(on, written[start : start + backend.append_limit])

    kept = [kept async for kept in backend.messages(on)]
    assert [each.message for each in kept] == written
    assert kept[-1].item_id == last


async def test_messages_are_read_behind_an_item(backend: ConversationBackend) -> None:
    on = await backend.open(labels={})
    first = await backend.append(on, [said(Role.USER, "One."), said(Role.ASSISTANT, "Two.")])
    await backend.append(on, [said(Role.USER, "Three.")])

    behind = [kept.message async for kept in backend.messages(on, after_item=first)]

    assert behind == [said(Role.USER, "Three.")]
    with pytest.raises(ConversationBroken):
        [kept async for kept in backend.messages(on, after_item=NO_SUCH_ITEM)]


async def test_linked_items_are_there_once_however_often_they_are_linked(
    backend: ConversationBackend,
) -> None:
    if not backend.links_items:
        return
    source, on = await backend.open(labels={}), await backend.open(labels={})
    written = [said(Role.USER, f"Message {number}") for number in range(30)]
    await backend.append(source, written[:20])
    await backend.append(source, written[20:])
    kept = [each async for each in backend.messages(source)]
    item_ids = [each.item_id for each in kept]

    for chunk in (item_ids[:20], item_ids[:20], item_ids[20:], item_ids[:20]):
        await backend.link(on, chunk)

    assert [each async for each in backend.messages(on)] == kept
    answered = await answer(backend, on, "Who?")
    found = await backend.look(on, after_item=item_ids[-1], prompt="Who?")
    assert isinstance(found, FoundAnswered)
    assert found.answered.text == answered.text


async def test_a_turn_goes_on_from_what_was_appended(backend: ConversationBackend) -> None:
    on = await backend.open(labels={})
    last = await backend.append(on, [said(Role.USER, "Ines."), said(Role.ASSISTANT, "Noted.")])
    answered = await answer(backend, on, "Who?")

    found = await backend.look(on, after_item=last, prompt="Who?")

    assert isinstance(found, FoundAnswered)
    assert found.answered.text == answered.text


async def test_a_lost_conversation_is_told_by_everything(under_test: BackendUnderTest) -> None:
    backend = under_test.backend
    on = await backend.open(labels={})
    await answer(backend, on, "The owner is Ines.")

    under_test.lose(on)

    assert not await backend.exists(on)
    with pytest.raises(ConversationLost):
        await events_of(backend, question(on, "Who?"))
    with pytest.raises(ConversationLost):
        await backend.look(on, after_item="", prompt="Who?")
    with pytest.raises(ConversationLost):
        await texts(backend, on)
    with pytest.raises(ConversationLost):
        await backend.append(on, [said(Role.USER, "Who?")])


async def test_a_running_turn_holds_its_conversation(under_test: BackendUnderTest) -> None:
    backend = under_test.backend
    on = await backend.open(labels={})
    held = under_test.hold_turn()
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def ask() -> Answered:
        async with backend.take_turn(question(on, "Who?")) as events:
            async for event in events:
                match event:
                    case ResponseStarted(response_id=response_id):
                        started.set_result(response_id)
                    case Answered():
                        return event
                    case _:
                        pass
        raise AssertionError

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask())
        await held.asked()
        run = await started

        assert await backend.retrieve(on, run) == Running()
        with pytest.raises(ConversationBusy):
            await events_of(backend, question(on, "Why?"))

        held.let_go()
        answered = await asking
    assert await backend.retrieve(on, run) == answered


async def test_a_run_that_its_caller_left_ends_all_the_same(under_test: BackendUnderTest) -> None:
    backend = under_test.backend
    on = await backend.open(labels={})
    held = under_test.hold_turn()
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with backend.take_turn(question(on, "Who?")) as events:
            started = await anext(events)
            assert isinstance(started, ResponseStarted)
        held.let_go()

        while isinstance(state := await backend.retrieve(on, started.response_id), Running):
            pass

    if isinstance(state, RunGone | RunCancelled):
        # One of OpenAI's possible answers: a run does not outlive its caller.
        assert await backend.look(on, after_item="", prompt="Who?") == FoundNothing()
        return
    assert isinstance(state, Answered)
    found = await backend.look(on, after_item="", prompt="Who?")
    assert isinstance(found, FoundAnswered)
    assert found.answered.text == state.text


async def test_a_cancelled_run_is_over_where_it_can_be_cancelled(
    under_test: BackendUnderTest,
) -> None:
    backend = under_test.backend
    on = await backend.open(labels={})
    under_test.hold_turn()
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with backend.take_turn(question(on, "Who?")) as events:
            started = await anext(events)
            assert isinstance(started, ResponseStarted)
            await backend.cancel(started.response_id)
            await backend.cancel(started.response_id)

    state = await backend.retrieve(on, started.response_id)
    assert state == (RunCancelled() if under_test.can_cancel else Running())


async def test_erasing_leaves_nothing_and_says_what_it_took(backend: ConversationBackend) -> None:
    on = await backend.open(labels={})
    one = await answer(backend, on, "The owner is Ines.")
    two = await answer(backend, on, "Who?")
    runs = [one.response_id, two.response_id]

    report = await backend.erase(on, response_ids=[*runs, runs[0]])

    assert report.deleted_items >= 4
    assert report.deleted_responses == 2
    assert report.unreachable == ()
    assert not await backend.exists(on)
    assert await backend.retrieve(on, runs[0]) == RunGone()
    assert await backend.retrieve(on, runs[1]) == RunGone()


async def test_erasing_spares_what_another_conversation_holds_too(
    backend: ConversationBackend,
) -> None:
    if not backend.links_items:
        return
    source, on = await backend.open(labels={}), await backend.open(labels={})
    await backend.append(source, [said(Role.USER, f"Message {number}") for number in range(5)])
    kept = [each async for each in backend.messages(source)]
    shared = [each.item_id for each in kept[:3]]
    await backend.link(on, shared)

    report = await backend.erase(source, response_ids=[], spare=frozenset(shared))

    assert (report.deleted_items, report.unreachable) == (2, ())
    assert not await backend.exists(source)
    assert [each async for each in backend.messages(on)] == kept[:3]
    await answer(backend, on, "Who?")
    assert len(await texts(backend, on)) == 5


async def test_erasing_goes_on_after_the_conversation_is_lost(
    under_test: BackendUnderTest,
) -> None:
    backend = under_test.backend
    on = await backend.open(labels={})
    one = await answer(backend, on, "The owner is Ines.")
    under_test.lose(on)

    report = await backend.erase(on, response_ids=[one.response_id])

    assert report.unreachable == ()
    assert await backend.retrieve(on, one.response_id) == RunGone()

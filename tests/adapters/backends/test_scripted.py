"""What a script can say, and what a test can do to the backend that speaks it."""

import asyncio

import pytest

from dadm.adapters.backends.scripted import Call, ScriptedBackend
from dadm.adapters.backends.scripted_lines import ScriptEnded
from dadm.domain.errors import BackendRefused, BackendUnavailable, OutcomeUnknown
from dadm.domain.thread import NO_USAGE, BackendIdentity, ConversationId
from dadm.ports.backend import (
    Answered,
    CutShort,
    FoundAnswered,
    FoundNothing,
    FoundUnanswered,
    Question,
    ResponseStarted,
    RunFailed,
)
from tests.adapters.backends.under_test import answer, events_of, question

ON = ConversationId("conv_1")


async def test_one_text_answers_everything() -> None:
    backend = ScriptedBackend("Yes.")

    assert (await answer(backend, ON, "Who?")).text == "Yes."
    assert (await answer(backend, ON, "Why?")).text == "Yes."


async def test_lines_are_spoken_in_order_and_no_more() -> None:
    backend = ScriptedBackend(["One.", "Two."])

    assert (await answer(backend, ON, "Who?")).text == "One."
    assert (await answer(backend, ON, "Who?")).text == "Two."
    with pytest.raises(ScriptEnded, match=r"Who\?"):
        await answer(backend, ON, "Who?")


async def test_lines_are_found_by_a_part_of_the_prompt() -> None:
    backend = ScriptedBackend({"owner": "Ines.", "budget": "Forty."})

    assert (await answer(backend, ON, "What is the budget?")).text == "Forty."
    with pytest.raises(ScriptEnded):
        await answer(backend, ON, "Why?")


async def test_a_function_is_asked_at_once_or_awaited() -> None:
    async def later(asked: Question) -> str:
        return asked.prompt.upper()

    assert (await answer(ScriptedBackend(later), ON, "Who?")).text == "WHO?"
    assert (await answer(ScriptedBackend(lambda asked: asked.prompt), ON, "Who?")).text == "Who?"


async def test_a_line_may_be_an_error_before_any_run() -> None:
    backend = ScriptedBackend([BackendRefused("No."), "Yes."], keeps_conversations=True)
    on = await backend.open(labels={})

    with pytest.raises(BackendRefused, match="No"):
        await answer(backend, on, "Who?")

    assert await backend.look(on, after_item="", prompt="Who?") == FoundNothing()
    assert (await answer(backend, on, "Who?")).text == "Yes."


async def test_a_line_may_be_a_run_that_fails() -> None:
    failed = RunFailed(reason="server_error", is_temporary=True)
    backend = ScriptedBackend([failed], keeps_conversations=True)
    on = await backend.open(labels={})

    with pytest.raises(OutcomeUnknown):
        await answer(backend, on, "Who?")

    assert await backend.retrieve(on, "resp_1") == failed
    assert await backend.look(on, after_item="", prompt="Who?") == FoundNothing()


async def test_a_line_may_be_half_an_answer() -> None:
    cut = CutShort(reason="length", partial_text="In", usage=NO_USAGE)
    backend = ScriptedBackend([cut], keeps_conversations=True)
    on = await backend.open(labels={})

    *_, last = await events_of(backend, question(on, "Who?"))

    assert isinstance(last, CutShort)
    assert await backend.look(on, after_item="", prompt="Who?") == FoundUnanswered()


async def test_a_turn_may_fail_before_it_is_applied() -> None:
    backend = ScriptedBackend("Yes.", keeps_conversations=True)
    on = await backend.open(labels={})
    backend.fail_turn(BackendUnavailable("down"))

    with pytest.raises(BackendUnavailable):
        await answer(backend, on, "Who?")

    assert backend.questions == []
    assert await backend.look(on, after_item="", prompt="Who?") == FoundNothing()


async def test_the_reply_to_a_turn_may_be_lost_after_it_is_applied() -> None:
    backend = ScriptedBackend("Yes.", keeps_conversations=True)
    on = await backend.open(labels={})
    backend.fail_turn(OutcomeUnknown("lost"), is_applied=True)

    with pytest.raises(OutcomeUnknown):
        await answer(backend, on, "Who?")

    assert isinstance(await backend.look(on, after_item="", prompt="Who?"), FoundAnswered)


async def test_any_other_method_may_fail_once() -> None:
    backend = ScriptedBackend(keeps_conversations=True)
    backend.fail("open", BackendUnavailable("down"))

    with pytest.raises(BackendUnavailable):
        await backend.open(labels={})
    assert await backend.open(labels={}) == "conv_1"


async def test_a_held_turn_is_ended_whether_or_not_its_caller_waits() -> None:
    backend = ScriptedBackend("Yes.", keeps_conversations=True)
    on = await backend.open(labels={})
    hold = backend.hold_turn()
    async with backend.take_turn(question(on, "Who?")) as events:
        assert await anext(events) == ResponseStarted(response_id="resp_1")
        hold.let_go()

    state = await backend.retrieve(on, "resp_1")

    assert isinstance(state, Answered)
    assert state.last_item_id == "msg_2"


async def test_a_held_turn_says_that_it_is_under_way_where_nothing_is_kept() -> None:
    backend = ScriptedBackend("Yes.")
    hold = backend.hold_turn()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(answer(backend, ON, "Who?"))
        await hold.asked.wait()
        assert not asking.done()
        hold.let_go()

    assert asking.result().text == "Yes."


async def test_every_call_is_recorded() -> None:
    backend = ScriptedBackend("Yes.", keeps_conversations=True)
    on = await backend.open(labels={})
    await answer(backend, on, "Who?")
    await backend.exists(on)

    assert backend.calls == [
        Call(method="open"),
        Call(method="take_turn", conversation_id="conv_1", text="Who?"),
        Call(method="exists", conversation_id="conv_1"),
    ]
    assert [asked.prompt for asked in backend.questions] == ["Who?"]
    assert backend.conversation_ids == ("conv_1",)


def test_it_is_whoever_it_is_said_to_be() -> None:
    identity = BackendIdentity(adapter="scripted", address="second")

    assert ScriptedBackend(identity=identity).identity == identity
    assert ScriptedBackend().identity == BackendIdentity(adapter="scripted")


async def test_two_backends_may_share_their_names() -> None:
    names = iter("abc")
    one = ScriptedBackend(keeps_conversations=True, new_id=lambda _: next(names))
    other = ScriptedBackend(new_id=lambda _: next(names))

    assert await one.open(labels={}) == "a"
    assert await other.open(labels={}) == "b"

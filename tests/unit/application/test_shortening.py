"""A conversation that no longer fits the model's window: a definite outcome, and a remedy."""

from dataclasses import replace

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.adapters.backends.scripted_lines import Line
from dadm.domain.errors import ConversationTooLong
from dadm.domain.thread import GenerationReason
from dadm.domain.turn import TurnState
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.backend import Question
from dadm.ports.observer import ThreadRebuilt
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, Stage

REFUSING = replace(LIMITS, is_shortened=False)
WINDOW = 400
"""The model's window, in characters."""


class Narrow(ScriptedBackend):
    """Has a model that takes in so much of a conversation and no more."""

    def __init__(self, window: int = WINDOW) -> None:
        super().__init__(self.line, keeps_conversations=True)
        self.window = window

    def line(self, question: Question) -> Line:
        kept = self._conversations.messages(question.conversation_id)
        length = sum(len(each.message.text) for each in kept) + len(question.prompt)
        if length > self.window:
            return ConversationTooLong(f"{length} characters do not fit.")
        return "a" * 40


async def ask_until_it_is_too_long(stage: Stage) -> None:
    replica = await stage.replica()
    for number in range(6):
        await replica.ask(f"t{number}", documentation=f"{number}" * 20)


async def test_conversation_gives_way_to_one_that_holds_half_as_much(keeping: Stage) -> None:
    keeping.use(Narrow())
    await ask_until_it_is_too_long(keeping)
    replica = await keeping.replica()

    answer = await replica.ask("next", documentation="x" * 60)

    assert (answer.recommendation, answer.change) == ("a" * 40, ThreadChange.REBUILT)
    (rebuilt,) = replica.told(ThreadRebuilt)
    assert (rebuilt.reason, rebuilt.left_out_exchanges) == (GenerationReason.SHORTENED, 3)
    kept = [each.text for each in await keeping.kept(answer.thread_id)]
    # The first exchange frames the decision, the latest ones are what it has come to.
    assert [text[:1] for text in kept] == ["0", "a", "4", "a", "5", "a", "x", "a"]
    assert answer.sequence == 7
    assert len(await keeping.turns()) == 7, "our own transcript keeps everything"


async def test_conversation_is_halved_again_until_it_fits(keeping: Stage) -> None:
    backend = Narrow()
    keeping.use(backend)
    await ask_until_it_is_too_long(keeping)
    backend.window = 100
    replica = await keeping.replica()

    answer = await replica.ask("next", documentation="x" * 30)

    assert answer.recommendation == "a" * 40
    assert [event.reason for event in replica.told(ThreadRebuilt)] == [
        GenerationReason.SHORTENED,
        GenerationReason.SHORTENED,
    ]


async def test_question_that_does_not_fit_even_alone_is_an_error_and_no_loop(
    keeping: Stage,
) -> None:
    keeping.use(Narrow())
    await ask_until_it_is_too_long(keeping)
    replica = await keeping.replica()

    with pytest.raises(ConversationTooLong):
        await replica.ask("next", documentation="x" * (WINDOW + 1))

    assert keeping.called("take_turn") == 6 + 5
    assert (await keeping.turn(make_task("next"))).state is TurnState.PLANNED
    assert (await replica.ask("short")).recommendation == "a" * 40


async def test_conversation_is_left_as_it_is_where_the_settings_say_so(keeping: Stage) -> None:
    keeping.use(Narrow())
    await ask_until_it_is_too_long(keeping)
    replica = await keeping.replica(limits=REFUSING)

    with pytest.raises(ConversationTooLong):
        await replica.ask("next", documentation="x" * 60)

    assert keeping.called("open") == 1
    assert (await keeping.turn(make_task("next"))).state is TurnState.PLANNED


async def test_variable_whose_exchange_was_left_out_is_shown_again(keeping: Stage) -> None:
    backend = Narrow()
    keeping.use(backend)
    replica = await keeping.replica()
    amount = {"amount": "4711 EUR"}
    await replica.ask("t0", documentation="0" * 20)
    for number in range(1, 5):
        await replica.ask(f"t{number}", documentation=f"{number}" * 20, variables=amount)
    assert sum("4711" in prompt for prompt in keeping.asked) == 1, "shown once"
    backend.window = 300

    answer = await replica.ask("next", documentation="x" * 20, variables=amount)

    assert answer.change is ThreadChange.REBUILT
    kept = [each.text for each in await keeping.kept(answer.thread_id)]
    assert sum("4711" in text for text in kept) == 1
    again = await replica.ask("later", documentation="y" * 20, variables=amount)
    assert "4711" not in keeping.asked[-1], "it is there now"
    assert again.change is ThreadChange.REUSED


async def test_task_that_is_too_long_by_itself_costs_its_thread_no_memory(
    keeping: Stage,
) -> None:
    keeping.use(Narrow())
    await ask_until_it_is_too_long(keeping)
    before = await keeping.kept((await keeping.thread()).thread_id or "")
    replica = await keeping.replica()
    with pytest.raises(ConversationTooLong):
        await replica.ask("big", documentation="x" * (WINDOW + 1))

    answer = await replica.ask("small", documentation="s")

    assert (await keeping.kept(answer.thread_id))[: len(before)] == before

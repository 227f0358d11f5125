"""Responses on conversations and without, not streamed, through the official SDK."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from openai import AsyncOpenAI, NotFoundError
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel

from dadm.adapters.simulators.openai import (
    Answer,
    Echo,
    FromModel,
    FunctionCall,
    Held,
    Model,
    Scripted,
    SimulatedOpenAI,
)
from dadm.adapters.simulators.openai.context import ShownMessage
from dadm.adapters.simulators.openai.requests import ResponseRequest
from tests.adapters.simulators.conftest import NOON, HandClock, caller_of
from tests.adapters.simulators.short_forms import (
    MODEL,
    ask,
    assistant,
    call_of,
    conversation,
    id_of,
    output_of,
    reference,
    soon,
    text_of,
    texts,
    user,
)

DAY_SECONDS = 24 * 3600


@pytest.fixture
def held(simulated: SimulatedOpenAI) -> Held:
    """Make the simulated model wait for each answer until it is let go."""
    held = Held(Echo())
    simulated.responder = held
    return held


async def test_a_response_says_what_was_asked_and_what_it_cost(client: AsyncOpenAI) -> None:
    made = await client.responses.create(
        model=MODEL, input="Name the owner.", instructions="Be brief.", metadata={"turn": "7"}
    )

    assert made.status == "completed"
    assert made.output_text == "I was told: Name the owner."
    assert made.instructions == "Be brief."
    assert made.metadata == {"turn": "7"}
    assert made.created_at == made.completed_at == NOON
    assert made.conversation is None
    assert made.usage is not None
    assert made.usage.input_tokens == 5
    assert made.usage.output_tokens == 6
    assert made.usage.total_tokens == 11
    assert await client.responses.retrieve(made.id) == made


async def test_a_conversation_is_put_before_the_input_and_gets_both_afterwards(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client, user("The owner is Ines."), assistant("Noted."))

    made = await ask(client, on, "Who is it?")

    assert made.output_text == "I was told: The owner is Ines. | Who is it?"
    assert made.conversation is not None
    assert made.conversation.id == on
    assert made.previous_response_id is None
    assert await texts(client, on) == [
        "The owner is Ines.",
        "Noted.",
        "Who is it?",
        made.output_text,
    ]
    call = simulated.ledger.model_calls(on)[0]
    assert call.messages == (
        ("user", "The owner is Ines."),
        ("assistant", "Noted."),
        ("user", "Who is it?"),
    )


async def test_the_ids_of_the_output_are_those_of_the_last_items(client: AsyncOpenAI) -> None:
    on = await conversation(client)

    made = await ask(client, on, "Hello")

    last = (await client.conversations.items.list(on, limit=1)).data[0]
    assert id_of(made.output[-1]) == id_of(last)


async def test_nothing_of_a_running_response_shows_in_its_conversation(
    client: AsyncOpenAI, held: Held
) -> None:
    on = await conversation(client, user("before"))

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(ask(client, on, "during"))
        await soon(held.asked())
        assert await texts(client, on) == ["before"]
        held.let_go()
    assert (await texts(client, on))[:2] == ["before", "during"]
    assert running.result().status == "completed"


async def test_a_background_response_returns_queued_runs_on_and_completes(
    client: AsyncOpenAI, held: Held
) -> None:
    on = await conversation(client)

    made = await client.responses.create(
        model=MODEL, conversation=on, input="later", background=True
    )

    assert made.status == "queued"
    assert made.background is True
    assert made.output == []
    await soon(held.asked())
    assert (await client.responses.retrieve(made.id)).status == "in_progress"
    held.let_go()
    assert (await settled(client, made.id)) == "completed"
    assert await texts(client, on) == ["later", "I was told: later"]


async def settled(client: AsyncOpenAI, response_id: str) -> str | None:
    """Poll until the response has ended, yielding to it in between."""
    async with asyncio.timeout(10):
        while True:
            status = (await client.responses.retrieve(response_id)).status
            if status not in {"queued", "in_progress"}:
                return status


async def test_a_cancelled_response_stays_cancelled_and_leaves_nothing(
    client: AsyncOpenAI, held: Held
) -> None:
    on = await conversation(client)
    made = await client.responses.create(
        model=MODEL, conversation=on, input="never mind", background=True
    )
    await soon(held.asked())

    first = await client.responses.cancel(made.id)
    again = await client.responses.cancel(made.id)

    assert first.status == again.status == "cancelled"
    held.let_go()
    assert await texts(client, on) == []
    held.let_go()
    assert (await ask(client, on, "free again")).status == "completed"


async def test_cancelling_a_completed_response_changes_nothing(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model=MODEL, input="quick", background=True)
    assert await settled(client, made.id) == "completed"

    assert (await client.responses.cancel(made.id)).status == "completed"


async def test_the_previous_response_is_put_before_the_input(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model=MODEL, input="one")
    second = await client.responses.create(model=MODEL, input="two", previous_response_id=first.id)

    third = await client.responses.create(
        model=MODEL, input="three", previous_response_id=second.id
    )

    assert third.output_text == "I was told: one | two | three"
    assert third.previous_response_id == second.id


async def test_input_items_are_listed_newest_first(client: AsyncOpenAI) -> None:
    made = await client.responses.create(
        model=MODEL, input=[user("one"), assistant("two"), user("three")]
    )

    listed = await client.responses.input_items.list(made.id, limit=2)
    rest = [text_of(item) async for item in listed]

    assert rest == ["three", "two", "one"]


async def test_a_deleted_response_is_gone(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model=MODEL, input="hello")

    await client.responses.delete(made.id)

    for call in (
        client.responses.retrieve(made.id),
        client.responses.delete(made.id),
        client.responses.cancel(made.id),
    ):
        with pytest.raises(NotFoundError, match="Response with id"):
            await call


async def test_a_response_lives_for_thirty_days_and_its_items_for_ever(
    client: AsyncOpenAI, clock: HandClock
) -> None:
    on = await conversation(client)
    made = await ask(client, on, "hello")

    clock.shows = NOON + 30 * DAY_SECONDS - 1
    assert (await client.responses.retrieve(made.id)).id == made.id
    clock.shows = NOON + 30 * DAY_SECONDS
    with pytest.raises(NotFoundError):
        await client.responses.retrieve(made.id)
    assert len(await texts(client, on)) == 2


async def test_an_unstored_response_is_answered_and_not_kept(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model=MODEL, input="hello", store=False)

    assert made.status == "completed"
    with pytest.raises(NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(NotFoundError, match="Items are not persisted"):
        await client.responses.create(model=MODEL, input=[reference(id_of(made.output[0]))])


async def test_an_unstored_response_is_not_found_while_it_runs(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, held: Held
) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.responses.create(model=MODEL, input="x", store=False))
        await soon(held.asked())
        with pytest.raises(NotFoundError):
            await client.responses.retrieve(next(iter(simulated.state.responses)))
        held.let_go()


async def test_an_answer_over_the_limit_is_cut_and_incomplete(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted([" ".join(f"w{number}" for number in range(40))])

    made = await client.responses.create(model=MODEL, input="talk", max_output_tokens=16)

    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"
    assert made.output_text.split() == [f"w{number}" for number in range(16)]
    assert made.usage is not None
    assert made.usage.output_tokens == 16


async def test_an_answer_just_at_the_limit_is_complete(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted(" ".join(f"w{number}" for number in range(16)))

    made = await client.responses.create(model=MODEL, input="talk", max_output_tokens=16)

    assert made.status == "completed"


async def test_a_scripted_failure_makes_the_response_fail(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted(
        [Answer(error_code="rate_limit_exceeded", error_message="Slow down.")]
    )

    made = await client.responses.create(model=MODEL, input="talk")

    assert made.status == "failed"
    assert made.error is not None
    assert (made.error.code, made.error.message) == ("rate_limit_exceeded", "Slow down.")
    assert made.output == []
    assert made.usage is None


async def test_a_model_that_breaks_fails_its_response_and_frees_the_lock(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted(["only one"])
    on = await conversation(client)

    statuses = [(await ask(client, on, "again")).status for _ in range(3)]

    assert statuses == ["completed", "failed", "failed"]


class Recommendation(BaseModel):
    owner: str
    options: list[str]
    budget: int


async def test_a_structured_answer_is_parsed_by_the_sdk(client: AsyncOpenAI) -> None:
    on = await conversation(client)

    made = await client.responses.parse(
        model=MODEL, input="Ines decides.", conversation=on, text_format=Recommendation
    )

    assert made.output_parsed == Recommendation(
        owner="I was told: Ines decides.", options=["I was told: Ines decides."], budget=0
    )


async def test_a_structured_answer_that_is_not_json_makes_the_response_fail(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted(["no json at all"])

    made = await client.responses.create(
        model=MODEL,
        input="decide",
        text={
            "format": {
                "type": "json_schema",
                "name": "recommendation",
                "schema": Recommendation.model_json_schema(),
            }
        },
    )

    assert made.status == "failed"
    assert made.error is not None
    assert made.error.code == "server_error"


async def test_a_function_is_called_answered_and_the_answer_used(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    budget = FunctionCall(name="budget", arguments='{"of": "Ines"}', call_id="call_1")
    simulated.responder = Scripted([Answer(function_calls=(budget,)), "It is 40."])
    on = await conversation(client)

    asked = await client.responses.create(
        model=MODEL,
        conversation=on,
        input="What is the budget?",
        tools=[{"type": "function", "name": "budget", "parameters": {}, "strict": False}],
    )
    call = asked.output[0]
    assert isinstance(call, ResponseFunctionToolCall)
    answered = await client.responses.create(
        model=MODEL, conversation=on, input=[output_of(call.call_id, "40")]
    )

    assert json.loads(call.arguments) == {"of": "Ines"}
    assert answered.output_text == "It is 40."
    kinds = [item["type"] for item in simulated.items_of(on)]
    assert kinds == ["message", "function_call", "function_call_output", "message"]


async def test_a_refusal_and_reasoning_come_as_items_of_their_own_kind(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Scripted([Answer(refusal="I will not.", reasoning="Is it allowed?")])
    on = await conversation(client)

    made = await ask(client, on, "something bad")

    assert [item.type for item in made.output] == ["reasoning", "message"]
    assert made.usage is not None
    assert made.usage.output_tokens_details.reasoning_tokens == 3
    kept = simulated.items_of(on)[-1]
    assert kept["content"] == [{"type": "refusal", "refusal": "I will not."}]


async def test_the_model_is_shown_tools_developers_and_instructions_as_chat(
    simulated: SimulatedOpenAI, client: AsyncOpenAI
) -> None:
    asked: list[tuple[list[dict[str, str]], int | None, float | None]] = []

    async def generate(
        messages: list[dict[str, str]],
        *,
        max_tokens: int | None,
        temperature: float | None,
        json_schema: dict[str, object] | None,
    ) -> str:
        assert json_schema is None
        asked.append((messages, max_tokens, temperature))
        return "from the model"

    simulated.responder = FromModel(generate)
    on = await conversation(
        client,
        {"role": "developer", "content": "Lasting rule.", "type": "message"},
        call_of("f", "call_1"),
        output_of("call_1", "4"),
    )

    made = await client.responses.create(
        model=MODEL,
        conversation=on,
        input="Go on",
        instructions="Be brief.",
        temperature=0,
        max_output_tokens=64,
    )

    assert made.output_text == "from the model"
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Lasting rule."},
        {"role": "assistant", "content": "f({})"},
        {"role": "tool", "content": "4"},
        {"role": "user", "content": "Go on"},
    ]
    assert asked == [(chat, 64, 0)]


async def test_a_script_may_be_a_function_of_the_request(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    def answer(
        instructions: str | None, messages: Sequence[ShownMessage], request: ResponseRequest
    ) -> str:
        return f"{instructions}/{len(messages)}/{request.metadata['turn']}"

    simulated.responder = Scripted(answer)

    made = await client.responses.create(
        model=MODEL, input="x", instructions="I", metadata={"turn": "9"}
    )

    assert made.output_text == "I/1/9"


async def test_the_oldest_items_are_left_out_when_truncation_is_automatic(
    small: SimulatedOpenAI,
) -> None:
    async with caller_of(small) as client:
        on = await conversation(client, user("one two three four five"), user("six"))

        made = await client.responses.create(
            model="tiny", conversation=on, input="seven", truncation="auto"
        )

        assert made.output_text == "I was told: six | seven"
        assert len(await texts(client, on)) == 4


@pytest.fixture
async def small() -> AsyncIterator[SimulatedOpenAI]:
    """An API whose model has a window of four tokens."""
    async with SimulatedOpenAI(models=(Model(id="tiny", window=4),)) as small:
        yield small


async def test_models_are_listed_and_looked_up(client: AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]

    assert listed == ["simulated", "simulated-reasoning"]
    assert (await client.models.retrieve("simulated")).id == "simulated"


async def test_a_deleted_conversation_loses_what_its_running_response_appends(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, held: Held
) -> None:
    on = await conversation(client)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(ask(client, on, "too late"))
        await soon(held.asked())
        simulated.delete_conversation(on)
        held.let_go()

    assert running.result().status == "completed"
    assert [append.lost for append in simulated.ledger.appends(on)] == [True]
    assert simulated.conversation_ids() == []

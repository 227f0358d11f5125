"""Faults that strike a request or its reply: what the caller sees, and what is there afterwards."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from openai import (
    APIConnectionError,
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)

from dadm.adapters.simulators.openai import Echo, Held, SimulatedOpenAI, SwitchedFaults
from dadm.adapters.simulators.openai.ledger import FaultStruck
from tests.adapters.simulators.conftest import caller_of
from tests.adapters.simulators.faults_under_test import (
    ON_ITEMS,
    ON_RESPONSES,
    all_ended,
    begun,
    events_of,
    held_texts,
    struck,
    switch_on,
    until,
)
from tests.adapters.simulators.short_forms import MODEL, ask, conversation, soon, texts, user

ANSWERED = ["x", "I was told: x"]


def in_background(client: AsyncOpenAI, on: str) -> Coroutine[Any, Any, Any]:
    return client.responses.create(model=MODEL, conversation=on, input="x", background=True)


async def test_a_dropped_request_has_no_effect(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} drop-request")

    with pytest.raises(APIConnectionError):
        await ask(client, on, "x")

    assert simulated.ledger.model_calls() == []
    assert held_texts(simulated, on) == []
    assert struck(simulated) == [("drop-request", 2)]
    assert simulated.ledger.requests("POST", "/v1/responses")[0].outcome == "dropped"


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_dropped_reply_leaves_the_whole_effect(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, *, background: bool, stream: bool
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} drop-reply")

    with pytest.raises(APIConnectionError):
        await client.responses.create(
            model=MODEL, conversation=on, input="x", background=background, stream=stream
        )

    assert held_texts(simulated, on) == ANSWERED
    (entry,) = simulated.ledger.faults()
    (response,) = simulated.state.responses.values()
    assert entry == FaultStruck(
        at=entry.at,
        rule="fault_1",
        fault="drop-reply",
        request_number=2,
        conversation_id=on,
        response_id=response.id,
    )
    assert len(simulated.ledger.model_calls()) == 1


async def test_a_dropped_reply_may_have_been_an_error(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    simulated.hold_lock(on)
    switch_on(simulated, f"{ON_RESPONSES} drop-reply")

    with pytest.raises(APIConnectionError):
        await ask(client, on, "x")

    assert struck(simulated) == [("drop-reply", 2)]
    assert held_texts(simulated, on) == []


async def test_a_dropped_reply_to_other_requests_leaves_their_effect(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    switch_on(simulated, "POST /v1/conversations drop-reply times=1", f"{ON_ITEMS} drop-reply")

    with pytest.raises(APIConnectionError):
        await client.conversations.create()
    (on,) = simulated.conversation_ids()
    with pytest.raises(APIConnectionError):
        await client.conversations.items.create(on, items=[user("x")])

    assert held_texts(simulated, on) == ["x"]


async def test_a_caller_that_leaves_before_a_reply_is_dropped_is_noticed(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = held = Held(Echo())
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} drop-reply")

    with pytest.raises(APIConnectionError):
        await client.with_options(timeout=0.05).responses.create(
            model=MODEL, conversation=on, input="x", stream=True
        )

    # As with any stream without background whose caller leaves, the response is forgotten.
    await until(lambda: not simulated.state.responses)
    held.let_go()
    assert held_texts(simulated, on) == []


@pytest.mark.parametrize(
    ("options", "raised", "told"),
    [
        ("status=429", RateLimitError, ("rate_limit_exceeded", None)),
        ("status=429 retry_after=7", RateLimitError, ("rate_limit_exceeded", "7")),
        ("status=429 code=insufficient_quota", RateLimitError, ("insufficient_quota", None)),
        ("status=500", InternalServerError, (None, None)),
        ("status=502", InternalServerError, (None, None)),
        ("status=503 retry_after=1", InternalServerError, (None, "1")),
        ("status=401", AuthenticationError, ("invalid_api_key", None)),
        ("status=404 message='Gone.' code=nowhere", NotFoundError, ("nowhere", None)),
        ("status=599", InternalServerError, (None, None)),
    ],
)
async def test_an_error_of_the_service_comes_in_the_apis_form_and_nothing_ran(
    client: AsyncOpenAI,
    simulated: SimulatedOpenAI,
    options: str,
    raised: type[APIStatusError],
    told: tuple[str | None, str | None],
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} http-error {options}")

    with pytest.raises(raised) as refused:
        await ask(client, on, "x")

    assert isinstance(refused.value.body, dict)
    assert refused.value.body["message"]
    assert (refused.value.code, refused.value.response.headers.get("retry-after")) == told
    assert simulated.ledger.model_calls() == []
    assert struck(simulated) == [("http-error", 2)]


@pytest.mark.parametrize("status", [502, 503])
async def test_an_error_of_a_proxy_is_a_page(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, status: int
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} http-error status={status} html=true retry_after=3")

    with pytest.raises(InternalServerError) as refused:
        await ask(client, on, "x")

    assert refused.value.status_code == status
    assert refused.value.code is None
    assert "<h1>" in refused.value.response.text
    assert refused.value.response.headers["content-type"].startswith("text/html")
    assert refused.value.response.headers["retry-after"] == "3"
    assert simulated.ledger.requests("POST", "/v1/responses")[0].outcome == str(status)


async def test_an_error_after_the_effect_hides_it(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} http-error status=504 when=after")

    with pytest.raises(InternalServerError):
        await in_background(client, on)

    assert held_texts(simulated, on) == ANSWERED


async def test_a_duplicated_turn_is_answered_twice_and_the_second_reply_given(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} duplicate")

    made = await ask(client, on, "x")

    assert made.output_text == "I was told: x | x"
    assert held_texts(simulated, on) == [*ANSWERED, "x", "I was told: x | x"]
    assert len(simulated.ledger.model_calls(on)) == 2
    assert len(simulated.ledger.requests("POST", "/v1/responses")) == 1
    assert struck(simulated) == [("duplicate", 2)]


async def test_a_duplicated_turn_is_answered_twice_and_the_first_reply_given(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} duplicate reply=first")

    made = await ask(client, on, "x")

    assert made.output_text == "I was told: x"
    assert len(held_texts(simulated, on)) == 4


async def test_a_duplicated_stream_follows_the_first_when_that_has_ended(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} duplicate reply=first")

    events = await events_of(await begun(client, on))
    await soon(faults.struck("fault_1"))
    first, second = simulated.state.responses.values()
    await soon(second.events.wait_closed())

    assert events[-1].type == "response.completed"
    assert events[-1].response.id == first.id
    assert len(held_texts(simulated, on)) == 4


@pytest.mark.parametrize("reply", ["first", "second"])
async def test_a_duplicate_that_comes_at_once_finds_the_conversation_locked(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, reply: str
) -> None:
    simulated.responder = held = Held(Echo())
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} duplicate reply={reply} at_once=true")
    held.let_go()

    if reply == "first":
        assert (await ask(client, on, "x")).status == "completed"
    else:
        with pytest.raises(BadRequestError, match="Another process") as refused:
            await ask(client, on, "x")
        assert refused.value.code == "conversation_locked"
        (response,) = simulated.state.responses.values()
        await soon(response.events.wait_closed())

    assert held_texts(simulated, on) == ANSWERED


async def test_a_duplicated_chunk_doubles_its_items(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_ITEMS} duplicate")

    await client.conversations.items.create(on, items=[user("a"), user("b")])

    assert held_texts(simulated, on) == ["a", "b", "a", "b"]


async def test_a_late_request_arrives_when_it_is_let_go(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} late times=1")

    with pytest.raises(APIConnectionError):
        await ask(client, on, "late")
    await ask(client, on, "meanwhile")
    await soon(faults.holding("fault_1", 1))
    assert faults.let_go("fault_1") == 1
    await soon(faults.holding("fault_1", 0))
    await all_ended(simulated, 2)

    assert [text for text in held_texts(simulated, on) if " " not in text] == ["meanwhile", "late"]
    assert len(simulated.ledger.model_calls(on)) == 2


async def test_a_late_chunk_arrives_after_its_time(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_ITEMS} late seconds=60 times=1")

    with pytest.raises(APIConnectionError):
        await client.conversations.items.create(on, items=[user("late")])
    await client.conversations.items.create(on, items=[user("meanwhile")])
    await soon(faults.holding("fault_1", 1))
    simulated.clock.forward(59)
    assert held_texts(simulated, on) == ["meanwhile"]
    simulated.clock.forward(1)
    await soon(faults.holding("fault_1", 0))

    assert await texts(client, on) == ["meanwhile", "late"]
    assert [append.response_id for append in simulated.ledger.appends(on)] == [None, None]


async def test_a_late_request_that_is_refused_troubles_nobody(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} late")

    with pytest.raises(APIConnectionError):
        await ask(client, on, "late")
    await soon(faults.holding("fault_1", 1))
    simulated.delete_conversation(on)
    faults.let_go("fault_1")
    await soon(faults.holding("fault_1", 0))

    assert simulated.ledger.model_calls() == []
    assert (await client.conversations.create()).id


async def test_a_held_request_waits_before_its_effect(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-request")
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(ask(client, on, "x"))
        await soon(faults.holding("fault_1", 1))
        assert simulated.ledger.model_calls() == []
        assert faults.seen()[0].struck == 1
        faults.let_go("fault_1")

    assert asked.result().output_text == "I was told: x"
    assert faults.seen()[0].holding == 0


@pytest.mark.parametrize(("option", "held"), [("false", []), ("true", ANSWERED)])
async def test_a_held_request_whose_caller_left_is_performed_only_if_it_outlives_it(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, option: str, held: list[str]
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-request outlives_caller={option}")

    with pytest.raises(APIConnectionError):
        await ask(client.with_options(timeout=0.05), on, "x")
    request = 1
    await until(lambda: simulated.ledger.requests()[request].outcome == "caller gone")
    faults.let_go("fault_1")
    await soon(faults.holding("fault_1", 0))
    await all_ended(simulated, len(held) // 2)

    assert held_texts(simulated, on) == held


async def test_a_request_that_outlives_its_caller_answers_one_that_stayed(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-request outlives_caller=true")
    simulated.hold_lock(on)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(caught(ask(client, on, "x")))
        await soon(faults.holding("fault_1", 1))
        faults.let_go("fault_1")

    assert isinstance(asked.result(), BadRequestError)


async def test_a_request_that_outlives_its_caller_may_be_lost_by_a_rule_behind(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(
        simulated,
        f"{ON_RESPONSES} hold-request seconds=0 outlives_caller=true",
        f"{ON_RESPONSES} drop-reply times=1",
    )

    with pytest.raises(APIConnectionError):
        await ask(client, on, "x")

    assert (await ask(client, on, "y")).status == "completed"
    assert struck(simulated) == [("hold-request", 2), ("drop-reply", 2), ("hold-request", 3)]


async def test_a_held_request_goes_on_by_itself_when_its_time_has_passed() -> None:
    faults = SwitchedFaults([f"{ON_RESPONSES} hold-request seconds=0.05"])
    async with SimulatedOpenAI(faults=faults) as simulated, caller_of(simulated) as client:
        begun_at = time.monotonic()
        made = await client.responses.create(model=MODEL, input="x")

    assert made.status == "completed"
    assert time.monotonic() - begun_at >= 0.05


async def test_a_held_reply_waits_after_the_effect(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-reply")
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(ask(client, on, "x"))
        await soon(faults.holding("fault_1", 1))
        assert held_texts(simulated, on) == ANSWERED
        assert faults.let_go("fault_1", at_most=1) == 1

    assert asked.result().status == "completed"


async def test_a_held_reply_may_be_an_error(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    simulated.hold_lock(on)
    faults = switch_on(simulated, f"{ON_RESPONSES} hold-reply seconds=5")
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(caught(ask(client, on, "x")))
        await soon(faults.holding("fault_1", 1))
        simulated.clock.forward(5)

    assert isinstance(asked.result(), BadRequestError)


async def test_a_caller_that_leaves_before_a_held_stream_is_noticed(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    simulated.responder = Held(Echo())
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} hold-reply")

    with pytest.raises(APIConnectionError):
        await client.with_options(timeout=0.05).responses.create(
            model=MODEL, conversation=on, input="x", stream=True
        )

    await until(lambda: not simulated.state.responses)
    assert held_texts(simulated, on) == []


async def test_a_locked_conversation_is_free_again_after_its_time(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} lock-conversation seconds=20 times=1")

    for _ in range(2):
        with pytest.raises(BadRequestError) as locked:
            await ask(client, on, "x")
        assert locked.value.code == "conversation_locked"
    simulated.clock.forward(20)
    await soon(faults.holding("fault_1", 0))

    assert (await ask(client, on, "x")).status == "completed"
    assert struck(simulated) == [("lock-conversation", 2)]


async def test_locks_of_two_requests_do_not_free_each_other(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(simulated, f"{ON_RESPONSES} lock-conversation")
    for _ in range(2):
        with pytest.raises(BadRequestError):
            await ask(client, on, "x")
    await soon(faults.holding("fault_1", 2))
    faults.let_go("fault_1", at_most=1)
    await soon(faults.holding("fault_1", 1))
    assert simulated.state.conversation(on).is_locked

    faults.clear()
    await until(lambda: not simulated.state.conversation(on).is_locked)

    assert (await ask(client, on, "x")).status == "completed"


async def test_a_conversation_is_deleted_before_a_request(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} delete-conversation times=1")

    with pytest.raises(NotFoundError, match="Conversation with id"):
        await ask(client, on, "x")
    with pytest.raises(NotFoundError):
        await ask(client, on, "x")

    assert struck(simulated) == [("delete-conversation", 2)]
    assert simulated.conversation_ids() == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_is_deleted_after_a_request_and_its_response(
    client: AsyncOpenAI, simulated: SimulatedOpenAI, *, stream: bool
) -> None:
    on = await conversation(client)
    switch_on(simulated, f"{ON_RESPONSES} delete-conversation when=after")

    if stream:
        assert (await events_of(await begun(client, on)))[-1].type == "response.completed"
    else:
        assert (await ask(client, on, "x")).status == "completed"

    with pytest.raises(NotFoundError):
        await client.conversations.retrieve(on)
    (append,) = simulated.ledger.appends(on)
    assert not append.lost
    assert struck(simulated) == [("delete-conversation", 2)]


async def test_an_expired_response_is_not_found_and_its_items_stay(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    made = await ask(client, on, "x")
    switch_on(simulated, "GET /v1/responses/* expire-response")

    for _ in range(2):
        with pytest.raises(NotFoundError, match="Response with id"):
            await client.responses.retrieve(made.id)

    assert held_texts(simulated, on) == ANSWERED
    assert struck(simulated) == [("expire-response", 3)]


async def test_a_fault_that_finds_nothing_to_take_away_does_not_strike(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    faults = switch_on(
        simulated,
        f"{ON_RESPONSES} delete-conversation",
        f"{ON_RESPONSES} lock-conversation",
        f"{ON_RESPONSES} orphan-run",
        "* /v1/responses/** expire-response",
    )

    await client.responses.create(model=MODEL, input="without a conversation")
    with pytest.raises(NotFoundError):
        await client.responses.retrieve("resp_nowhere")

    assert struck(simulated) == []
    assert [seen.matched for seen in faults.seen()] == [0, 0, 0, 0]


async def test_every_response_expires_when_thirty_days_have_passed(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    made = await ask(client, on, "x")

    simulated.clock.forward(30 * 24 * 3600 - 1)
    assert (await client.responses.retrieve(made.id)).id == made.id
    simulated.clock.forward(1)

    with pytest.raises(NotFoundError):
        await client.responses.retrieve(made.id)
    assert await texts(client, on) == ANSWERED


async def caught(work: Coroutine[Any, Any, Any]) -> APIStatusError:
    try:
        await work
    except APIStatusError as error:
        return error
    pytest.fail("nothing was refused")

"""Faults switched over HTTP, and struck on real connections, as programs under test meet them."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from openai import (
    APIConnectionError,
    APITimeoutError,
    AsyncOpenAI,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAIError,
)

from dadm.adapters.simulators.openai import SimulatedOpenAI
from tests.adapters.simulators.faults_under_test import ON_ITEMS, ON_RESPONSES, begun, events_of
from tests.adapters.simulators.serving import sdk_at, served
from tests.adapters.simulators.short_forms import MODEL, ask, conversation, soon, texts, user
from tests.adapters.simulators.test_openai_simulator_faults import seen_until_broken

ANSWERED = ["x", "I was told: x"]
KEY = {"authorization": "Bearer sk-test"}


@dataclass(slots=True)
class FromOutside:
    """A caller in another process: the SDK for what it asks, the back door for what goes wrong."""

    client: AsyncOpenAI
    door: httpx2.AsyncClient

    async def switch_on(self, *rules: object) -> list[str]:
        added = await self.door.post("/faults", json=list(rules))
        assert added.status_code == 201, added.text
        return [rule["id"] for rule in added.json()["faults"]]

    async def counts(self, rule_id: str) -> dict[str, int]:
        rules = (await self.door.get("/faults")).json()["faults"]
        (rule,) = [rule for rule in rules if rule["id"] == rule_id]
        return {name: rule[name] for name in ("matched", "struck", "holding")}

    async def until_holding(self, rule_id: str, number: int) -> None:
        async def wait() -> None:
            while (await self.counts(rule_id))["holding"] != number:
                pass

        await soon(wait())

    async def let_go(self, rule_id: str) -> int:
        reply = await self.door.post(f"/faults/{rule_id}/let-go")
        return int(reply.json()["let_go"])

    async def entries(self, kind: str) -> list[dict[str, Any]]:
        reply = await self.door.get("/ledger", params={"kind": kind})
        return list(reply.json()["entries"])


@pytest.fixture(autouse=True)
def _quiet_server(caplog: pytest.LogCaptureFixture) -> None:
    """The server calls a reply that breaks off an error, and says so at length."""
    caplog.set_level(logging.CRITICAL)


@pytest.fixture
async def outside() -> AsyncIterator[FromOutside]:
    async with (
        served(SimulatedOpenAI()) as address,
        sdk_at(address) as client,
        httpx2.AsyncClient(base_url=f"{address}/simulator", headers=KEY) as door,
    ):
        yield FromOutside(client, door)


async def streamed(client: AsyncOpenAI, on: str) -> object:
    return await events_of(await begun(client, on))


@pytest.mark.parametrize(
    ("fault", "held"), [("drop-request", []), ("drop-reply", ANSWERED), ("late", [])]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_broken_connection_says_nothing_about_the_effect(
    outside: FromOutside, fault: str, held: list[str], *, stream: bool
) -> None:
    on = await conversation(outside.client)
    await outside.switch_on(f"{ON_RESPONSES} {fault}")

    asked = streamed(outside.client, on) if stream else ask(outside.client, on, "x")
    with pytest.raises(APIConnectionError):
        await asked

    assert await texts(outside.client, on) == held
    assert [entry["fault"] for entry in await outside.entries("FaultStruck")] == [fault]


async def test_a_late_request_and_a_late_chunk_arrive_when_they_are_let_go(
    outside: FromOutside,
) -> None:
    on = await conversation(outside.client)
    turn, chunk = await outside.switch_on(f"{ON_RESPONSES} late", f"{ON_ITEMS} late times=1")
    with pytest.raises(APIConnectionError):
        await outside.client.conversations.items.create(on, items=[user("chunk")])
    with pytest.raises(APIConnectionError):
        await ask(outside.client, on, "x")
    await outside.client.conversations.items.create(on, items=[user("again")])

    assert await outside.let_go(turn) == 1
    await outside.until_holding(turn, 0)
    assert await outside.let_go(chunk) == 1
    await outside.until_holding(chunk, 0)

    assert await texts(outside.client, on) == ["again", "x", "I was told: again | x", "chunk"]


async def test_an_errors_page_and_its_header_arrive(outside: FromOutside) -> None:
    await outside.switch_on("* /v1/** http-error status=503 html=true retry_after=2")

    with pytest.raises(InternalServerError) as refused:
        await outside.client.conversations.create()

    assert refused.value.response.headers["retry-after"] == "2"
    assert "503 Service Unavailable" in refused.value.response.text


async def test_a_stream_is_reset_after_its_first_event_and_joined_again(
    outside: FromOutside,
) -> None:
    on = await conversation(outside.client)
    await outside.switch_on(f"{ON_RESPONSES} reset-stream events=1")

    assert await seen_until_broken(await begun(outside.client, on)) == ["response.created"]
    (call,) = await outside.entries("ModelCall")
    again = await outside.client.responses.retrieve(
        call["response_id"], stream=True, starting_after=0
    )

    assert (await events_of(again))[-1].type == "response.completed"
    assert await texts(outside.client, on) == ANSWERED


async def test_a_stream_ends_without_its_last_event(outside: FromOutside) -> None:
    on = await conversation(outside.client)
    await outside.switch_on(f"{ON_RESPONSES} end-stream")

    events = await events_of(await begun(outside.client, on))

    assert events[-1].type == "response.output_item.done"
    assert await texts(outside.client, on) == ANSWERED


async def test_a_request_whose_caller_dies_while_it_is_held_arrives_all_the_same(
    outside: FromOutside,
) -> None:
    on = await conversation(outside.client)
    (rule,) = await outside.switch_on(f"{ON_RESPONSES} hold-request outlives_caller=true")

    with pytest.raises(APITimeoutError):
        await ask(outside.client.with_options(timeout=0.2), on, "x")
    await outside.until_holding(rule, 1)
    assert await outside.counts(rule) == {"matched": 1, "struck": 1, "holding": 1}
    assert await texts(outside.client, on) == []
    await outside.let_go(rule)
    await outside.until_holding(rule, 0)

    assert await texts(outside.client, on) == ANSWERED


async def test_a_run_whose_caller_dies_while_it_is_held_keeps_the_lock_and_appends_later(
    outside: FromOutside,
) -> None:
    on = await conversation(outside.client)
    (rule,) = await outside.switch_on(f"{ON_RESPONSES} hold-run times=1")
    stream = await begun(outside.client, on)
    assert (await soon(anext(stream))).type == "response.created"
    await stream.close()
    await outside.until_holding(rule, 1)

    with pytest.raises(BadRequestError, match="Another process"):
        await ask(outside.client, on, "y")
    assert await texts(outside.client, on) == []
    await outside.let_go(rule)
    await outside.until_holding(rule, 0)

    assert await texts(outside.client, on) == ANSWERED


async def test_time_that_is_moved_frees_a_lock_and_ends_a_responses_time(
    outside: FromOutside,
) -> None:
    on = await conversation(outside.client)
    made = await ask(outside.client, on, "x")
    (rule,) = await outside.switch_on(f"{ON_RESPONSES} lock-conversation seconds=30 times=1")
    with pytest.raises(BadRequestError, match="Another process"):
        await ask(outside.client, on, "y")

    await outside.door.post("/clock", json={"forward_seconds": 30 * 24 * 3600})
    await outside.until_holding(rule, 0)

    assert (await ask(outside.client, on, "y")).status == "completed"
    with pytest.raises(NotFoundError, match="Response with id"):
        await outside.client.responses.retrieve(made.id)


async def test_every_strike_of_a_storm_is_accounted_for(outside: FromOutside) -> None:
    ons = [await conversation(outside.client) for _ in range(8)]
    kinds = ("drop-request", "drop-reply", "http-error status=502", "fail-run", "cut-run")
    rules = await outside.switch_on(
        *(f"{ON_RESPONSES} {kind} probability=0.1 seed={seed}" for seed, kind in enumerate(kinds))
    )
    seen: Counter[str] = Counter()

    async def take_turns(on: str) -> None:
        for number in range(15):
            try:
                made = await outside.client.responses.create(
                    model=MODEL, conversation=on, input=f"t{number}"
                )
            except OpenAIError as error:
                seen[type(error).__name__] += 1
            else:
                seen[str(made.status)] += 1

    async with asyncio.TaskGroup() as tasks:
        for on in ons:
            tasks.create_task(take_turns(on))

    struck: dict[int, list[str]] = {}
    for entry in await outside.entries("FaultStruck"):
        struck.setdefault(entry["request_number"], []).append(entry["fault"])
    # Two may strike the same request; its caller sees what the last of them did.
    last = Counter(faults[-1] for faults in struck.values())
    assert seen == {
        "completed": 120 - len(struck),
        "failed": last["fail-run"],
        "incomplete": last["cut-run"],
        "InternalServerError": last["http-error"],
        "APIConnectionError": last["drop-request"] + last["drop-reply"],
    }
    never_ran = sum(not {"drop-request", "http-error"}.isdisjoint(each) for each in struck.values())
    failed = sum("fail-run" in each for each in struck.values())
    assert len(await outside.entries("ModelCall")) == 120 - never_ran
    assert len(await outside.entries("Append")) == 120 - never_ran - failed
    assert [(await outside.counts(rule))["struck"] for rule in rules] == [
        sum(each.count(kind.partition(" ")[0]) for each in struck.values()) for kind in kinds
    ]
    assert all(last.values())
    assert len(last) == len(kinds)

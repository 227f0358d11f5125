"""Rules of faults: how they are written, which requests they strike, and that a seed decides."""

import re
from dataclasses import fields
from pathlib import Path

import httpx2
import pytest
from openai import APIConnectionError, AsyncOpenAI, InternalServerError, RateLimitError

from dadm.adapters.simulators.openai import (
    CountingIds,
    FaultRule,
    Requests,
    SimulatedOpenAI,
    SwitchedFaults,
    WrongFault,
    create_app,
)
from dadm.adapters.simulators.openai.app import OPERATIONS
from dadm.adapters.simulators.openai.endpoints import ENDPOINTS
from dadm.adapters.simulators.openai.fault_kinds import (
    KINDS,
    DropReply,
    FailRun,
    FailureCode,
    HttpError,
    Late,
    Side,
)
from dadm.adapters.simulators.openai.fault_reading import OF_EVERY_RULE, read_rule, rule_as_json
from dadm.adapters.simulators.openai.faults import Phase
from dadm.adapters.simulators.openai.switched_faults import UnknownRule
from tests.adapters.simulators.conftest import BASE_URL, NOON, caller_of
from tests.adapters.simulators.faults_under_test import ON_RESPONSES, struck, switch_on
from tests.adapters.simulators.in_process import InProcess
from tests.adapters.simulators.short_forms import ask, conversation

DOCS = Path(__file__).resolve().parents[3] / "docs"
TO_RESPONSES = Requests("POST", "/v1/responses")


def test_the_endpoints_are_those_that_are_served() -> None:
    assert {path: tuple(methods) for path, methods in OPERATIONS.items()} == ENDPOINTS


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("POST /v1/responses drop-reply", FaultRule(TO_RESPONSES, DropReply())),
        (
            "POST /v1/responses drop-reply probability=0.1 times=3 first=2 seed=7",
            FaultRule(TO_RESPONSES, DropReply(), probability=0.1, times=3, first=2, seed=7),
        ),
        (
            "* /v1/** http-error status=503 when=after retry-after=2 message='Not now.'",
            FaultRule(
                Requests("*", "/v1/**"),
                HttpError(status=503, when=Side.AFTER, retry_after=2, message="Not now."),
            ),
        ),
        (
            "POST /v1/conversations/*/items late seconds=1.5 conversation=conv_1",
            FaultRule(
                Requests("POST", "/v1/conversations/*/items"),
                Late(seconds=1.5),
                conversation="conv_1",
            ),
        ),
        (
            "POST /v1/responses fail-run code=invalid_prompt at=admitted",
            FaultRule(TO_RESPONSES, FailRun(code=FailureCode.INVALID_PROMPT, at=Phase.ADMITTED)),
        ),
    ],
)
def test_a_rule_is_read_from_words_and_from_json(text: str, rule: FaultRule) -> None:
    assert read_rule(text) == rule
    assert read_rule(rule_as_json(rule)) == rule


@pytest.mark.parametrize("name", KINDS)
def test_every_fault_is_read_by_its_name(name: str) -> None:
    needed = "status=500" if name == "http-error" else ""

    rule = read_rule(f"POST /v1/responses {name} {needed}")

    assert rule.name == name
    assert type(rule.fault) is KINDS[name]


def test_the_documented_faults_and_their_options_are_those_there_are() -> None:
    page = (DOCS / "howto" / "simulate_openai.md").read_text(encoding="utf-8")
    table = page.partition("## Faults")[2].partition("## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|.*\|([^|]*)\|$", table, re.MULTILINE)

    documented = {name: options_in(cell) for name, cell in rows}

    assert documented == {
        name: {field.name for field in fields(kind)} for name, kind in KINDS.items()
    }


def options_in(cell: str) -> set[str]:
    """Give the options that a cell names, without the values in parentheses behind them."""
    return set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", cell)))


def test_the_documented_options_of_every_rule_are_those_there_are() -> None:
    page = (DOCS / "howto" / "simulate_openai.md").read_text(encoding="utf-8")
    table = page.partition("## Rules")[2].partition("## ")[0]

    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert documented == [field.name for field in OF_EVERY_RULE]


def test_the_command_line_names_every_fault() -> None:
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| `--fault` \|.*Faults: (.*)\. \|$", page, re.MULTILINE)

    assert row.split(", ") == list(KINDS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "A rule is a text or an object, not 5. A text is METHOD PATH FAULT NAME=VALUE"),
        ("drop-reply", "'drop-reply' is no rule. A rule is METHOD PATH FAULT NAME=VALUE"),
        ("POST /v1/responses late '", "cannot be read: No closing quotation"),
        ("POST /v1/responses late 5", "'5' in 'POST /v1/responses late 5' is not NAME=VALUE"),
        ("POST /v1/responses later", "There is no fault 'later'; there are: drop-request, drop-"),
        ("PUT /v1/responses late", "A method is GET, POST, DELETE or *, not 'PUT'."),
        ("POST /v1/nothing late", "The API has no request 'POST /v1/nothing'. A path begins"),
        ("DELETE /v1/responses late", "The API has no request 'DELETE /v1/responses'"),
        ("POST /v1/responses http-error", "'http-error' needs status (a whole number)."),
        ("POST /v1/responses http-error status=200", "'status' is from 400 to 599, not 200."),
        ("POST /v1/responses http-error status=bad", "'status' takes a whole number, not \"bad\""),
        ("POST /v1/responses late seconds=-1", "'seconds' is at least 0, not -1."),
        ("POST /v1/responses late seconds=NaN", "'seconds' is at least 0, not nan."),
        ("POST /v1/responses late seconds=Infinity", "'seconds' is at least 0, not inf."),
        ("POST /v1/responses late seconds=true", "'seconds' takes a number, not true."),
        ("POST /v1/responses late times=0", "'times' is at least 1, not 0."),
        ("POST /v1/responses late probability=2", "'probability' is from 0 to 1, not 2."),
        ("POST /v1/responses duplicate reply=third", "'reply' takes first or second, not"),
        (
            "POST /v1/responses late hours=1",
            "'late' takes no 'hours'. It takes seconds (a number). Every rule takes conversation,",
        ),
        ({"fault": "late"}, "'on' says which requests are struck, as in 'POST /v1/responses', not"),
        ({"on": "POST", "fault": "late"}, "'on' says which requests"),
        ({"on": "POST /v1/responses", "fault": ["late"]}, "There is no fault ['late']"),
        ({"on": "POST /v1/responses", "fault": "late", "seconds": {}}, "'seconds' takes a number"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_would_be(given: object, said: str) -> None:
    with pytest.raises(WrongFault, match=re.escape(said)):
        read_rule(given)


@pytest.mark.parametrize(
    ("method", "pattern", "struck_ones"),
    [
        ("POST", "/v1/responses", {"POST /v1/responses"}),
        ("GET", "/v1/responses/*", {"GET /v1/responses/resp_1"}),
        (
            "*",
            "/v1/responses/**",
            {"POST /v1/responses", "GET /v1/responses/resp_1", "POST /v1/responses/resp_1/cancel"},
        ),
        ("POST", "/v1/conversations/conv_1/items", {"POST /v1/conversations/conv_1/items"}),
        ("POST", "/v1/conversations/*", set()),
    ],
)
def test_a_pattern_strikes_the_requests_it_is_like(
    method: str, pattern: str, struck_ones: set[str]
) -> None:
    requests = [
        "POST /v1/responses",
        "GET /v1/responses/resp_1",
        "POST /v1/responses/resp_1/cancel",
        "POST /v1/conversations/conv_1/items",
    ]
    meant = Requests(method, pattern)

    assert {each for each in requests if meant.matches(*each.split(" "))} == struck_ones


async def test_a_rule_strikes_one_conversation_alone(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    one, other = await conversation(client), await conversation(client)
    switch_on(simulated, f"* /v1/** drop-request conversation={other}")

    made = await ask(client, one, "x")
    await client.responses.retrieve(made.id)
    for _ in range(2):
        with pytest.raises(APIConnectionError):
            await ask(client, other, "x")
    with pytest.raises(APIConnectionError):
        await client.conversations.items.list(other)

    assert [entry.conversation_id for entry in simulated.ledger.faults()] == [other] * 3


async def test_a_response_is_about_its_conversation(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    made = await ask(client, on, "x")
    switch_on(simulated, f"GET /v1/responses/* drop-request conversation={on}")

    with pytest.raises(APIConnectionError):
        await client.responses.retrieve(made.id)


async def test_a_rule_strikes_the_nth_request_and_so_many_times(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    faults = switch_on(simulated, f"{ON_RESPONSES} http-error status=500 first=3 times=2")

    assert await outcomes(client, 6) == [True, True, False, False, True, True]
    assert [(seen.matched, seen.struck) for seen in faults.seen()] == [(6, 2)]


async def outcomes(client: AsyncOpenAI, number: int) -> list[bool]:
    """Ask so often; give for each whether it was answered."""
    answered = []
    for _ in range(number):
        try:
            await client.responses.create(model="simulated", input="x")
        except InternalServerError:
            answered.append(False)
        else:
            answered.append(True)
    return answered


async def struck_by_chance(rule: str, *, seed: int, before: tuple[str, ...] = ()) -> list[bool]:
    faults = SwitchedFaults([*before, rule], seed=seed)
    async with (
        SimulatedOpenAI(faults=faults, clock=lambda: NOON, mint=CountingIds()) as simulated,
        caller_of(simulated) as client,
    ):
        return await outcomes(client, 60)


async def test_the_same_seed_strikes_the_same_requests_and_another_seed_others() -> None:
    rule = f"{ON_RESPONSES} http-error status=500 probability=0.3"

    first = await struck_by_chance(rule, seed=1)

    assert await struck_by_chance(rule, seed=1) == first
    assert await struck_by_chance(rule, seed=2) != first
    assert 8 <= first.count(False) <= 28


async def test_a_rule_with_a_seed_of_its_own_strikes_the_same_wherever_it_stands() -> None:
    rule = f"{ON_RESPONSES} http-error status=500 probability=0.3 seed=5"
    never = f"{ON_RESPONSES} drop-reply probability=0"

    assert await struck_by_chance(rule, seed=1) == await struck_by_chance(
        rule, seed=2, before=(never,)
    )


async def test_rules_strike_in_their_order_and_see_what_reaches_them(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    on = await conversation(client)
    faults = switch_on(
        simulated,
        f"{ON_RESPONSES} duplicate times=1",
        f"{ON_RESPONSES} http-error status=429 when=after first=2",
        f"{ON_RESPONSES} drop-request first=2",
    )

    with pytest.raises(RateLimitError):
        await ask(client, on, "x")

    # The first of the two was answered; the second was dropped on its way, behind an error.
    assert len(simulated.ledger.model_calls()) == 1
    assert [seen.matched for seen in faults.seen()] == [1, 2, 2]


async def test_rules_are_added_removed_and_cleared(
    client: AsyncOpenAI, simulated: SimulatedOpenAI
) -> None:
    faults = switch_on(simulated)
    assert faults.add(f"{ON_RESPONSES} drop-request", FaultRule(TO_RESPONSES, Late())) == [
        "fault_1",
        "fault_2",
    ]
    with pytest.raises(WrongFault):
        faults.add(f"{ON_RESPONSES} drop-reply", "nonsense")
    faults.remove("fault_1")
    assert [seen.id for seen in faults.seen()] == ["fault_2"]
    with pytest.raises(UnknownRule, match=r"There is no rule 'fault_1'; there are: fault_2\."):
        faults.let_go("fault_1")
    faults.clear()

    assert faults.seen() == []
    assert (await client.responses.create(model="simulated", input="x")).status == "completed"
    assert struck(simulated) == []


async def test_faults_without_a_simulator_say_so() -> None:
    faults = SwitchedFaults([f"{ON_RESPONSES} drop-request"])
    simulated = SimulatedOpenAI()
    app = create_app(simulated)
    simulated.faults = faults
    async with httpx2.AsyncClient(transport=InProcess(app), base_url=BASE_URL) as http:
        reply = await http.get("/models", headers={"authorization": "Bearer x"})

    assert reply.status_code == 200
    with pytest.raises(RuntimeError, match="given to no simulator"):
        _ = SwitchedFaults()._struck_api

"""What each fault of the simulated API is to the backend: what is raised, and what is found after."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx2
import pytest

from dadm.adapters.backends.openai_conversations import OpenAIConversations
from dadm.adapters.simulators.openai import CountingIds, SimulatedOpenAI, SwitchedFaults, create_app
from dadm.adapters.simulators.openai.fault_kinds import KINDS
from dadm.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendRefused,
    BackendUnavailable,
    ConversationBusy,
    ConversationLost,
    ConversationTooLong,
    OutcomeUnknown,
)
from dadm.domain.thread import ConversationId
from dadm.ports.backend import (
    Answered,
    CutShort,
    FoundAnswered,
    FoundNothing,
    FoundUnanswered,
    ResponseStarted,
    RunCancelled,
    RunFailed,
    RunGone,
    TurnEvent,
)
from tests.adapters.backends.under_test import BASE_URL, KEY, events_of, question
from tests.adapters.simulators.in_process import InProcess
from tests.adapters.simulators.short_forms import soon

ON_RESPONSES = "POST /v1/responses"
NOT_TOLD = OutcomeUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class AtFault:
    """The backend, the API that is at fault, and a conversation to ask in."""

    backend: OpenAIConversations
    simulated: SimulatedOpenAI
    faults: SwitchedFaults
    on: ConversationId

    async def outcome(self) -> tuple[type, str]:
        """Take a turn; give what came of it, and the id of its response as far as it was told."""
        response_id = ""
        last: TurnEvent | None = None
        try:
            async with self.backend.take_turn(question(self.on, "x")) as events:
                async for event in events:
                    if isinstance(event, ResponseStarted):
                        response_id = event.response_id
                    last = event
        except BackendError as error:
            return type(error), response_id
        return type(last), response_id

    async def found(self) -> type:
        """Look for the turn, when all that runs has ended; give what is found."""
        for response in list(self.simulated.state.responses.values()):
            await soon(response.events.wait_closed())
        try:
            return type(await self.backend.look(self.on, after_item="", prompt="x"))
        except ConversationLost:
            return ConversationLost


@asynccontextmanager
async def at_fault(*rules: str) -> AsyncIterator[AtFault]:
    faults = SwitchedFaults()
    async with (
        SimulatedOpenAI(faults=faults, mint=CountingIds()) as simulated,
        httpx2.AsyncClient(transport=InProcess(create_app(simulated))) as http,
        OpenAIConversations(
            model="simulated", api_key=KEY, base_url=BASE_URL, http_client=http
        ) as backend,
    ):
        on = await backend.open(labels={})
        faults.add(*rules)
        yield AtFault(backend=backend, simulated=simulated, faults=faults, on=on)


OF_A_TURN = [
    ("drop-request", NOT_TOLD, FoundNothing),
    ("drop-reply", NOT_TOLD, FoundAnswered),
    ("late", NOT_TOLD, FoundNothing),
    ("http-error status=400 code=context_length_exceeded", ConversationTooLong, FoundNothing),
    ("http-error status=400 code=content_policy_violation", BackendRefused, FoundNothing),
    ("http-error status=401", BackendMisconfigured, FoundNothing),
    ("http-error status=403", BackendMisconfigured, FoundNothing),
    ("http-error status=404 code=model_not_found", BackendMisconfigured, FoundNothing),
    ("http-error status=404 html=true", BackendMisconfigured, FoundNothing),
    ("http-error status=408", NOT_TOLD, FoundNothing),
    ("http-error status=409", NOT_TOLD, FoundNothing),
    ("http-error status=413", BackendRefused, FoundNothing),
    ("http-error status=429", BackendUnavailable, FoundNothing),
    ("http-error status=429 code=insufficient_quota", BackendMisconfigured, FoundNothing),
    ("http-error status=500", NOT_TOLD, FoundNothing),
    ("http-error status=502 html=true", NOT_TOLD, FoundNothing),
    ("http-error status=503", NOT_TOLD, FoundNothing),
    ("http-error status=503 html=true when=after", NOT_TOLD, FoundAnswered),
    ("http-error status=504 when=after", NOT_TOLD, FoundAnswered),
    ("duplicate reply=first at_once=true", Answered, FoundAnswered),
    ("duplicate reply=second at_once=true", ConversationBusy, FoundAnswered),
    ("hold-request seconds=0", Answered, FoundAnswered),
    ("hold-reply seconds=0", Answered, FoundAnswered),
    ("lock-conversation", ConversationBusy, FoundNothing),
    ("delete-conversation", ConversationLost, ConversationLost),
    ("delete-conversation when=after", Answered, ConversationLost),
    ("fail-run", NOT_TOLD, FoundNothing),
    ("cut-run", CutShort, FoundUnanswered),
    ("cancel-run", NOT_TOLD, FoundNothing),
    ("hold-run seconds=0", Answered, FoundAnswered),
    ("orphan-run", Answered, ConversationLost),
    ("reset-stream events=0", NOT_TOLD, FoundAnswered),
    ("reset-stream", NOT_TOLD, FoundAnswered),
    ("end-stream", NOT_TOLD, FoundAnswered),
    ("error-in-stream", NOT_TOLD, FoundAnswered),
    ("error-in-stream nested=true", NOT_TOLD, FoundAnswered),
    ("hold-stream seconds=0", Answered, FoundAnswered),
]
OF_OTHER_REQUESTS = {"expire-response"}


def test_every_fault_is_met_here() -> None:
    assert {fault.split()[0] for fault, _, _ in OF_A_TURN} | OF_OTHER_REQUESTS == set(KINDS)


@pytest.mark.parametrize(
    ("fault", "outcome", "found"), OF_A_TURN, ids=[fault for fault, _, _ in OF_A_TURN]
)
async def test_a_turn_says_what_is_known_and_looking_says_the_rest(
    fault: str, outcome: type, found: type
) -> None:
    async with at_fault(f"{ON_RESPONSES} {fault} times=1") as at:
        assert (await at.outcome())[0] is outcome

        assert at.faults.seen()[0].struck == 1
        assert await at.found() is found


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("reset-stream", Answered),
        ("end-stream", Answered),
        ("error-in-stream", Answered),
        ("fail-run", RunFailed),
        ("cancel-run", RunCancelled),
    ],
)
async def test_a_response_whose_id_was_told_is_retrieved(fault: str, state: type) -> None:
    async with at_fault(f"{ON_RESPONSES} {fault}") as at:
        _, response_id = await at.outcome()
        await at.found()

        assert type(await at.backend.retrieve(at.on, response_id)) is state


@pytest.mark.parametrize(
    ("code", "is_temporary"),
    [("server_error", True), ("rate_limit_exceeded", True), ("invalid_prompt", False)],
)
async def test_a_failed_run_is_asked_again_if_its_reason_passes(
    code: str, *, is_temporary: bool
) -> None:
    async with at_fault(f"{ON_RESPONSES} fail-run code={code}") as at:
        _, response_id = await at.outcome()

        state = await at.backend.retrieve(at.on, response_id)

    assert isinstance(state, RunFailed)
    assert state.is_temporary is is_temporary


async def test_a_response_that_is_no_longer_kept_is_gone_and_its_answer_is_found() -> None:
    async with at_fault(
        f"{ON_RESPONSES} reset-stream", "GET /v1/responses/* expire-response"
    ) as at:
        _, response_id = await at.outcome()
        await at.found()

        assert await at.backend.retrieve(at.on, response_id) == RunGone()
        assert await at.found() is FoundAnswered


async def test_a_late_request_is_found_when_it_has_arrived() -> None:
    async with at_fault(f"{ON_RESPONSES} late") as at:
        await at.outcome()
        assert await at.found() is FoundNothing

        at.faults.let_go("fault_1")
        await soon(at.faults.holding("fault_1", 0))

        assert await at.found() is FoundAnswered


async def test_a_service_that_says_when_to_come_back_is_heard() -> None:
    async with at_fault(f"{ON_RESPONSES} http-error status=429 retry_after=7") as at:
        with pytest.raises(BackendUnavailable) as unavailable:
            await events_of(at.backend, question(at.on, "x"))

    assert unavailable.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(("honoured", "answers"), [(True, 1), (False, 2)])
async def test_a_request_that_something_repeats_is_answered_once_where_its_key_is_honoured(
    honoured: bool, answers: int
) -> None:
    async with at_fault(f"{ON_RESPONSES} duplicate reply=second") as given:
        given.simulated.switch(idempotency_key_honoured=honoured)

        await events_of(given.backend, question(given.on, "x", attempt="owner_1.1"))

        assert len(given.simulated.ledger.model_calls()) == answers
        kept = [kept.message.text async for kept in given.backend.messages(given.on)]
        assert kept.count("x") == answers

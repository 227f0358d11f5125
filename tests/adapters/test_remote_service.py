"""What a remote assistant service replies, or does not, becomes an answer or a known error."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from dadm.adapters.services.remote import ERROR_OF, RemoteAssistantService
from dadm.domain.errors import (
    BackendMisconfigured,
    BackendUnavailable,
    DadmError,
    InvalidTask,
    OutcomeUnknown,
    ServiceUnavailable,
    StoreUnavailable,
    UnknownAssistant,
)
from dadm.domain.task import Selecting, ServiceTask, VariableSelection
from dadm.entrypoints.openai_service.problems import HTTP_PROBLEMS, STATUS_OF, problem_of_error
from dadm.ports.assistant_service import ThreadChange

TASK = ServiceTask(task_id="t1", process_instance_id="p1", engine="embedded", description="What?")

REPLY: dict[str, Any] = {
    "status": "success",
    "task_id": "t1",
    "result": {
        "assistant_id": "analyst",
        "processed_at": "2026-11-23T12:00:00Z",
        "processed_by": "dadm",
        "recommendation": "This.",
        "thread_id": "conv_2",
    },
    "timestamp": "2026-11-23T12:00:01Z",
    "approach": "name_based_discovery",
    "turn": {"id": "7", "sequence": 3, "replayed": False, "recovered": True, "structured": False},
    "usage": {"input_tokens": 12, "output_tokens": 3, "cached_tokens": 1},
    "thread": {
        "generation": 2,
        "change": "rebuilt",
        "previous_thread_id": "conv_1",
        "copied_messages": 4,
    },
    "assistant": {"name": "analyst", "version": "abc"},
}

Handler = Callable[[httpx2.Request], httpx2.Response]


def remote(handler: Handler, token: str = "") -> RemoteAssistantService:
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    return RemoteAssistantService("http://service.local/", token, client=client)


def always(status: int, document: object = None, **headers: str) -> RemoteAssistantService:
    return remote(lambda _: httpx2.Response(status, json=document, headers=headers))


async def test_a_reply_becomes_an_answer() -> None:
    answer = await always(200, REPLY).process_task(TASK)

    assert answer.recommendation == "This."
    assert answer.change is ThreadChange.REBUILT
    assert (answer.thread_id, answer.previous_thread_id) == ("conv_2", "conv_1")
    assert (answer.generation, answer.copied_messages, answer.sequence) == (2, 4, 3)
    assert (answer.is_recovered, answer.is_replayed) == (True, False)
    assert (answer.turn_id, answer.assistant_version) == ("7", "abc")
    assert answer.usage.input_tokens == 12
    assert answer.processed_at.tzinfo is not None


async def test_everything_that_shapes_the_question_is_sent() -> None:
    sent: list[dict[str, Any]] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        sent.append(json.loads(request.content))
        return httpx2.Response(200, json=REPLY)

    task = ServiceTask(
        task_id="t1",
        engine="embedded",
        tenant="north",
        process_instance_id="p1",
        scope="order-9",
        task_name="Frame",
        element_id="Task_Frame",
        process_definition="decision:1",
        documentation="What should ${owner} do?",
        variables={"owner": "Zoë", "budget": [1, 2.5, None]},
        mapped=("owner",),
        own_answers=frozenset({"recommendation"}),
        assistant="analyst",
        selection=VariableSelection(selecting=Selecting.LISTED, names=("owner", "budget")),
        answer_schema={"type": "object"},
    )
    await remote(keep).process_task(task)

    assert sent == [
        {
            "task_id": "t1",
            "process_instance_id": "p1",
            "engine": "embedded",
            "tenant": "north",
            "scope": "order-9",
            "task_description": "What should ${owner} do?",
            "task_name": "Frame",
            "task_documentation": "What should ${owner} do?",
            "variables": {"owner": "Zoë", "budget": [1, 2.5, None]},
            "assistant": "analyst",
            "element_id": "Task_Frame",
            "process_definition": "decision:1",
            "mapped_variables": ["owner"],
            "own_answers": ["recommendation"],
            "variable_selection": "owner,budget",
            "answer_schema": {"type": "object"},
        }
    ]


async def test_the_token_is_sent_and_told_nobody() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer secret-token"
        return httpx2.Response(401, json={"code": "unauthorized", "detail": "Not one of ours."})

    with pytest.raises(BackendMisconfigured, match="DADM_SERVICE_TOKEN") as refusal:
        await remote(refuse, "secret-token").process_task(TASK)

    assert "secret-token" not in refusal.value.message


@pytest.mark.parametrize("kind", STATUS_OF, ids=lambda kind: kind.__name__)
async def test_every_error_comes_back_as_itself(kind: type[DadmError]) -> None:
    error = UnknownAssistant("nobody", ("a", "b")) if kind is UnknownAssistant else kind("So.")
    document = problem_of_error(error).response(instance="/process_task", scrub=str)
    reply = httpx2.Response(
        document.status_code, content=bytes(document.body), headers=dict(document.headers)
    )

    with pytest.raises(DadmError) as raised:
        await remote(lambda _: reply).process_task(
            ServiceTask(task_id="t1", description="What?", assistant="nobody")
        )

    assert type(raised.value) is kind
    assert raised.value.message == error.message
    if isinstance(raised.value, UnknownAssistant):
        assert raised.value.known == ("a", "b")


def test_every_code_of_the_service_is_known_here() -> None:
    codes = {kind.code for kind in STATUS_OF} | {problem.code for problem in HTTP_PROBLEMS}

    assert set(ERROR_OF) == codes


@pytest.mark.parametrize("kind", [BackendUnavailable, OutcomeUnknown, ServiceUnavailable])
async def test_how_long_to_wait_comes_back_too(
    kind: type[BackendUnavailable | OutcomeUnknown | ServiceUnavailable],
) -> None:
    error = kind("Later.", retry_after=timedelta(seconds=41.5))
    document = problem_of_error(error).response(instance="/process_task", scrub=str)
    assert document.headers["retry-after"] == "42"
    service = always(503, json.loads(bytes(document.body)), **dict(document.headers))

    with pytest.raises(DadmError) as raised:
        await service.process_task(TASK)

    assert isinstance(raised.value, kind)
    assert raised.value.retry_after == timedelta(seconds=42)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, BackendMisconfigured),
        (401, BackendMisconfigured),
        (404, BackendMisconfigured),
        (413, InvalidTask),
        (429, ServiceUnavailable),
        (500, OutcomeUnknown),
        (502, ServiceUnavailable),
        (503, ServiceUnavailable),
        (504, ServiceUnavailable),
    ],
)
async def test_what_something_in_between_replies_is_understood_by_its_status(
    status: int, kind: type[DadmError]
) -> None:
    service = remote(lambda _: httpx2.Response(status, text="<html>nothing of ours</html>"))

    with pytest.raises(kind, match=f"{status}"):
        await service.process_task(TASK)


@pytest.mark.parametrize("document", [None, [], {}, {**REPLY, "turn": {}}, "fine"])
async def test_a_success_that_is_no_answer_is_not_taken_for_one(document: object) -> None:
    with pytest.raises(OutcomeUnknown, match="DADM service"):
        await always(200, document).process_task(TASK)


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.ConnectError("refused"),
        httpx2.ConnectTimeout("silent"),
        httpx2.ReadError("reset"),
        httpx2.WriteError("reset"),
        httpx2.RemoteProtocolError("closed"),
    ],
)
@pytest.mark.parametrize("call", ["process_task", "withdraw_task", "outcome_reported"])
async def test_a_connection_that_breaks_says_that_the_service_is_away(
    failure: Exception, call: str
) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise failure

    with pytest.raises(ServiceUnavailable, match=r"http://service\.local"):
        await getattr(remote(fail), call)(TASK)


async def test_an_address_that_is_none_is_not_waited_for() -> None:
    async with RemoteAssistantService("service.local:8000") as service:
        with pytest.raises(BackendMisconfigured, match="DADM_SERVICE_URL"):
            await service.process_task(TASK)


async def test_a_service_that_takes_no_turns_says_so() -> None:
    asked: list[str] = []

    def draining(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(503, json={"code": "store_unavailable", "detail": "Away."})

    with pytest.raises(StoreUnavailable, match="Away"):
        await remote(draining).refuse_if_away()
    assert asked == ["/ready"]


async def test_a_turn_that_outlasts_a_request_is_joined_by_the_next() -> None:
    asked: list[str] = []

    def slowly(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        if asked == ["/process_task"]:
            msg = "silent"
            raise httpx2.ReadTimeout(msg)
        return httpx2.Response(200, json=REPLY)

    answer = await remote(slowly).process_task(TASK)

    assert answer.recommendation == "This."
    assert asked == ["/process_task", "/health", "/process_task"]


async def test_a_service_that_hangs_is_not_waited_for_for_ever() -> None:
    def hang(request: httpx2.Request) -> httpx2.Response:
        msg = "silent"
        raise httpx2.ReadTimeout(msg)

    with pytest.raises(ServiceUnavailable, match="in time"):
        await remote(hang).process_task(TASK)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud83d"])
async def test_what_json_cannot_carry_is_refused_before_it_is_sent(value: object) -> None:
    def never(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError

    variables: Any = {"x": value}
    with pytest.raises(InvalidTask):
        await remote(never).process_task(
            ServiceTask(task_id="t1", description="What?", variables=variables)
        )


async def test_a_name_once_known_is_not_asked_for_again() -> None:
    asked: list[str] = []

    def tell(request: httpx2.Request) -> httpx2.Response:
        name = request.url.params["name"]
        asked.append(name)
        found = [{"name": "analyst"}] if name == "analyst" else []
        return httpx2.Response(200, json={"assistants": found})

    service = remote(tell)
    for _ in range(2):
        assert await service.knows_assistant("analyst")
        assert not await service.knows_assistant("nobody")

    assert asked == ["analyst", "nobody", "nobody"]


async def test_a_list_that_is_none_is_not_taken_for_one() -> None:
    with pytest.raises(OutcomeUnknown, match="assistants"):
        await always(200, {"else": 1}).knows_assistant("analyst")


async def test_a_report_names_the_work_and_nothing_else() -> None:
    sent: list[dict[str, Any]] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        sent.append({"path": request.url.path, **json.loads(request.content)})
        return httpx2.Response(204)

    await remote(keep).outcome_reported(TASK)

    assert sent == [
        {
            "path": "/turns/reported",
            "task_id": "t1",
            "process_instance_id": "p1",
            "engine": "embedded",
            "tenant": "",
            "scope": "",
        }
    ]


async def test_its_own_connections_are_closed_and_others_are_left() -> None:
    own = RemoteAssistantService("http://service.local")
    async with own:
        pass
    assert own._client.is_closed

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(204)))
    async with RemoteAssistantService("http://service.local", client=client):
        pass
    assert not client.is_closed
    await client.aclose()

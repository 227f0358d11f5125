"""What the adapter sends to a gateway, and what it makes of replies that no 8.6 gives."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from dadm.adapters.engines.camunda8 import Camunda8Engine
from dadm.domain.errors import (
    EngineAccessRefused,
    EngineError,
    EngineRejected,
    EngineUnavailable,
    LeaseLost,
    TaskGone,
)
from dadm.ports.engine import InstanceState, LeasedTask, TopicSubscription
from dadm.ports.engine_features import Feature
from tests.adapters.engines.external_task.wire import StandingClock
from tests.builders import make_leased_task
from tests.clocks import Numbers

UNTIL = datetime(2031, 1, 1, tzinfo=UTC)


class MovingClock(StandingClock):
    """Tells its time as a date, too."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.seconds)


Answer = Callable[[str, dict[str, Any]], httpx2.Response]


def problem(status: int, title: str, detail: str = "") -> httpx2.Response:
    return httpx2.Response(status, json={"title": title, "detail": detail, "status": status})


def row(**changes: Any) -> dict[str, Any]:
    return {"jobKey": "7", "type": "alpha", "processInstanceKey": "5", "elementId": "T"} | changes


class Gateway:
    """Answers by a function; keeps what it was sent."""

    def __init__(self, answer: Answer) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._answer = answer

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content) if request.content else {}
        path = request.url.path.removeprefix("/v2")
        self.sent.append((path, body))
        return self._answer(path, body)


async def fetched(gateway: Gateway, **more: Any) -> list[LeasedTask]:
    wanted = TopicSubscription(topic="alpha", lease_duration=timedelta(hours=1))
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(gateway)) as client,
        Camunda8Engine(
            "http://gateway.test/v2", StandingClock(), Numbers(), client=client, topics=("alpha",)
        ) as engine,
    ):
        return list(
            await engine.fetch_and_lease(
                [wanted], max_tasks=2, request_timeout=more.get("wait", timedelta(0))
            )
        )


SCOPED = b"""<d:definitions xmlns:d="http://www.omg.org/spec/BPMN/20100524/MODEL"
  xmlns:z="http://camunda.org/schema/zeebe/1.0"><d:process id="p"><d:extensionElements>
  <z:properties><z:property name="thread.scope" value="element"/></z:properties>
  </d:extensionElements><d:serviceTask id="T"><d:extensionElements>
  <z:taskDefinition type="alpha"/></d:extensionElements></d:serviceTask></d:process>
  </d:definitions>"""


def jobs_once(*rows: Any) -> Answer:
    left = [list(rows)]

    def answer(path: str, body: dict[str, Any]) -> httpx2.Response:
        if path != "/jobs/activation":
            return problem(404, "NOT_FOUND")
        return httpx2.Response(200, json={"jobs": left.pop() if left else []})

    return answer


@pytest.mark.parametrize("key", [{"jobKey": "7"}, {"jobKey": None, "key": 7}])
async def test_keys_may_be_numbers_or_texts_by_either_name(key: dict[str, Any]) -> None:
    found = {name: value for name, value in (row() | key).items() if value is not None}

    (task,) = await fetched(Gateway(jobs_once(found | {"processInstanceKey": 2**53 + 1})))

    assert (task.task_id, task.process_instance_id) == ("7", "9007199254740993")


async def test_a_job_that_cannot_be_read_leaves_the_others_as_they_are() -> None:
    odd = {"jobKey": {"a": 1}}

    (task,) = await fetched(Gateway(jobs_once(odd, row(variables=None, customHeaders=None))))

    assert (task.task_id, task.variables) == ("7", {})


async def test_variables_are_named_and_waiting_stays_below_what_gateways_bear() -> None:
    gateway = Gateway(jobs_once(row()))

    await fetched(gateway, wait=timedelta(minutes=2))

    body = gateway.sent[0][1]
    assert body["fetchVariable"] == ["dadm:none"]
    assert 0 < body["requestTimeout"] < 30_000


async def test_a_lease_token_is_brought_with_every_report() -> None:
    (task,) = await fetched(Gateway(jobs_once(row(jobLeaseToken="L1"))))
    gateway = Gateway(lambda path, body: httpx2.Response(204))
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(gateway)) as client:
        engine = Camunda8Engine("http://gateway.test/v2", StandingClock(), Numbers(), client=client)
        await engine.extend(task, lease_duration=timedelta(seconds=9))
        await engine.fail(task, message="", details="", retries=1, retry_after=timedelta(0))
        await engine.complete(task, variables={})

    assert [body["jobLeaseToken"] for _, body in gateway.sent] == ["L1"] * 3


@pytest.mark.parametrize("token", ["L1", None])
async def test_a_lease_is_fenced_where_jobs_come_with_tokens(token: str | None) -> None:
    wanted = TopicSubscription(topic="alpha", lease_duration=timedelta(hours=1))
    gateway = Gateway(jobs_once(row(jobLeaseToken=token)))
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(gateway)) as client,
        Camunda8Engine(
            "http://gateway.test/v2", StandingClock(), Numbers(), client=client
        ) as engine,
    ):
        await engine.fetch_and_lease([wanted], max_tasks=1, request_timeout=timedelta(0))

        assert (Feature.FENCED_LEASE in engine.features) == (token is not None)


async def test_a_gateway_that_does_not_know_the_lease_field_is_asked_without_it() -> None:
    def answer(path: str, body: dict[str, Any]) -> httpx2.Response:
        if "withLease" in body:
            return problem(400, "Bad Request", "Unknown property")
        return httpx2.Response(200, json={"jobs": []})

    gateway = Gateway(answer)

    assert await fetched(gateway) == []
    assert ["withLease" in body for _, body in gateway.sent] == [True, False]


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        (problem(404, "NOT_FOUND", "no such job was found"), TaskGone),
        (problem(409, "INVALID_STATE", "it is in state 'FAILED'"), LeaseLost),
        (problem(409, "INVALID_STATE", "it is in state 'ERROR_THROWN'"), LeaseLost),
        (problem(400, "INVALID_ARGUMENT", "but it is not active"), LeaseLost),
        (problem(400, "Bad Request", "Failed to read request"), EngineRejected),
        (problem(500, "EXCEEDED_BATCH_RECORD_SIZE"), EngineRejected),
        (problem(500, "Internal", "MALFORMED_REQUEST"), EngineRejected),
        (problem(500, "INTERNAL_ERROR", "?"), EngineUnavailable),
        (problem(503, "RESOURCE_EXHAUSTED", "later"), EngineUnavailable),
        (httpx2.Response(404, json={"path": "/v3"}), EngineUnavailable),
        (httpx2.Response(401), EngineAccessRefused),
    ],
)
async def test_what_a_refused_report_means(
    reply: httpx2.Response, meaning: type[EngineError]
) -> None:
    gateway = Gateway(lambda path, body: reply)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(gateway)) as client:
        engine = Camunda8Engine("http://gateway.test/v2", StandingClock(), Numbers(), client=client)
        with pytest.raises(EngineError) as raised:
            await engine.complete(make_leased_task("7", lease_expires_at=UNTIL), variables={})

    assert type(raised.value) is meaning


@pytest.mark.parametrize(
    ("job_type", "headers"),
    [
        (
            b"alpha",
            b'<z:taskHeaders><z:header key="service.type" value="assistant"/></z:taskHeaders>',
        ),
        (b"dadm.assistant", b""),
    ],
)
async def test_models_that_the_server_tells_need_no_wiring(job_type: bytes, headers: bytes) -> None:
    model = b"""<d:definitions xmlns:d="http://www.omg.org/spec/BPMN/20100524/MODEL"
      xmlns:z="http://camunda.org/schema/zeebe/1.0"><d:process id="p"><d:serviceTask id="T">
      <d:documentation>Ask ${this}.</d:documentation><d:extensionElements>
      <z:taskDefinition type="TYPE"/>HEADERS</d:extensionElements></d:serviceTask></d:process>
      </d:definitions>""".replace(b"TYPE", job_type).replace(b"HEADERS", headers)

    def answer(path: str, body: dict[str, Any]) -> httpx2.Response:
        if path.endswith("/xml"):
            return httpx2.Response(200, content=model)
        item = {"processDefinitionKey": "3", "processDefinitionId": "p"}
        return httpx2.Response(200, json={"items": [item], "page": {}})

    gateway = Gateway(answer)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(gateway)) as client:
        engine = Camunda8Engine("http://gateway.test/v2", StandingClock(), Numbers(), client=client)
        (task,) = await engine.assistant_tasks()

    assert (task.topic, task.element_id, task.process_definition_key) == (
        job_type.decode(),
        "T",
        "p",
    )


async def test_jobs_taken_before_the_server_fails_are_worked_all_the_same() -> None:
    handed_out = [[row(jobKey="7", processDefinitionKey="3")]]
    handed_out.append([row(jobKey="8", processDefinitionKey="4")])

    def answer(path: str, body: dict[str, Any]) -> httpx2.Response:
        if path == "/jobs/activation":
            return httpx2.Response(200, json={"jobs": handed_out.pop(0) if handed_out else []})
        if path == "/process-definitions/4/xml":
            return problem(503, "UNAVAILABLE", "later")
        if path.endswith("/xml"):
            return httpx2.Response(200, content=SCOPED)
        return httpx2.Response(204)

    (task,) = await fetched(Gateway(answer))

    assert task.task_id == "7"


async def test_a_type_that_had_nothing_is_asked_again_while_others_still_wait() -> None:
    rest = asyncio.Event()
    replies = [[], [row()]]

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/jobs/activation"):
            return problem(404, "NOT_FOUND")
        if json.loads(request.content)["type"] == "alpha":
            return httpx2.Response(200, json={"jobs": replies.pop(0) if replies else []})
        await rest.wait()
        return httpx2.Response(200, json={"jobs": []})

    topics = ("alpha", "beta")
    wanted = [TopicSubscription(topic=each, lease_duration=timedelta(hours=1)) for each in topics]
    tasks: Sequence[LeasedTask] = ()
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client,
        Camunda8Engine(
            "http://gateway.test/v2", StandingClock(), Numbers(), client=client, topics=topics
        ) as engine,
    ):
        try:
            async with asyncio.timeout(10):
                while not tasks:
                    tasks = await engine.fetch_and_lease(
                        wanted, max_tasks=2, request_timeout=timedelta(seconds=2)
                    )
        finally:
            # What is open is waited for.
            rest.set()

    assert [task.topic for task in tasks] == ["alpha"]


@pytest.mark.parametrize(
    ("headers", "scope"), [({}, "element"), ({"thread.scope": "business-key"}, "business-key")]
)
async def test_a_process_says_whose_threads_its_tasks_continue_unless_they_do(
    headers: dict[str, str], scope: str
) -> None:
    jobs = jobs_once(row(processDefinitionKey="3", processDefinitionId="p", customHeaders=headers))

    def answer(path: str, body: dict[str, Any]) -> httpx2.Response:
        if path.endswith("/xml"):
            return httpx2.Response(200, content=SCOPED)
        return jobs(path, body)

    (task,) = await fetched(Gateway(answer))

    assert task.properties["thread.scope"] == scope


async def test_what_newer_versions_tell_of_roots_and_business_keys_is_taken() -> None:
    told = {"rootProcessInstanceKey": "4", "businessId": "order-7"}

    (task,) = await fetched(Gateway(jobs_once(row(**told))))
    (older,) = await fetched(Gateway(jobs_once(row(rootProcessInstanceKey=None))))

    assert (task.root_process_instance_id, task.business_key) == ("4", "order-7")
    assert (older.root_process_instance_id, older.business_key) == (None, "")


async def test_a_job_is_not_worked_before_its_model_can_be_read() -> None:
    given_back: list[dict[str, Any]] = []
    model_comes_after = [problem(404, "NOT_FOUND")]

    def answer(path: str, body: dict[str, Any]) -> httpx2.Response:
        if path.endswith("/failure"):
            given_back.append(body)
            return httpx2.Response(204)
        if path.endswith("/xml"):
            found = httpx2.Response(200, content=SCOPED)
            return model_comes_after.pop() if model_comes_after else found
        return httpx2.Response(
            200, json={"jobs": [row(processDefinitionKey="3", processDefinitionId="p", retries=2)]}
        )

    tasks = await fetched(Gateway(answer))

    assert {task.properties["thread.scope"] for task in tasks} == {"element"}
    assert (given_back[0]["retries"], given_back[0]["retryBackOff"]) == (2, 2000)


async def test_a_model_that_never_comes_is_waited_for_a_while_only() -> None:
    jobs = [[row(processDefinitionKey="3")] for _ in range(4)]

    def answer(path: str, body: dict[str, Any]) -> httpx2.Response:
        if path.endswith("/failure"):
            return httpx2.Response(204)
        if path.endswith("/xml"):
            return problem(404, "NOT_FOUND")
        return httpx2.Response(200, json={"jobs": jobs.pop() if jobs else []})

    clock = MovingClock()
    wanted = TopicSubscription(topic="alpha", lease_duration=timedelta(hours=1))
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(Gateway(answer))) as client,
        Camunda8Engine("http://gateway.test/v2", clock, Numbers(), client=client) as engine,
    ):

        async def fetch() -> list[LeasedTask]:
            return list(
                await engine.fetch_and_lease([wanted], max_tasks=1, request_timeout=timedelta(0))
            )

        assert await fetch() == []
        jobs += [[row(processDefinitionKey="3")]]
        clock.seconds += 31
        (task,) = await fetch()

    assert "thread.scope" not in task.properties


async def test_a_listener_says_whether_its_instance_came_to_its_end_or_was_cancelled() -> None:
    rows = [
        row(processInstanceKey="1", listenerEventType="END"),
        row(jobKey="8", processInstanceKey="2", listenerEventType="CANCEL"),
        row(jobKey="9", processInstanceKey="3"),
    ]
    gateway = Gateway(jobs_once(*rows))
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(gateway)) as client:
        engine = Camunda8Engine("http://gateway.test/v2", StandingClock(), Numbers(), client=client)
        told = await engine.ended_instances(after=0, limit=10)

    assert [(each.instance_id, each.state) for each in told] == [
        ("1", InstanceState.COMPLETED),
        ("2", InstanceState.CANCELLED),
        ("3", InstanceState.COMPLETED),
    ]


async def test_a_whole_number_that_the_broker_cannot_hold_is_told_by_its_digits() -> None:
    gateway = Gateway(lambda path, body: httpx2.Response(204))
    most = 2**63 - 1
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(gateway)) as client:
        engine = Camunda8Engine("http://gateway.test/v2", StandingClock(), Numbers(), client=client)
        await engine.complete(
            make_leased_task("7", lease_expires_at=UNTIL),
            variables={"a": {"b": [most, most + 1, -most - 1, -most - 2, True]}},
        )

    assert gateway.sent[0][1]["variables"] == {
        "a": {"b": [most, str(most + 1), -most - 1, str(-most - 2), True]}
    }

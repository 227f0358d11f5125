"""Bad input gets a clear problem document, and nothing is asked or written."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from dadm.ports.store_values import ThreadFilter
from tests.unit.openai_service.world import Service, running_service

LIMIT = 2048


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(max_body_bytes=LIMIT) as running:
        yield running


async def post(service: Service, body: bytes | str, **headers: str) -> httpx2.Response:
    return await service.client.post(
        "/process_task", content=body, headers={"Content-Type": "application/json", **headers}
    )


async def assert_problem(
    service: Service, response: httpx2.Response, status: int, code: str, said: str
) -> dict[str, Any]:
    """Check the document, and that nothing was asked or written."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["code"] == code
    assert document["status"] == status
    assert document["type"] == f"/docs#{code}"
    assert document["title"]
    assert document["instance"] == response.request.url.path
    assert said.lower() in document["detail"].lower()
    assert service.backend.asked == []
    assert not await service.store.threads(ThreadFilter())
    return document


def with_text(text: str, field: str = "task_description") -> str:
    """Write a body in which `text` stands between the quotes as it is."""
    start = "" if field == "task_description" else '"task_description": "What?", '
    return f'{{{start}"{field}": "{text}"}}'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "not JSON"),
        ("What now?", "not JSON"),
        ('{"task_description": "What now?"', "line 1"),
        (b"\xff\xfe{}", "UTF-8"),
        ("[]", "JSON object"),
        ('"What now?"', "JSON object"),
        ("null", "JSON object"),
        ('{"task_description": "a", "variables": {"x": NaN}}', "NaN"),
        ('{"task_description": "a", "variables": {"x": -Infinity}}', "-Infinity"),
        ('{"task_description": "a", "variables": {"x": 1e999}}', "too large"),
        ('{"task_description": "a", "task_description": "b"}', "twice"),
        ('{"task_description": "a", "variables": {"x": {"y": 1, "y": 2}}}', "'y'"),
        ('{"task_description": "a", "variables": {"x": ' + "[" * 65 + "]" * 65 + "}}", "nested"),
        ("[" * 2000, "nested"),
        (with_text("\\u0000"), "NUL"),
        ('{"task_description": "a", "variables": {"\\u0000": 1}}', "NUL"),
        (with_text("\\ud83d"), "surrogate"),
        ('{"task_description": "a", "variables": {"x": ["\\udc00"]}}', "surrogate"),
    ],
)
async def test_what_is_not_json_is_refused(service: Service, body: bytes | str, said: str) -> None:
    response = await post(service, body)

    await assert_problem(service, response, 400, "malformed_request", said)


async def test_a_long_number_is_a_number(service: Service) -> None:
    await service.answer(variables={"x": 10**1000 + 1})

    assert service.backend.asked[0].prompt.endswith("0001")


async def test_a_number_of_too_many_digits_is_refused() -> None:
    async with running_service() as service:
        response = await post(service, '{"task_description": "a", "x": ' + "9" * 5000 + "}")

        await assert_problem(service, response, 400, "malformed_request", "digits")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_description", 12),
        ("task_description", ["What?"]),
        ("task_id", 12),
        ("process_instance_id", True),
        ("process_instance_id", {"id": "p1"}),
        ("task_name", 1.5),
        ("task_documentation", []),
        ("variables", []),
        ("variables", "a=1"),
        ("assistant", 1),
        ("tenant", 1),
        ("engine", []),
        ("mapped_variables", "a"),
        ("own_answers", [1]),
        ("answer_schema", "object"),
    ],
)
async def test_a_wrong_type_is_refused_by_the_name_of_its_field(
    service: Service, field: str, value: object
) -> None:
    response = await service.ask(**{field: value})

    document = await assert_problem(service, response, 400, "malformed_request", field)
    assert document["errors"][0]["field"].startswith(field)


async def test_a_task_that_asks_nothing_is_refused(service: Service) -> None:
    missing = await post(service, "{}")
    await assert_problem(service, missing, 400, "malformed_request", "task_description")
    for blank in ("", " \n\t"):
        response = await service.ask(task_description=blank)
        await assert_problem(service, response, 400, "invalid_task", "task_description is empty")


@pytest.mark.parametrize(
    "field",
    [
        "task_id",
        "process_instance_id",
        "assistant",
        "tenant",
        "engine",
        "scope",
        "element_id",
        "process_definition",
    ],
)
@pytest.mark.parametrize(
    ("value", "said"), [("i" * 256, "255"), ("a\nb", "control"), ("a\x7fb", "control")]
)
async def test_an_id_that_is_too_long_or_has_control_characters_is_refused(
    service: Service, field: str, value: str, said: str
) -> None:
    response = await service.ask(**{field: value})

    document = await assert_problem(service, response, 400, "invalid_task", said)
    assert field in document["detail"]


async def test_the_longest_id_is_taken(service: Service) -> None:
    reply = await service.answer(task_id="i" * 255, process_instance_id="p" * 255)

    assert reply["task_id"] == "i" * 255


async def test_an_empty_task_id_is_refused(service: Service) -> None:
    response = await service.ask(task_id="")

    await assert_problem(service, response, 400, "invalid_task", "task_id is empty")


async def test_an_idempotency_key_that_cannot_be_an_id_is_refused(service: Service) -> None:
    response = await post(service, with_text("What?"), **{"Idempotency-Key": "k" * 256})

    await assert_problem(service, response, 400, "invalid_task", "Idempotency-Key")


@pytest.mark.parametrize("reserved", ["task:", "element:", "business-key:"])
@pytest.mark.parametrize("field", ["process_instance_id", "scope"])
async def test_a_scope_that_looks_like_one_of_our_own_is_refused(
    service: Service, field: str, reserved: str
) -> None:
    response = await service.ask(**{field: f"{reserved}p1:other"})

    await assert_problem(service, response, 400, "invalid_task", reserved)


async def test_an_unknown_assistant_is_refused_with_those_known(service: Service) -> None:
    response = await service.ask(assistant="nobody")

    document = await assert_problem(service, response, 400, "unknown_assistant", "nobody")
    assert document["known_assistants"] == ["advocate", "analyst"]


async def test_a_body_over_the_limit_is_refused(service: Service) -> None:
    response = await service.ask(task_description="a" * LIMIT)

    document = await assert_problem(service, response, 413, "body_too_large", str(LIMIT))
    assert document["limit_bytes"] == LIMIT


async def test_a_body_of_the_limit_is_taken(service: Service) -> None:
    body = json.dumps({"task_description": ""})
    body = json.dumps({"task_description": "a" * (LIMIT - len(body))})
    assert len(body) == LIMIT

    assert (await post(service, body)).status_code == 200


async def test_a_body_over_the_limit_is_refused_without_a_length(service: Service) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000_000):
            sent += 512
            yield b"a" * 512

    response = await service.client.post("/process_task", content=endless())

    await assert_problem(service, response, 413, "body_too_large", str(LIMIT))
    assert sent < 100 * LIMIT, "it was not read to the end"


async def test_a_body_far_over_the_limit_is_refused_before_it_is_read(service: Service) -> None:
    read: list[bytes] = []

    async def never() -> AsyncIterator[bytes]:
        read.append(b"a")
        yield b"a"

    response = await service.client.post(
        "/process_task", content=never(), headers={"Content-Length": str(10**12)}
    )

    assert read == []
    await assert_problem(service, response, 413, "body_too_large", str(LIMIT))


async def test_a_report_without_a_task_is_refused(service: Service) -> None:
    response = await service.client.post("/turns/reported", json={"process_instance_id": "p1"})

    await assert_problem(service, response, 400, "invalid_task", "task_id")


async def test_an_address_that_is_none_is_refused(service: Service) -> None:
    response = await service.client.get("/nothing/here")

    await assert_problem(service, response, 404, "not_found", "/nothing/here")


async def test_a_method_that_is_not_taken_is_refused(service: Service) -> None:
    response = await service.client.get("/process_task")

    await assert_problem(service, response, 405, "method_not_allowed", "GET")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/threads?limit=0", "limit"),
        ("/threads?limit=many", "limit"),
        ("/threads?before=xyz", "before"),
        ("/threads/any?after=-1", "after"),
    ],
)
async def test_parameters_that_are_wrong_are_refused_by_name(
    service: Service, address: str, said: str
) -> None:
    await assert_problem(service, await service.client.get(address), 400, "malformed_request", said)


async def test_a_body_that_breaks_off_leaves_nothing_behind(service: Service) -> None:
    said: list[dict[str, Any]] = []
    parts: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": b'{"task_description"', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(parts)

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/process_task",
        "raw_path": b"/process_task",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("service.local", 80),
    }
    await service.app(scope, receive, send)

    assert said[0]["status"] == 400
    assert service.backend.asked == []
    assert not await service.store.threads(ThreadFilter())


async def test_a_task_that_cannot_be_filled_leaves_nothing_behind(service: Service) -> None:
    response = await post(
        service, '{"task_description": "About ${nothing}.", "process_instance_id": "p1"}'
    )

    await assert_problem(service, response, 400, "invalid_task", "${nothing}")


async def test_a_task_that_cannot_be_filled_leaves_an_existing_thread_as_it_was(
    service: Service,
) -> None:
    await service.answer(task_id="good", process_instance_id="p1")
    before = await service.store.statistics()

    response = await post(
        service,
        '{"task_id": "bad", "task_description": "About ${nothing}.", "process_instance_id": "p1"}',
    )

    assert response.status_code == 400
    assert await service.store.statistics() == before


async def test_what_nobody_foresaw_is_a_problem_too_and_says_nothing_secret() -> None:
    class Broken:
        async def process_task(self, task: object) -> object:
            msg = "the password is swordfish"
            raise KeyError(msg)

    broken: Any = Broken()
    async with running_service(service=broken) as service:
        response = await service.ask()

    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "swordfish" not in response.text

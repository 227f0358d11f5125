"""The service describes itself, for programs and for people, without anything from elsewhere."""

import re

from dadm.entrypoints.openai_service.problems import HTTP_PROBLEMS, STATUS_OF
from tests.unit.openai_service.world import running_service

PATHS = {
    "/process_task",
    "/turns/reported",
    "/turns/withdrawn",
    "/threads",
    "/threads/{thread_id}",
    "/health",
    "/ready",
    "/status",
    "/metadata",
    "/metrics",
    "/assistants",
}


async def test_every_address_is_described() -> None:
    async with running_service() as service:
        described = (await service.client.get("/openapi.json")).json()
        page = (await service.client.get("/docs")).text

    assert set(described["paths"]) == PATHS
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"]
            assert f"<code>{method.upper()} {path}</code>" in page


async def test_every_field_of_a_task_is_described() -> None:
    async with running_service() as service:
        described = (await service.client.get("/openapi.json")).json()
        page = (await service.client.get("/docs")).text

    operation = described["paths"]["/process_task"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["task_description"]
    for name in ("task_id", "variables", "process_instance_id", "assistant", "tenant", "engine"):
        assert schema["properties"][name]["description"]
        assert f"<code>{name}</code>" in page
    assert "$ref" not in str(schema), "would point at nothing"
    assert "<code>result.recommendation</code>" in page


async def test_every_operation_says_that_problems_are_problem_documents() -> None:
    async with running_service() as service:
        described = (await service.client.get("/openapi.json")).json()
        refused = await service.client.get("/threads", params={"limit": "many"})

    for operations in described["paths"].values():
        for operation in operations.values():
            assert set(operation["responses"]) <= {"200", "204", "default"}, "no made-up status"
            content = operation["responses"]["default"]["content"]
            schema = content[refused.headers["content-type"]]["schema"]
            assert set(schema["required"]) <= set(refused.json()) <= set(schema["properties"])


async def test_every_problem_has_its_place_on_the_page() -> None:
    async with running_service() as service:
        page = (await service.client.get("/docs")).text

    for code in [kind.code for kind in STATUS_OF] + [each.code for each in HTTP_PROBLEMS]:
        assert f'id="{code}"' in page


async def test_the_page_takes_nothing_from_elsewhere() -> None:
    async with running_service() as service:
        response = await service.client.get("/docs")

    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert re.findall(r'(?:src|href)="([^"]*)"', response.text) == ["openapi.json"]
    assert "<script" not in response.text

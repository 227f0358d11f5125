"""Who may call is decided before anything else is read."""

import inspect

import pytest

from dadm.entrypoints.openai_service import access
from dadm.telemetry import Scrubber
from tests.unit.openai_service.world import ADDRESS, client_of, running_service

TOKENS = ("first-token", "second-token")


@pytest.mark.parametrize("token", TOKENS)
async def test_every_token_opens(token: str) -> None:
    async with running_service(tokens=TOKENS) as service:
        headers = {"Authorization": f"Bearer {token}"}
        response = await service.client.get("/status", headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer first-toke",
        "Bearer first-token2",
        "Basic first-token",
        "first-token",
        "Bearer first-token,second-token",
        "Bearer prénom",
    ],
)
async def test_anything_else_does_not(header: str | None) -> None:
    headers = {} if header is None else {b"Authorization": header.encode()}
    async with running_service(tokens=TOKENS) as service:
        response = await service.client.post(
            "/process_task", json={"task_description": "What?"}, headers=headers
        )

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert response.json()["code"] == "unauthorized"
    assert service.backend.asked == []
    assert not [token for token in TOKENS if token in response.text]


@pytest.mark.parametrize(
    "path", ["/status", "/metadata", "/metrics", "/threads", "/threads/x", "/assistants", "/no"]
)
async def test_everything_but_probes_and_the_description_is_guarded(path: str) -> None:
    async with running_service(tokens=TOKENS) as service:
        response = await service.client.get(path)

    assert response.status_code == 401


@pytest.mark.parametrize("path", ["/health", "/ready", "/docs", "/openapi.json"])
async def test_probes_and_the_description_are_open(path: str) -> None:
    async with running_service(tokens=TOKENS) as service:
        response = await service.client.get(path)

    assert response.status_code == 200


async def test_without_tokens_all_may_call() -> None:
    async with running_service() as service:
        assert (await service.client.get("/status")).status_code == 200


async def test_how_to_send_a_token_is_told_in_words_that_are_not_masked() -> None:
    async with running_service(tokens=TOKENS, scrub=Scrubber(TOKENS)) as service:
        detail = (await service.client.get("/status")).json()["detail"]

    assert "Authorization" in detail
    assert "Bearer" in detail
    assert "*" not in detail


async def test_a_token_is_asked_for_before_the_body_is_read() -> None:
    async with running_service(tokens=TOKENS, max_body_bytes=16) as service:
        response = await service.ask(task_description="a" * 1000)

    assert response.status_code == 401


def test_tokens_are_compared_in_constant_time_and_all_of_them() -> None:
    compared = inspect.getsource(access.Access._is_known)

    assert "hmac.compare_digest" in compared
    assert "any(hmac" not in compared, "stops at the first that fits"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": ADDRESS + ":81"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_page_of_another_site_cannot_make_a_browser_ask(headers: dict[str, str]) -> None:
    async with running_service() as service, client_of(service.app, headers=headers) as browser:
        response = await browser.post("/process_task", json={"task_description": "What?"})

    assert response.status_code == 403
    assert response.json()["code"] == "cross_site"
    assert service.backend.asked == []


@pytest.mark.parametrize(
    "headers", [{"Origin": ADDRESS}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
async def test_a_page_of_the_service_itself_may(headers: dict[str, str]) -> None:
    async with running_service() as service, client_of(service.app, headers=headers) as browser:
        response = await browser.post("/process_task", json={"task_description": "What?"})

    assert response.status_code == 200

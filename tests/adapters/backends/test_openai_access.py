"""Whether an account can be used is found out at no cost, and told apart from a wrong address."""

import httpx2
import pytest

from dadm.domain.errors import BackendMisconfigured, BackendUnavailable
from tests.adapters.backends.wire import Reply, Wire, error, openai_over, whole

MODEL = whole({"id": "gpt-test-2026", "object": "model", "created": 0, "owned_by": "us"})
MODELS = whole({"object": "list", "data": []})
NO_ADDRESS = httpx2.Response(404)


async def ping(*replies: Reply) -> str:
    async with openai_over(Wire(*replies)) as backend:
        return await backend.ping()


async def test_a_ping_names_the_model() -> None:
    assert await ping(MODEL) == "OpenAI at 127.0.0.1 offers gpt-test-2026."


async def test_a_server_that_only_lists_its_models_can_be_used() -> None:
    wire = Wire(NO_ADDRESS, MODELS)

    async with openai_over(wire) as backend:
        said = await backend.ping()

    assert said == "OpenAI at 127.0.0.1 answers, and does not say whether it offers gpt-test."
    assert wire.sent == ["GET /v1/models/gpt-test", "GET /v1/models"]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([error(404, "The model 'gpt-test' does not exist.")], BackendMisconfigured),
        ([error(401, "Incorrect API key provided.")], BackendMisconfigured),
        ([NO_ADDRESS, NO_ADDRESS], BackendMisconfigured),
        ([NO_ADDRESS, error(401, "Incorrect API key provided.")], BackendMisconfigured),
        ([NO_ADDRESS, httpx2.Response(200, html="<html>Welcome</html>")], BackendUnavailable),
        ([httpx2.Response(200, html="<html>Welcome</html>")], BackendUnavailable),
        ([error(500)], BackendUnavailable),
        ([httpx2.ConnectError("refused")], BackendUnavailable),
    ],
)
async def test_what_cannot_be_used_is_told(replies: list[Reply], expected: type[Exception]) -> None:
    with pytest.raises(expected):
        await ping(*replies)

"""Camunda8Connection: requests to a gateway's REST interface, and what its refusals mean."""

import json
from typing import Any

import httpx2

from dadm.adapters.engines.access import CONNECT_SECONDS, WAYS_IN, reason_of
from dadm.domain.errors import EngineAccessRefused, EngineUnavailable

REPLY_SECONDS = 60.0
"""How long a reply may take beyond what a request asks to wait."""

COMES_BACK = frozenset({429, 502, 503, 504})
FINAL_FAULTS = ("EXCEEDED_BATCH_RECORD_SIZE", "MALFORMED_REQUEST")
"""What a status 500 names where the same request would fail again: it is too large, or misread."""


class Refused(Exception):
    """The gateway said no, in its own words: a status, a title such as NOT_FOUND, and a text."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        """Carry what it said."""
        super().__init__(detail or title)
        self.status = status
        self.title = title
        self.detail = detail or title


class Camunda8Connection:
    """Sends requests to the REST interface at an address that ends in `/v2`.

    Every call raises EngineUnavailable where there was no reply, or one that no gateway wrote or
    that says to come back; EngineAccessRefused where requests are not let in; and Refused where
    the gateway said no.
    """

    def __init__(self, address: str, client: httpx2.AsyncClient) -> None:
        """Send over `client`."""
        self._address = address.rstrip("/")
        self._client = client

    @property
    def address(self) -> str:
        """Where the gateway is."""
        return self._address

    async def get(self, path: str, *, accept: str = "application/json") -> httpx2.Response:
        """Read what is at `path`."""
        return await self._send("GET", path, headers={"Accept": accept})

    async def post(self, path: str, body: object, *, wait_seconds: float = 0.0) -> dict[str, Any]:
        """Send `body` as JSON; the gateway may take `wait_seconds` by the request's own wish."""
        return await self._with_json("POST", path, body, wait_seconds)

    async def patch(self, path: str, body: object) -> dict[str, Any]:
        """Change what is at `path`."""
        return await self._with_json("PATCH", path, body, 0.0)

    async def upload(
        self, path: str, documents: dict[str, bytes], data: dict[str, str]
    ) -> dict[str, Any]:
        """Send files, by their names."""
        files = [("resources", (name, content)) for name, content in documents.items()]
        return content_of(await self._send("POST", path, files=files, data=data))

    async def _with_json(
        self, method: str, path: str, body: object, wait_seconds: float
    ) -> dict[str, Any]:
        timeout = httpx2.Timeout(REPLY_SECONDS + wait_seconds, connect=CONNECT_SECONDS, pool=None)
        response = await self._send(
            method,
            path,
            # Only ASCII leaves: half a surrogate pair, which JSON can name, has no other bytes.
            content=json.dumps(body, allow_nan=False).encode(),
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            timeout=timeout,
        )
        return content_of(response)

    async def _send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        try:
            response = await self._client.request(method, self._address + path, **more)
        except httpx2.TransportError as error:
            msg = f"The engine at {self._address} is not reachable: {reason_of(error)}."
            raise EngineUnavailable(msg) from error
        if not response.is_success:
            self._raise_for(response)
        return response

    def _raise_for(self, response: httpx2.Response) -> None:
        said = f"The engine at {self._address} replied {response.status_code}"
        problem = problem_in(response)
        status = response.status_code
        if status == httpx2.codes.UNAUTHORIZED:
            msg = f"{said} and does not let us in: set {WAYS_IN}."
            raise EngineAccessRefused(msg)
        if problem is None:
            msg = f"{said} {response.reason_phrase}."
            if status == httpx2.codes.NOT_FOUND:
                # An unknown path: an older version has fewer of them.
                raise Refused(status, "", msg)
            raise EngineUnavailable(msg)
        title, detail = problem
        is_final = any(name in f"{title} {detail}" for name in FINAL_FAULTS)
        is_fault = status >= httpx2.codes.INTERNAL_SERVER_ERROR
        if status in COMES_BACK or (is_fault and not is_final):
            raise EngineUnavailable(f"{said}: {detail or title}")
        raise Refused(status, title, detail)


def problem_in(response: httpx2.Response) -> tuple[str, str] | None:
    """Read the title and the text of a refusal, None where no gateway wrote it."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return None
    if not isinstance(body, dict) or "title" not in body:
        return None
    return str(body["title"]), str(body.get("detail") or "")


def content_of(response: httpx2.Response) -> dict[str, Any]:
    """Read a reply; one that is empty says nothing.

    Raises:
        EngineUnavailable: It is no object in JSON, so no gateway wrote it.
    """
    if not response.content:
        return {}
    at = response.url.copy_with(query=None)
    try:
        content = json.loads(response.content)
    except ValueError as error:
        msg = f"{at} gave no JSON: is it the REST interface of Camunda 8?"
        raise EngineUnavailable(msg) from error
    if not isinstance(content, dict):
        msg = f"{at} gave no JSON object: is it the REST interface of Camunda 8?"
        raise EngineUnavailable(msg)
    return content

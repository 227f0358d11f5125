"""EngineConnection: requests to an engine's REST interface, and what their failures mean."""

import json
from typing import Any

import httpx2

from dadm.adapters.engines.access import CONNECT_SECONDS, WAYS_IN, reason_of
from dadm.adapters.engines.external_task.refusals import (
    COMES_BACK,
    NO_ENTRY,
    Refused,
    refusal_in,
)
from dadm.domain.errors import EngineAccessRefused, EngineUnavailable
from dadm.ports.clock import Clock, Identifiers

REPLY_SECONDS = 60.0
"""How long a reply may take beyond what a request asks to wait: big engines are slow at times."""

TRIES = 10
"""How often a request is sent that meets other changes of the same instance."""

LONGEST_PAUSE_SECONDS = 0.2


class EngineConnection:
    """Sends requests to the REST interface at an address.

    Every call raises EngineUnavailable where there was no reply, or one that no engine wrote or
    that says to come back; EngineAccessRefused where requests are not let in; and Refused where
    the engine said no. A request that met another
    change of the same instance (parallel branches do, in four of ten tries) is sent again here.
    """

    def __init__(
        self, address: str, client: httpx2.AsyncClient, clock: Clock, identifiers: Identifiers
    ) -> None:
        """Send over `client`."""
        self._address = address.rstrip("/")
        self._client = client
        self._clock = clock
        self._identifiers = identifiers

    @property
    def address(self) -> str:
        """Where the engine is."""
        return self._address

    async def get(self, path: str, **parameters: str | int | bool) -> Any:
        """Read what is at `path`."""
        shown = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in parameters.items()
        }
        return await self._ask("GET", path, params=shown)

    async def post(self, path: str, body: object, *, wait_seconds: float = 0.0) -> Any:
        """Send `body` as JSON; the engine may take `wait_seconds` by the request's own wish."""
        return await self._ask(
            "POST",
            path,
            # Only ASCII leaves: half a surrogate pair, which JSON can name, has no other bytes.
            content=json.dumps(body, allow_nan=False).encode(),
            timeout=httpx2.Timeout(
                REPLY_SECONDS + wait_seconds, connect=CONNECT_SECONDS, pool=None
            ),
        )

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        for tries in range(1, TRIES + 1):
            try:
                return _content(await self._send(method, path, **more))
            except Refused as refused:
                if not refused.refusal.is_of_the_moment:
                    raise
            pause = min(LONGEST_PAUSE_SECONDS, 0.002 * 2**tries)
            await self._clock.sleep(pause * self._identifiers.fraction())
        msg = f"The engine at {self._address} met other changes {TRIES} times in a row."
        raise EngineUnavailable(msg)

    async def _send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        try:
            response = await self._client.request(
                method, self._address + path, headers=headers, **more
            )
        except httpx2.TransportError as error:
            msg = f"The engine at {self._address} is not reachable: {reason_of(error)}."
            raise EngineUnavailable(msg) from error
        if not response.is_success:
            self._raise_for(response)
        return response

    def _raise_for(self, response: httpx2.Response) -> None:
        said = f"The engine at {self._address} replied {response.status_code}"
        if response.status_code in NO_ENTRY:
            msg = f"{said} and does not let us in: set {WAYS_IN}."
            raise EngineAccessRefused(msg)
        refusal = refusal_in(response)
        if response.status_code in COMES_BACK or refusal is None:
            msg = f"{said} {response.reason_phrase}."
            if response.status_code == httpx2.codes.NOT_FOUND:
                msg += " DADM_ENGINE_URL must be its REST interface, as in http://host/engine-rest."
            raise EngineUnavailable(msg)
        raise Refused(refusal)


def _content(response: httpx2.Response) -> Any:
    if not response.content:
        return None
    try:
        return json.loads(response.content)
    except ValueError as error:
        msg = (
            f"{response.url.copy_with(query=None)} gave no JSON: is it an engine's REST interface?"
        )
        raise EngineUnavailable(msg) from error

"""Access tokens: fetched with client credentials (RFC 6749, 4.4), kept while they last."""

import asyncio
import json
import math
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote_plus

import httpx2

from dadm.domain.errors import EngineAccessRefused, EngineUnavailable
from dadm.ports.clock import Clock

PATIENCE = httpx2.Timeout(30.0, connect=10.0)
"""How long a token may take, in seconds."""

EARLIER_SECONDS = 30.0
"""A token is replaced so long before it ends, or in the last fifth of its life if that is later."""

FAILURE_KEPT_SECONDS = 5.0
"""How long a token server that gave none is left alone: whoever waited meanwhile is told the same."""

COMES_BACK = frozenset({408, 425, 429})
"""Statuses below 500 that say to ask again later."""

WHAT_TO_SET: Mapping[str, str] = MappingProxyType(
    {
        "invalid_client": "set DADM_ENGINE__CLIENT_ID and DADM_ENGINE__CLIENT_SECRET to those of a "
        "client it knows; some servers take the secret only with "
        "DADM_ENGINE__CREDENTIALS_IN=header",
        "invalid_scope": "set DADM_ENGINE__SCOPE to scopes that the client may have, or to none",
        "invalid_target": "set DADM_ENGINE__AUDIENCE to one that it knows",
        "unauthorized_client": "allow the client to use client credentials (in Keycloak: a "
        "confidential client with service accounts)",
        "unsupported_grant_type": "DADM_ENGINE__TOKEN_URL must be a server that gives tokens for "
        "client credentials",
    }
)
"""What helps against each error code of RFC 6749, 5.2, and of RFC 8707."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """A client of a token server, and what its tokens are for.

    Attributes:
        token_url: Where tokens are fetched.
        client_id: The client, as the token server knows it.
        client_secret: Its secret.
        scope: What is asked for, separated by spaces; `""` is what the server gives anyway.
        audience: Whom the token is for, where the server wants to be told; else `""`.
        has_secret_in_header: Whether id and secret go as Basic authentication, not in the body.
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    audience: str = ""
    has_secret_in_header: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    value: str = field(repr=False)
    renewed_at: float


def reason_of(error: httpx2.TransportError) -> str:
    """Say why there was no reply, and what helps where a certificate is not believed."""
    reason = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        reason += "; set DADM_ENGINE__CA_FILE to the certificate of who signed it"
    return reason


class AccessTokens(httpx2.Auth):
    """Lets each request bring an access token.

    A token is fetched by the first request that needs one, all others wait for it. It is fetched
    anew shortly before it ends, and once where the engine refuses it (401), which ends a token
    that was revoked. Requests raise EngineUnavailable where the token server is not there, and
    EngineAccessRefused where it gives no token.
    """

    def __init__(self, credentials: ClientCredentials, clock: Clock, trust: ssl.SSLContext) -> None:
        """Fetch tokens for `credentials` from a server that `trust` knows."""
        self._credentials = credentials
        self._clock = clock
        self._trust = trust
        self._one_at_a_time = asyncio.Lock()
        self._kept: _Token | None = None
        self._failure: EngineUnavailable | None = None
        self._asked_again_at = -math.inf

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send `request` with a token, and once more with a new one where that was refused."""
        token = await self._token()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == httpx2.codes.UNAUTHORIZED:
            renewed = await self._token(refused=token)
            request.headers["Authorization"] = f"Bearer {renewed}"
            yield request

    async def _token(self, *, refused: str = "") -> str:
        """Give a token that lasts and is not the `refused` one."""
        if (kept := self._usable(refused)) is None:
            async with self._one_at_a_time:
                # Whoever held the lock before may have fetched what is needed.
                if (kept := self._usable(refused)) is None:
                    self._kept = kept = await self._fetched()
        return kept.value

    def _usable(self, refused: str) -> _Token | None:
        kept = self._kept
        is_usable = kept and kept.value != refused and self._clock.monotonic() < kept.renewed_at
        return kept if is_usable else None

    async def _fetched(self) -> _Token:
        if self._failure and self._clock.monotonic() < self._asked_again_at:
            raise type(self._failure)(self._failure.message)
        # The life of a token is counted from before it was asked for, so never too long.
        asked_at = self._clock.monotonic()
        try:
            reply = _parsed(await self._ask())
            value = self._value_in(reply)
        except EngineUnavailable as error:
            self._failure = error
            self._asked_again_at = self._clock.monotonic() + FAILURE_KEPT_SECONDS
            raise
        life = _life_in(reply)
        return _Token(value=value, renewed_at=asked_at + max(life - EARLIER_SECONDS, life * 0.8))

    async def _ask(self) -> httpx2.Response:
        at = self._credentials.token_url
        form, headers = _request_of(self._credentials)
        try:
            # A client for each, since tokens last longer than idle connections.
            async with httpx2.AsyncClient(verify=self._trust, timeout=PATIENCE) as client:
                response = await client.post(at, data=form, headers=headers)
        except httpx2.TransportError as error:
            msg = f"The token server at {at} is not reachable: {reason_of(error)}."
            raise EngineUnavailable(msg) from error
        status = response.status_code
        if status in COMES_BACK or response.is_server_error:
            msg = f"The token server at {at} replied {status} {response.reason_phrase}."
            raise EngineUnavailable(msg)
        if not response.is_success:
            raise EngineAccessRefused(self._refusal_in(response))
        return response

    def _refusal_in(self, response: httpx2.Response) -> str:
        said = _parsed(response)
        code = str(said.get("error") or "")[:100]
        words = f"{code}: {str(said.get('error_description') or '')[:300]}".strip(": ")
        what_to_set = WHAT_TO_SET.get(code) or (
            "check DADM_ENGINE__CLIENT_ID, DADM_ENGINE__CLIENT_SECRET and DADM_ENGINE__AUDIENCE"
            if code
            else "is DADM_ENGINE__TOKEN_URL its token endpoint?"
        )
        return (
            f"The token server at {self._credentials.token_url} gives no token "
            f"({response.status_code} {words or response.reason_phrase}): {what_to_set}."
        )

    def _value_in(self, reply: Mapping[str, Any]) -> str:
        value, kind = reply.get("access_token"), reply.get("token_type", "Bearer")
        is_sendable = isinstance(value, str) and value.isascii() and value.isprintable()
        if not value or not is_sendable or str(kind).lower() != "bearer":
            msg = (
                f"{self._credentials.token_url} gave no bearer token: is "
                "DADM_ENGINE__TOKEN_URL the token endpoint of the token server?"
            )
            raise EngineAccessRefused(msg)
        return str(value)


def _request_of(credentials: ClientCredentials) -> tuple[dict[str, str], dict[str, str]]:
    """Give the form and the headers of a request for a token."""
    form = {
        "grant_type": "client_credentials",
        "scope": credentials.scope,
        "audience": credentials.audience,
    }
    headers = {"Accept": "application/json"}
    if credentials.has_secret_in_header:
        # RFC 6749, 2.3.1: each is encoded as in a form first, so that a colon does not divide it.
        pair = f"{quote_plus(credentials.client_id)}:{quote_plus(credentials.client_secret)}"
        headers["Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    else:
        form |= {
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
        }
    return {name: value for name, value in form.items() if value}, headers


def _parsed(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        found = json.loads(response.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _life_in(reply: Mapping[str, Any]) -> float:
    """Give the seconds that a token lasts; one that does not say so is kept until it is refused."""
    try:
        seconds = float(reply["expires_in"])
    except (KeyError, TypeError, ValueError):
        return math.inf
    return seconds if seconds > 0 else math.inf

"""Access to engines over HTTP: the ways in, and whose certificates are believed."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias, assert_never

import httpx2

from dadm.adapters.engines.access_tokens import AccessTokens, ClientCredentials, reason_of
from dadm.domain.errors import SettingsError
from dadm.ports.clock import Clock

__all__ = [
    "WAYS_IN",
    "Access",
    "BasicAccess",
    "BearerAccess",
    "ClientCredentials",
    "authentication",
    "new_client",
    "reason_of",
    "trusted_certificates",
]

CONNECT_SECONDS = 10.0
IDLE_CONNECTIONS = 20

WAYS_IN: Final = (
    "DADM_ENGINE__USER with DADM_ENGINE__PASSWORD, or DADM_ENGINE__TOKEN, or DADM_ENGINE__TOKEN_URL "
    "with DADM_ENGINE__CLIENT_ID and DADM_ENGINE__CLIENT_SECRET"
)
"""Names the settings that let us in, for messages of engines that do not."""


@dataclass(frozen=True, slots=True)
class BasicAccess:
    """A user and a password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BearerAccess:
    """A token that does not change."""

    token: str = field(repr=False)


Access: TypeAlias = BasicAccess | BearerAccess | ClientCredentials


class _BearerToken(httpx2.FunctionAuth):
    def __init__(self, token: str) -> None:
        def bring(request: httpx2.Request) -> httpx2.Request:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        super().__init__(bring)


def authentication(
    access: Access | None, clock: Clock, trust: ssl.SSLContext
) -> httpx2.Auth | None:
    """Give what lets each request of a client bring `access`."""
    match access:
        case None:
            return None
        case BasicAccess():
            return httpx2.BasicAuth(access.user, access.password)
        case BearerAccess():
            return _BearerToken(access.token)
        case ClientCredentials():
            return AccessTokens(access, clock, trust)
        case _:
            assert_never(access)


def trusted_certificates(ca_file: Path | None) -> ssl.SSLContext:
    """Believe what this machine believes, and the certificates in `ca_file` too.

    Raises:
        SettingsError: The file cannot be read, or holds no certificate.
    """
    trust = httpx2.create_ssl_context()
    if ca_file is not None:
        try:
            trust.load_verify_locations(cafile=ca_file)
        except ssl.SSLError as error:
            msg = f"DADM_ENGINE__CA_FILE is {str(ca_file)!r}: it holds no certificates in PEM form."
            raise SettingsError(msg) from error
        except OSError as error:
            reason = error.strerror or error
            msg = f"DADM_ENGINE__CA_FILE is {str(ca_file)!r}: it cannot be read ({reason})."
            raise SettingsError(msg) from error
    return trust


def new_client(
    access: Access | None, clock: Clock, *, ca_file: Path | None, reply_seconds: float
) -> httpx2.AsyncClient:
    """Give a client whose connections stay open between requests.

    Args:
        access: What every request brings.
        clock: Measures how long tokens last.
        ca_file: Certificates that are believed beside this machine's own, in PEM form.
        reply_seconds: How long a reply may take, unless a request says something else.

    Raises:
        SettingsError: `ca_file` is of no use.
    """
    trust = trusted_certificates(ca_file)
    return httpx2.AsyncClient(
        auth=authentication(access, clock, trust),
        verify=trust,
        timeout=httpx2.Timeout(reply_seconds, connect=CONNECT_SECONDS, pool=None),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS),
    )

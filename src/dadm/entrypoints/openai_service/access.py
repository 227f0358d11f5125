"""Access: who may call, decided before anything else of a request is read."""

import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from dadm.entrypoints.openai_service.problems import (
    CROSS_SITE,
    UNAUTHORIZED,
    RequestRefused,
    problem_of_refusal,
)

OPEN_PATHS = frozenset({"/health", "/ready", "/docs", "/openapi.json"})
"""What anybody may read: probes, and what this service is."""

READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """Asks for a token where there are any, and keeps browsers of other sites out.

    A page of another site can make a browser send requests here, even to a service that only
    this machine reaches; it cannot hide that it does.
    """

    def __init__(
        self, app: ASGIApp, *, tokens: tuple[str, ...], scrub: Callable[[str], str]
    ) -> None:
        """Guard `app` with `tokens`."""
        self._app = app
        self._tokens = tuple(token.encode() for token in tokens)
        self._scrub = scrub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with a problem."""
        if scope["type"] == "http":
            refused = self._refused(scope["method"], scope["path"], Headers(scope=scope))
            if refused is not None:
                problem = problem_of_refusal(refused)
                response = problem.response(instance=scope["path"], scrub=self._scrub)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refused(self, method: str, path: str, headers: Headers) -> RequestRefused | None:
        if method not in READING and _comes_from_another_site(headers):
            return RequestRefused(CROSS_SITE, "A browser sent this on behalf of another site.")
        if path in OPEN_PATHS or not self._tokens:
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not token:
            return RequestRefused(
                UNAUTHORIZED, "Send a token: the header Authorization with the scheme Bearer."
            )
        if scheme.lower() != "bearer" or not self._is_known(token.strip()):
            return RequestRefused(UNAUTHORIZED, "This token is not one of the service's tokens.")
        return None

    def _is_known(self, token: str) -> bool:
        """Compare with every token, whichever fits, in time that tells nothing."""
        given = token.encode()
        fits = [hmac.compare_digest(given, each) for each in self._tokens]
        return any(fits)


def _comes_from_another_site(headers: Headers) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"none", "same-origin"}
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")

"""Serving: a listener, the application on it, and an orderly end."""

import asyncio
import ipaddress
import logging
import math
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from dadm.domain.errors import SettingsError
from dadm.entrypoints.openai_service.parts import Lifecycle

LOGGER = logging.getLogger("dadm.openai_service")

LAST_REPLIES_SECONDS = 5
"""How long replies may take to leave once no turn is under way any more."""

STOPPING = (signal.SIGINT, signal.SIGTERM)

ONE_SIGNAL_SECONDS = 1.0
"""Signals so close together are one: supervisors signal a program, and then the group it is in."""


def open_listener(host: str, port: int, *, has_tokens: bool) -> socket.socket:
    """Listen at `host` and `port` (0 for any free one).

    Raises:
        SettingsError: The address cannot be listened at, or it can be reached from other
            machines and no token is asked for.
    """
    refuse_open_door(host, has_tokens=has_tokens)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        msg = f"DADM_HOST is {host!r}, which is no address of this machine: {error.strerror}."
        raise SettingsError(msg) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        msg = f"Cannot listen at {host} port {port}: {error.strerror}. Set DADM_PORT or DADM_HOST."
        raise SettingsError(msg) from error
    listener.setblocking(False)
    return listener


def refuse_open_door(host: str, *, has_tokens: bool) -> None:
    """Refuse to be reached from other machines without asking for a token.

    Raises:
        SettingsError: It says what to set.
    """
    if not has_tokens and not is_loopback(host):
        msg = (
            f"DADM_HOST is {host}, which other machines reach: set DADM_API_TOKENS as well, "
            "or listen at 127.0.0.1."
        )
        raise SettingsError(msg)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(listener: socket.socket) -> str:
    """Give the address to call, with the port that was really taken."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGINT or SIGTERM sets; a second signal later ends the program at once.

    That loses nothing: turns under way are recovered as after any crash.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    first_at = math.inf

    def hear(number: signal.Signals) -> None:
        nonlocal first_at
        now = loop.time()
        if now - first_at >= ONE_SIGNAL_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        first_at = min(first_at, now)
        stop.set()

    for number in STOPPING:
        loop.add_signal_handler(number, hear, number)
    try:
        yield stop
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    stop: asyncio.Event,
    lifecycle: Lifecycle,
    drain: Callable[[], Awaitable[object]],
    name: str = "OpenAI Service",
) -> None:
    """Serve `app` until `stop` is set, then let turns under way end.

    While `drain` waits for them, the service still answers: readiness says no, and new tasks
    are told to come back.

    Args:
        app: The application.
        listener: Where to listen; closed at the end.
        stop: Set by whoever wants the service to end.
        lifecycle: Told that the service is draining.
        drain: Takes no new turns and ends when none is under way any more.
        name: What the log calls it.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_REPLIES_SECONDS,
    )
    server = _Server(config)
    LOGGER.info("%s listens at %s", name, address_of(listener))
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]))
        await stop.wait()
        lifecycle.is_draining = True
        LOGGER.info("%s takes no new turns and waits for those under way", name)
        try:
            await drain()
        finally:
            server.should_exit = True
    LOGGER.info("%s has ended", name)


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, which would end the program behind us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

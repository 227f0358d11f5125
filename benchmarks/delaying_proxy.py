"""A program between client and server that passes each byte on a little later, as a network does."""

import asyncio
import contextlib
import os
import selectors
import sys
from asyncio import AbstractEventLoop, BaseTransport, Protocol, Transport
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

HOST = "127.0.0.1"
DEFAULT_PORT = 5432
PRIORITY = -20


class Pipe:
    """One direction: what comes in goes out in order, each piece after the delay."""

    def __init__(self, loop: AbstractEventLoop, delay_seconds: float) -> None:
        """Wait with `loop`."""
        self._loop = loop
        self._delay_seconds = delay_seconds
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._to: Transport | None = None

    def leads_to(self, transport: Transport) -> None:
        """Send to `transport` from now on."""
        self._to = transport
        self._set_out()

    def put(self, data: bytes) -> None:
        """Take a piece; no bytes mean the end."""
        self._waiting.append((self._loop.time() + self._delay_seconds, data))
        if len(self._waiting) == 1:
            self._set_out()

    def _set_out(self) -> None:
        if self._waiting and self._to is not None:
            self._loop.call_at(self._waiting[0][0], self._pass_on, self._to)

    def _pass_on(self, to: Transport) -> None:
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            _, data = self._waiting.popleft()
            if data:
                to.write(data)
            else:
                to.close()
        self._set_out()


class Side(Protocol):
    """One end of a connection: reads into one pipe, is written to by the other."""

    def __init__(self, reads_into: Pipe, written_by: Pipe) -> None:
        """Stand between the two pipes."""
        self._reads_into = reads_into
        self._written_by = written_by

    def connection_made(self, transport: BaseTransport) -> None:
        assert isinstance(transport, Transport)
        self._written_by.leads_to(transport)

    def data_received(self, data: bytes) -> None:
        self._reads_into.put(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._reads_into.put(b"")


class Entry(Side):
    """The client's end, which reaches out to the server when a client comes."""

    def __init__(self, proxy: "Proxy") -> None:
        """Connect on behalf of `proxy`."""
        there, back = proxy.pipe(), proxy.pipe()
        super().__init__(there, back)
        self._proxy = proxy
        self._exit = Side(back, there)

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._proxy.reach_out(self._exit)


class Proxy:
    """Listens on loopback, and keeps what it opened in one task group."""

    def __init__(self, target: str, delay_seconds: float, group: asyncio.TaskGroup) -> None:
        """Reach `target`, a socket's path or `host:port`."""
        self._target = target
        self._delay_seconds = delay_seconds
        self._group = group
        self._loop = asyncio.get_running_loop()

    def pipe(self) -> Pipe:
        """Make one direction."""
        return Pipe(self._loop, self._delay_seconds)

    def reach_out(self, side: Side) -> None:
        """Connect `side` to the target."""
        self._group.create_task(self._connect(side))

    async def _connect(self, side: Side) -> None:
        if self._target.startswith("/"):
            await self._loop.create_unix_connection(lambda: side, self._target)
        else:
            host, _, port = self._target.rpartition(":")
            await self._loop.create_connection(lambda: side, host, int(port))


async def serve(target: str, delay_seconds: float) -> None:
    """Say the port, then pass bytes on until standard input ends."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        proxy = Proxy(target, delay_seconds, group)
        server = await loop.create_server(lambda: Entry(proxy), HOST, 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.close()


def come_first() -> None:
    """Be served before the programs on both sides where that is allowed: a network is not busy."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


def exact_loop() -> AbstractEventLoop:
    """Make a loop that wakes on time: epoll's waits are rounded up to whole milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def target_of(url: str) -> str:
    """Give where a PostgreSQL address leads: the path of a socket, or host and port."""
    parts = urlsplit(url)
    host = parts.hostname or parse_qs(parts.query).get("host", ["localhost"])[0]
    port = parts.port or DEFAULT_PORT
    return str(Path(host) / f".s.PGSQL.{port}") if host.startswith("/") else f"{host}:{port}"


def led_through(url: str, port: int) -> str:
    """Give `url` with the proxy in the server's place; who logs in stays."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    asked = [
        (name, value) for name, value in parse_qsl(parts.query) if name not in {"host", "port"}
    ]
    return parts._replace(netloc=f"{login}{at}{HOST}:{port}", query=urlencode(asked)).geturl()


@asynccontextmanager
async def delayed(url: str, delay_seconds: float) -> AsyncIterator[str]:
    """Give an address that leads to the server of `url` through a proxy of its own process."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.delaying_proxy", target_of(url), str(delay_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    try:
        port = int(await program.stdout.readline())
        yield led_through(url, port)
    finally:
        program.terminate()
        await program.wait()


if __name__ == "__main__":
    come_first()
    with asyncio.Runner(loop_factory=exact_loop) as runner:
        runner.run(serve(sys.argv[1], float(sys.argv[2])))

"""A program between the store and PostgreSQL that can swallow an answer and cut the connection."""

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

# A statement was executed (CommandComplete, PortalSuspended); the transaction is over.
EXECUTED, READY = frozenset({b"C", b"s"}), b"Z"
HEADER = struct.Struct("!cI")


class CuttingProxy:
    """Passes everything on, until it is told to cut."""

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self._is_armed = False
        self.cuts = 0

    def cut_once(self) -> None:
        """Swallow the next answer to a statement that was executed and committed, and hang up."""
        self._is_armed = True

    async def connected(self, client: StreamReader, to_client: StreamWriter) -> None:
        server, to_server = await self._reach_server()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask(client, to_server))
                tasks.create_task(self._answer(server, to_client, to_server))
        finally:
            for writer in (to_client, to_server):
                writer.close()

    async def _reach_server(self) -> tuple[StreamReader, StreamWriter]:
        port = self._server.port or 5432
        (host,) = parse_qs(self._server.query).get("host", [self._server.hostname or "127.0.0.1"])
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _ask(self, client: StreamReader, to_server: StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await client.read(65536):
                to_server.write(data)
                await to_server.drain()
        to_server.close()

    async def _answer(
        self, server: StreamReader, to_client: StreamWriter, to_server: StreamWriter
    ) -> None:
        kept, is_swallowing = b"", False
        with suppress(ConnectionError):
            while data := await server.read(65536):
                if not self._is_armed:
                    to_client.write(data)
                    continue
                received = kept + data
                kinds, whole = messages(received)
                kept = received[whole:]
                # What comes before, as to parsing, is passed on, or nothing would be executed.
                is_swallowing = is_swallowing or bool(EXECUTED & set(kinds))
                if not is_swallowing:
                    to_client.write(received[:whole])
                elif READY in kinds:
                    self._is_armed = False
                    self.cuts += 1
                    break
        to_client.close()
        to_server.close()


def messages(data: bytes) -> tuple[list[bytes], int]:
    """Give the kinds of the whole messages in what a server sent, and where the last one ends."""
    kinds, at = [], 0
    while at + HEADER.size <= len(data):
        kind, length = HEADER.unpack_from(data, at)
        if at + 1 + length > len(data):
            break
        kinds.append(kind)
        at += 1 + length
    return kinds, at


@asynccontextmanager
async def cutting_proxy(server_url: str) -> AsyncIterator[tuple[str, CuttingProxy]]:
    """Give the address that leads through a proxy, and the proxy."""
    proxy = CuttingProxy(server_url)
    listening = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    given = urlsplit(server_url)
    user = given.netloc.rpartition("@")[0]
    through = given._replace(netloc=f"{user}@127.0.0.1:{port}", query="sslmode=disable")
    try:
        yield through.geturl(), proxy
    finally:
        listening.close()

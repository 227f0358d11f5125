"""The guards that every test runs under do what they say."""

import asyncio
import os
import socket

import pytest

import tests.conftest as guards

PUBLIC_ADDRESS = "192.0.2.1"  # reserved for documentation: nobody is there


@pytest.mark.parametrize("host", [PUBLIC_ADDRESS, "10.0.0.1", "example.org", b"::2"])
def test_a_host_elsewhere_is_not_taken_for_this_machine(host: object) -> None:
    assert not guards.is_on_this_machine(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", b"localhost", None])
def test_loopback_is_this_machine(host: object) -> None:
    assert guards.is_on_this_machine(host)


def test_a_connection_beyond_loopback_is_refused(refused_connections: list[object]) -> None:
    with socket.socket() as outbound, pytest.raises(AssertionError, match="may not connect"):
        outbound.connect((PUBLIC_ADDRESS, 9))

    assert refused_connections == [(PUBLIC_ADDRESS, 9)]
    refused_connections.clear()


async def test_an_asyncio_connection_beyond_loopback_is_refused(
    refused_connections: list[object],
) -> None:
    with pytest.raises(AssertionError, match="may not connect"):
        await asyncio.open_connection(PUBLIC_ADDRESS, 9)

    assert refused_connections
    refused_connections.clear()


def test_a_name_elsewhere_is_not_looked_up(refused_connections: list[object]) -> None:
    with pytest.raises(AssertionError, match="may not connect"):
        socket.getaddrinfo("example.org", 443)

    assert refused_connections == ["example.org"]
    refused_connections.clear()


async def test_loopback_is_reached() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


def test_the_shell_does_not_configure_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "DADM_DATABASE_URL", "DADM_TEST_POSTGRES_URL", "OTHER"):
        monkeypatch.setenv(name, "from the shell")

    guards.hide_what_the_shell_says(monkeypatch)

    assert os.getenv("OPENAI_API_KEY") is None
    assert os.getenv("DADM_DATABASE_URL") is None
    assert os.getenv("DADM_TEST_POSTGRES_URL") == "from the shell"
    assert os.getenv("OTHER") == "from the shell"

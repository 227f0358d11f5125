"""The backends a replica reaches: found by identity, started when needed, closed together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.application.reachable_backends import ReachableBackends
from dadm.domain.errors import BackendMisconfigured
from dadm.domain.thread import BackendIdentity
from dadm.ports.backend import ConversationBackend

LOCAL = BackendIdentity(adapter="local")
OPENAI = BackendIdentity(adapter="openai", address="https://h/v1", account="a")


class Ways:
    """Ways to two backends, which count what was started and closed."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.closed: list[str] = []
        self.ways = {"local": self._way(LOCAL), "openai": self._way(OPENAI)}

    def _way(
        self, identity: BackendIdentity
    ) -> Callable[[], AbstractAsyncContextManager[ConversationBackend]]:
        @asynccontextmanager
        async def way() -> AsyncIterator[ConversationBackend]:
            self.started.append(identity.adapter)
            await asyncio.sleep(1)
            yield ScriptedBackend(identity=identity)
            self.closed.append(identity.adapter)

        return way


async def test_default_is_started_at_once_and_others_when_a_thread_needs_them() -> None:
    ways = Ways()
    async with ReachableBackends(ways.ways, default="openai") as backends:
        assert backends.default.identity == OPENAI
        assert ways.started == ["openai"]
        assert (await backends.of(OPENAI)) is backends.default
        local = await backends.of(LOCAL)
        assert (await backends.of(LOCAL)) is local
        assert ways.started == ["openai", "local"]
        assert not ways.closed

    assert ways.closed == ["local", "openai"]


async def test_backend_that_many_need_at_once_is_started_once() -> None:
    ways = Ways()
    async with ReachableBackends(ways.ways, default="openai") as backends:
        found = await asyncio.gather(*(backends.of(LOCAL) for _ in range(5)))

    assert len(set(map(id, found))) == 1
    assert ways.started == ["openai", "local"]


async def test_default_that_cannot_be_started_is_said_at_once() -> None:
    def broken() -> AbstractAsyncContextManager[ConversationBackend]:
        raise BackendMisconfigured("There is no key.")

    backends = ReachableBackends({"openai": broken}, default="openai")

    with pytest.raises(BackendMisconfigured, match="There is no key"):
        await backends.__aenter__()


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (
            BackendIdentity(adapter="openai", address="https://h/v1", account="b"),
            "under account b, but the settings now reach openai at https://h/v1 under account a",
        ),
        (BackendIdentity(adapter="chat"), "kept at chat, but there is no backend of that kind"),
    ],
)
async def test_identity_that_is_not_reached_is_named_with_what_is(
    identity: BackendIdentity, said: str
) -> None:
    async with ReachableBackends(Ways().ways, default="openai") as backends:
        with pytest.raises(BackendMisconfigured) as raised:
            await backends.of(identity)

    assert said in raised.value.message

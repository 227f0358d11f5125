"""Backends are started when they are needed, found by identity, and closed together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.application.conversations.reachable_backends import ReachableBackends
from dadm.domain.errors import BackendMisconfigured
from dadm.domain.thread import BackendIdentity
from dadm.ports.backend import ConversationBackend

OPENAI = BackendIdentity(adapter="openai", address="https://host/v1", account="org/a")
LOCAL = BackendIdentity(adapter="local", address="model.gguf")


class Kept:
    """Ways to two backends, and what was opened and closed."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def way(
        self, identity: BackendIdentity
    ) -> Callable[[], AbstractAsyncContextManager[ConversationBackend]]:
        @asynccontextmanager
        async def open_it() -> AsyncIterator[ConversationBackend]:
            self.told.append(f"open {identity.adapter}")
            await asyncio.sleep(0)
            yield ScriptedBackend(identity=identity)
            self.told.append(f"close {identity.adapter}")

        return open_it

    def backends(self) -> ReachableBackends:
        return ReachableBackends(
            {"openai": self.way(OPENAI), "local": self.way(LOCAL)}, default="openai"
        )


async def test_only_the_backend_of_new_threads_is_started_at_once() -> None:
    kept = Kept()

    async with kept.backends() as backends:
        assert backends.default.identity == OPENAI
        assert kept.told == ["open openai"]


async def test_another_one_is_started_once_when_a_thread_needs_it_and_closed_at_the_end() -> None:
    kept = Kept()

    async with kept.backends() as backends:
        found = await asyncio.gather(*(backends.of(LOCAL) for _ in range(3)))

    assert {each.identity for each in found} == {LOCAL}
    assert kept.told == ["open openai", "open local", "close local", "close openai"]


async def test_another_account_is_not_taken_for_the_one_a_thread_was_opened_under() -> None:
    other = BackendIdentity(adapter="openai", address="https://host/v1", account="org/b")

    async with Kept().backends() as backends:
        with pytest.raises(BackendMisconfigured) as refusal:
            await backends.of(other)

    assert "openai at https://host/v1 under account org/b" in refusal.value.message
    assert "now reach openai at https://host/v1 under account org/a" in refusal.value.message


async def test_a_kind_of_backend_that_there_is_not_is_named() -> None:
    async with Kept().backends() as backends:
        with pytest.raises(BackendMisconfigured, match="kept at abacus, but there is no backend"):
            await backends.of(BackendIdentity(adapter="abacus"))


async def test_those_that_keep_conversations_are_reached_where_they_are_configured() -> None:
    kept = Kept()
    ways = {"openai": kept.way(OPENAI), "local": kept.way(LOCAL), "other": not_configured}

    async with ReachableBackends(ways, default="local", keepers=("other", "openai")) as backends:
        found = await backends.reachable()

        assert {each.identity for each in found} == {LOCAL, OPENAI}
        assert await backends.reachable() == found
    assert kept.told.count("open openai") == 1


def not_configured() -> AbstractAsyncContextManager[ConversationBackend]:
    raise BackendMisconfigured

"""ReachableBackends: the backends that this replica reaches, each started when it is first needed."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from types import TracebackType
from typing import Self, TypeAlias

from dadm.domain.errors import BackendMisconfigured
from dadm.domain.thread import BackendIdentity
from dadm.ports.backend import ConversationBackend

OpeningBackend: TypeAlias = AbstractAsyncContextManager[ConversationBackend]


class ReachableBackends:
    """Finds backends by identity; a ConversationBackends.

    New threads go to the default one. A thread stays with the identity it was opened under, so
    a thread that began on the local model goes on there even after a key was set.

    Used as an async context manager: entering starts the default one, leaving closes all.
    """

    def __init__(
        self,
        ways: Mapping[str, Callable[[], OpeningBackend]],
        *,
        default: str,
        keepers: Collection[str] = (),
    ) -> None:
        """Reach each kind of backend by its way.

        Args:
            ways: How each kind is opened.
            default: The kind of new threads.
            keepers: The kinds that keep conversations; opening one of them costs next to nothing.
        """
        self._ways = ways
        self._keepers = keepers
        self._default = default
        self._started: dict[str, ConversationBackend] = {}
        self._starting = asyncio.Lock()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the backend of new threads.

        Raises:
            BackendMisconfigured: It cannot be started as it is set.
        """
        await self._start(self._default)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was started."""
        await self._open.aclose()

    @property
    def default(self) -> ConversationBackend:
        """The backend that new threads are opened at."""
        return self._started[self._default]

    async def reachable(self) -> Sequence[ConversationBackend]:
        """Give the backends in use, and those that keep conversations if they can be started."""
        for kind in self._keepers:
            # One that is not configured is none that conversations could be reached at.
            with suppress(BackendMisconfigured):
                await self._start(kind)
        return tuple(self._started.values())

    async def of(self, identity: BackendIdentity) -> ConversationBackend:
        """Give the backend of that identity, starting it if need be.

        Raises:
            BackendMisconfigured: None of that identity is reached.
        """
        for backend in self._started.values():
            if backend.identity == identity:
                return backend
        if identity.adapter in self._ways:
            backend = await self._start(identity.adapter)
            if backend.identity == identity:
                return backend
            reached = f"the settings now reach {described(backend.identity)}"
        else:
            reached = "there is no backend of that kind"
        msg = (
            f"This thread is kept at {described(identity)}, but {reached}. Threads stay where "
            "they were opened: set the old address, account or model again to go on with it."
        )
        raise BackendMisconfigured(msg)

    async def _start(self, kind: str) -> ConversationBackend:
        async with self._starting:
            if kind not in self._started:
                self._started[kind] = await self._open.enter_async_context(self._ways[kind]())
            return self._started[kind]


def described(identity: BackendIdentity) -> str:
    """Say in words who that is."""
    parts = [identity.adapter]
    if identity.address:
        parts.append(f"at {identity.address}")
    if identity.account:
        parts.append(f"under account {identity.account}")
    return " ".join(parts)

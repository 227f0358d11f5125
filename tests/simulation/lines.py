"""Lines: what a replica takes for the store and for the engine, with the network in between."""

from collections.abc import Callable
from functools import partial
from typing import Any

from dadm.adapters.engines.memory import MemoryEngine
from dadm.adapters.stores.memory import MemoryStore
from dadm.domain.errors import EngineUnavailable, StoreUnavailable
from dadm.domain.turn import TurnKey
from dadm.ports.engine import LeasedTask
from dadm.ports.store_values import ClaimRequest, Lease
from tests.simulation.network import GOES_WELL, Caller, Effect, Fate
from tests.simulation.weather import Trouble

OF_A_THREAD = frozenset(
    {"note_conversation", "note_copied", "generations", "window", "turns", "exchanges"}
)
"""Methods of the store whose first argument is a thread's number."""


class Line:
    """Gives each method of `target` the way over the network; an error of its own kind for faults."""

    def __init__(
        self,
        caller: Caller,
        target: Any,
        *,
        port: str,
        unavailable: type[Exception],
        troubles: dict[Trouble, Effect],
        slow: frozenset[str] = frozenset(),
        after: Callable[[str, str, Any], None] | None = None,
    ) -> None:
        """Reach `target` for `caller`; `after` is called when a method has taken effect."""
        self._caller = caller
        self._target = target
        self._port = port
        self._unavailable = unavailable
        self._troubles = troubles
        self._slow = slow
        self._after = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            about = about_of(name, args)
            fate = self._fate(about)
            return await self._caller.call(
                f"{self._port}.{name}",
                partial(self._work, name, about, found, args, kwargs),
                fate,
                about=about,
                is_slow=name in self._slow,
            )

        setattr(self, name, call)
        return call

    async def _work(
        self, name: str, about: str, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result = await method(*args, **kwargs)
        if self._after is not None:
            self._after(name, about, result)
        return result

    def _fate(self, about: str) -> Fate:
        caller = self._caller
        storm = caller.network.storm
        if storm.is_over:
            return GOES_WELL
        if caller.cut_off_until.get(self._port, 0.0) > caller.network.loop.time():
            return Fate(Effect.NEVER, self._unavailable("cut off"))
        for trouble, effect in self._troubles.items():
            if storm.strikes(trouble, replica=caller.name, about=about):
                is_noticed = trouble is not Trouble.ENGINE_TWICE
                return Fate(effect, self._unavailable(trouble.value) if is_noticed else None)
        return GOES_WELL


def store_line(caller: Caller, store: MemoryStore, after: Callable[[str, str, Any], None]) -> Any:
    """Give a replica its way to the store."""
    return Line(
        caller,
        store,
        port="store",
        unavailable=StoreUnavailable,
        troubles={
            Trouble.STORE_LOST: Effect.NEVER,
            Trouble.STORE_UNCONFIRMED: Effect.NOW,
            Trouble.STORE_LATE: Effect.LATE,
        },
        after=after,
    )


def engine_line(caller: Caller, engine: MemoryEngine) -> Any:
    """Give a replica its way to the engine."""
    return Line(
        caller,
        engine,
        port="engine",
        unavailable=EngineUnavailable,
        troubles={
            Trouble.ENGINE_LOST: Effect.NEVER,
            Trouble.ENGINE_UNCONFIRMED: Effect.NOW,
            Trouble.ENGINE_LATE: Effect.LATE,
            Trouble.ENGINE_TWICE: Effect.TWICE,
        },
        slow=frozenset({"fetch_and_lease"}),
    )


def about_of(method: str, args: tuple[Any, ...]) -> str:
    """Say what a call is about: a task, a thread's number, or "" where it does not say."""
    for arg in args:
        match arg:
            case ClaimRequest():
                return arg.turn.task_id
            case TurnKey() | LeasedTask():
                return arg.task_id
            case Lease():
                return f"thread {arg.thread}"
            case int() if method in OF_A_THREAD:
                return f"thread {arg}"
            case _:
                continue
    return ""

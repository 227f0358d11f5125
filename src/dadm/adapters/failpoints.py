"""Failpoints: a named call before or after which this process kills itself, for tests of crashes."""

import inspect
import os
import re
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from dadm.domain.errors import SettingsError

PARTS = ("store", "backend", "engine")
"""What can be armed: the thread store, each backend by itself, the engine that tasks come from."""

Target = TypeVar("Target")

_POINT = re.compile(
    r"(?P<part>[a-z]+)\.(?P<method>[a-z_]+):(?P<when>before|after):(?P<call>[1-9]\d*)"
)


def armed(point: str, part: str, target: Target) -> Target:
    """Give `target` back, with a method to die at if `point` names one of this part.

    Without a point nothing is touched.

    Raises:
        SettingsError: There is no such point.
    """
    return Failpoint.parse(point).arm(part, target) if point else target


def arming(point: str, part: str, make: Callable[[], Target]) -> Callable[[], Target]:
    """Give `make`, which arms each part that it makes if `point` names one of its kind."""
    return (lambda: armed(point, part, make())) if point else make


def kill_this_process() -> NoReturn:
    """End this process at once, as `kill -9` does: nothing is flushed, closed or released."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process outlived SIGKILL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failpoint:
    """One place to die at, such as `store.settle:before:1`.

    Attributes:
        part: What has the method; one of PARTS.
        method: The method's name.
        is_after: Whether the call is let through first and has returned.
        call: Which call of that method it is, from 1.
        die: What happens there.
    """

    part: str
    method: str
    is_after: bool
    call: int
    die: Callable[[], None] = field(default=kill_this_process, repr=False)

    @classmethod
    def parse(cls, text: str) -> "Failpoint":
        """Read `part.method:before:n` or `part.method:after:n`.

        Raises:
            SettingsError: It is written otherwise, or there is no such part.
        """
        found = _POINT.fullmatch(text)
        if found is None or found["part"] not in PARTS:
            raise SettingsError(
                f"There is no failpoint {text!r}: write part.method:before:1, where the part is "
                f"one of {', '.join(PARTS)}, and after in the place of before, or another call."
            )
        return cls(
            part=found["part"],
            method=found["method"],
            is_after=found["when"] == "after",
            call=int(found["call"]),
        )

    def arm(self, part: str, target: Target) -> Target:
        """Give `target` back, its method shadowed if it is the part meant; calls count from here.

        Raises:
            SettingsError: It has no such method, or one that cannot be waited for.
        """
        if part != self.part:
            return target
        method = getattr(target, self.method, None)
        if not callable(method):
            raise SettingsError(f"{part} has no method {self.method!r} to die at.")
        if inspect.iscoroutinefunction(method):
            shadow = self._around(method)
        elif self.is_after:
            raise SettingsError(f"{part}.{self.method} has no single end to die after.")
        else:
            shadow = self._before(method)
        vars(target)[self.method] = shadow
        return target

    def _around(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        calls = 0

        async def shadow(*given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            is_this_one = calls == self.call
            if is_this_one and not self.is_after:
                self.die()
            result = await method(*given, **named)
            if is_this_one and self.is_after:
                self.die()
            return result

        return shadow

    def _before(self, method: Callable[..., Any]) -> Callable[..., Any]:
        calls = 0

        def shadow(*given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == self.call:
                self.die()
            return method(*given, **named)

        return shadow

"""Executing a statement for all who ask for it at the same time, in one transaction and one round trip."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dadm.domain.errors import StoreError

Values: TypeAlias = tuple[Any, ...]
ExecuteEach: TypeAlias = Callable[[Sequence[Values]], Awaitable[Sequence[Any]]]


@dataclass(slots=True, eq=False)
class Asked:
    """One execution of the statement, and what came of it.

    `called` is done when there is something to do for who waits: go on with what came of it, or
    lead, which is to execute for all who wait. `is_refused`: those who were asked together failed.
    """

    values: Values
    called: "asyncio.Future[None]" = field(default_factory=asyncio.Future)
    leads: bool = False
    is_done: bool = False
    is_refused: bool = False
    result: Any = None

    def call(self) -> None:
        """Wake who waits."""
        if not self.called.done():
            self.called.set_result(None)


class Gathering:
    """Executes one statement for everyone who asked while it was under way for others.

    Round trip and commit cost more than a small statement does. It must be one that may be
    repeated: where it fails for some, so it does for all of them, and each tries again alone.
    """

    def __init__(self, execute_each: ExecuteEach) -> None:
        """Use `execute_each`, which gives one result for each of the values, in their order."""
        self._execute_each = execute_each
        self._asked: list[Asked] = []
        self._is_led = False

    async def execute(self, values: Values) -> Any:
        """Execute the statement with `values`, and give its result once it is committed.

        Raises:
            StoreError: As the database's own error says.
        """
        mine = Asked(values)
        self._asked.append(mine)
        try:
            if self._is_led:
                await mine.called
            else:
                self._is_led = mine.leads = True
            if mine.leads:
                await self._execute_all()
        finally:
            # Who is cancelled leaves to the others what they asked, and one of them to lead.
            if not mine.is_done:
                self._asked.remove(mine)
            if mine.leads:
                self._hand_over()
        if mine.is_refused:
            (mine.result,) = await self._execute_each([values])
        return mine.result

    async def _execute_all(self) -> None:
        # In one order everywhere, so that no two replicas wait for each other's rows.
        asked = sorted(self._asked, key=values_of)
        results: Sequence[Any] = [None] * len(asked)
        is_refused = False
        try:
            results = await self._execute_each([one.values for one in asked])
        except StoreError:
            if len(asked) == 1:
                raise
            is_refused = True
        for one, result in zip(asked, results, strict=True):
            one.is_done, one.is_refused, one.result = True, is_refused, result
            one.call()
        self._asked = [one for one in self._asked if not one.is_done]

    def _hand_over(self) -> None:
        """Let the first of those who wait lead."""
        for one in self._asked:
            if not one.called.done():
                one.leads = True
                one.call()
                return
        self._is_led = False


def values_of(asked: Asked) -> Values:
    """Give what is sorted by."""
    return asked.values

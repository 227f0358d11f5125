"""Rows that an engine replied, read one by one; what is no row of its was written by no engine."""

from collections.abc import Callable
from typing import Any, TypeVar

from dadm.domain.errors import EngineUnavailable

Read = TypeVar("Read")


def read_each(rows: object, read: Callable[[Any], Read], *, of: str) -> list[Read]:
    """Read row by row what an engine replied when it was asked for such as `of` says.

    A single row need not be listed.

    Raises:
        EngineUnavailable: It is something else: a proxy answers, or the address is another's.
    """
    try:
        return [read(row) for row in (rows if isinstance(rows, list) else [rows])]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"The reply was read as {of} and is something else: does an engine answer there?"
        raise EngineUnavailable(msg) from error

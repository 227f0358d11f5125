"""Leaving callers: a request's work is waited for as long as its caller is there."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from starlette.requests import Request

Result = TypeVar("Result")


class CallerLeft(Exception):
    """The caller has closed its connection, so that nobody hears the answer any more."""


async def unless_left(request: Request, work: Coroutine[None, None, Result]) -> Result:
    """Wait for `work`, which is cancelled when the caller of `request` leaves.

    Without this a caller that comes again and again for one long answer would leave one more
    waiting handler behind each time. The request's body must have been read.

    Raises:
        CallerLeft: The caller left before the work ended.
        Exception: Whatever `work` raises.
    """
    async with asyncio.TaskGroup() as group:
        working = group.create_task(_contained(work))
        leaving = group.create_task(_until_left(request))
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        leaving.cancel()
    if working.cancelled():
        raise CallerLeft
    outcome = working.result()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _contained(work: Coroutine[None, None, Result]) -> Result | Exception:
    """Make an error a value, so that it reaches the caller as itself and not in a group."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - it is raised again
        return error


async def _until_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue

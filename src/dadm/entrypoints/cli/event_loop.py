"""The event loop of programs that run for long, where each millisecond of it is paid by every task."""

import asyncio
import sys
from collections.abc import Callable


def loop_for_programs() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Give what makes the loop, None for Python's own.

    libuv's loop takes about a quarter off what a task waits for us, where it was measured, and 50 ms to
    load: too long for a command that is over in as much. It does not run on Windows.
    """
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop

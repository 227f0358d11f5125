"""How commands that care for threads run: on the database, with the backends within reach."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from dadm.domain.errors import UnknownThread
from dadm.entrypoints.cli.failures import REFUSED, tell_failure
from dadm.entrypoints.cli.running import Opened, with_database

if TYPE_CHECKING:
    from dadm.application.care.thread_care import ThreadCare
    from dadm.domain.thread import Thread
    from dadm.ports.store import ThreadStore

T = TypeVar("T")

ThreadId = Annotated[str, typer.Argument(metavar="ID", help="Any id the thread ever had.")]
Wait = Annotated[
    float,
    typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for a thread in use."),
]
WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caring:
    """What such a command works with."""

    store: "ThreadStore"
    care: "ThreadCare"


def with_thread_care(
    work: Callable[[Caring], Awaitable[T]], *, database: str | None, wait: float = WAIT_SECONDS
) -> T:
    """Do `work` with the threads that the settings name, and with their backends.

    Raises:
        SettingsError: A setting is wrong, or the database would end with this command.
        DadmError: As `work` raises it.
    """

    async def caring(opened: Opened) -> T:
        async with _opened_care(opened, wait) as care:
            return await work(Caring(store=opened.threads, care=care))

    return with_database(caring, database=database)


@asynccontextmanager
async def _opened_care(opened: Opened, wait: float) -> AsyncGenerator["ThreadCare", None]:
    """Put the backends within reach, each to be started when it is first needed.

    The one of new threads like any other: what is wrong with it does not hinder what is done
    without it. Nor are assistants read, for none is asked anything.
    """
    from dadm import bootstrap
    from dadm.application.care.thread_care import ThreadCare
    from dadm.domain.assistant import Assistant, AssistantCatalogue
    from dadm.telemetry import LogObserver

    nobody = AssistantCatalogue([Assistant(name="nobody", instructions="")], default="nobody")
    async with AsyncExitStack() as stack:
        backends = bootstrap.reachable_backends(opened.settings)
        stack.push_async_exit(backends)
        world = bootstrap.world_of(opened.settings, opened.threads, backends, nobody, LogObserver())
        yield ThreadCare(world, patience_seconds=wait)


async def known_thread(store: "ThreadStore", thread_id: str) -> "Thread":
    """Find a thread by any id it ever had, whatever has become of it.

    Raises:
        UnknownThread: There never was one.
    """
    thread = await store.find_thread(thread_id)
    if thread is None:
        msg = f"There is no thread {thread_id}, and there never was one: dadm threads list"
        raise UnknownThread(msg)
    return thread


def refuse(said: str) -> NoReturn:
    """End a command that was understood and not done, because of how things stand."""
    tell_failure(said)
    raise typer.Exit(REFUSED)

"""How a command runs: settings, log and database around it, and one event loop."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dadm.domain.errors import DadmError, SettingsError
from dadm.entrypoints.cli.event_loop import loop_for_programs
from dadm.entrypoints.cli.failures import only_known
from dadm.entrypoints.cli.options import settings_with

if TYPE_CHECKING:
    from dadm.ports.engine import ProcessRuntime
    from dadm.ports.store import ThreadStore
    from dadm.settings import Settings

LOGGER = logging.getLogger("dadm.cli")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a command works on while the database is open."""

    settings: "Settings"
    embedded: "ProcessRuntime"
    threads: "ThreadStore"
    elsewhere: "ProcessRuntime | None" = None

    @property
    def engine(self) -> "ProcessRuntime":
        """The embedded engine or a Camunda 8, as long as no other one is worked.

        Raises:
            SettingsError: Processes live elsewhere.
        """
        if self.elsewhere is not None:
            return self.elsewhere
        if self.settings.engines:
            msg = (
                f"Several engines are worked ({', '.join(self.settings.engines)}), none of them "
                "embedded: deploy, start and look where each of them is, or name one of them by "
                "DADM_ENGINE_URL and unset DADM_ENGINES__… for this command."
            )
            raise SettingsError(msg)
        if self.settings.engine_url:
            msg = (
                f"Processes live in the engine at {self.settings.engine_url}: deploy, start and "
                "look there. Unset DADM_ENGINE_URL to work with the embedded engine."
            )
            raise SettingsError(msg)
        return self.embedded


def with_database(
    work: Callable[[Opened], Awaitable[T]], *, database: str | None, **given: Any
) -> T:
    """Do `work` on the engine and the threads that the settings name.

    Raises:
        SettingsError: A setting is wrong, or the database would end with this command.
        DadmError: As `work` raises it.
    """
    settings = settings_with(database_url=database, **given)
    if settings.database_url.get_secret_value().startswith("memory:"):
        msg = (
            "A database in memory holds nothing that other commands left there. Set "
            "DADM_DATABASE_URL or --database to sqlite:///file or postgresql://…"
        )
        raise SettingsError(msg)
    return run(settings, _opened(work, settings))


def run(settings: "Settings", work: Coroutine[Any, Any, T], *, is_quiet: bool = True) -> T:
    """Run `work` to its end; what it raises holds no secrets.

    Args:
        settings: For the log and the secrets.
        work: What to do.
        is_quiet: Leave logging as Python has it, which shows warnings alone, unless a level was
            set, and the event loop too: to load better ones takes longer than most commands run.

    Raises:
        DadmError: As `work` raises it, by itself or in a group.
    """
    if not is_quiet or "level" in settings.log.model_fields_set:
        start_logging(settings)
    warn_of_unknown_variables(is_quiet=is_quiet)
    warn_of_failpoint(settings, is_quiet=is_quiet)
    try:
        with asyncio.Runner(loop_factory=None if is_quiet else loop_for_programs()) as runner:
            return runner.run(work)
    except BaseExceptionGroup as group:
        error = only_known(group)
        if error is None:
            raise
        raise _without_secrets(error, settings) from group
    except DadmError as error:
        _without_secrets(error, settings)
        raise


def start_logging(settings: "Settings") -> None:
    """Render log records as the settings say, without the secrets in them."""
    from dadm.telemetry import Scrubber, configure_logging

    configure_logging(
        level=settings.log.level, style=settings.log.format, scrubber=Scrubber(settings.secrets)
    )


def warn_of_unknown_variables(*, is_quiet: bool = True) -> None:
    """Say which variables look like settings and set nothing; in the log, unless `is_quiet`."""
    from dadm.settings import unknown_variables

    for sentence in unknown_variables():
        _warn(sentence, is_quiet=is_quiet)


def warn_of_failpoint(settings: "Settings", *, is_quiet: bool) -> None:
    """Say that this program will kill itself, where a test of crashes has told it to."""
    from dadm.settings import failpoint_warning

    sentence = failpoint_warning(settings)
    if sentence:
        _warn(sentence, is_quiet=is_quiet)


def _warn(sentence: str, *, is_quiet: bool) -> None:
    if is_quiet:
        print(f"Warning: {sentence}", file=sys.stderr)
    else:
        LOGGER.warning("%s", sentence)


def _without_secrets(error: DadmError, settings: "Settings") -> DadmError:
    from dadm.telemetry import Scrubber

    scrub = Scrubber(settings.secrets)
    error.args = (scrub(error.message),)
    return error


async def _opened(work: Callable[[Opened], Awaitable[T]], settings: "Settings") -> T:
    from dadm.bootstrap import camunda8_engine, embedded_engine, open_databases

    # Among several, the embedded engine is the one that has no other tools.
    embedded = [each for each in settings.by_engine if each.engine_kind == "embedded"]
    if settings.engines and embedded:
        settings = embedded[0]
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(open_databases(settings))
        elsewhere: ProcessRuntime | None = None
        if settings.engine_kind == "camunda8":
            elsewhere = (await stack.enter_async_context(camunda8_engine(settings))).runtime
        opened = Opened(
            settings=settings,
            embedded=embedded_engine(settings, databases.processes),
            threads=databases.threads,
            elsewhere=elsewhere,
        )
        return await work(opened)

"""`dadm check`: the settings as they stand, and a ping of everything they name."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from dadm.domain.errors import DadmError, ServiceUnavailable
from dadm.entrypoints.cli.failures import UNUSABLE, exit_code_of
from dadm.entrypoints.cli.options import AsJson, Assistants, Backend, Database, settings_with
from dadm.entrypoints.cli.output import print_json, print_table, shown_text
from dadm.entrypoints.cli.running import run

if TYPE_CHECKING:
    from dadm.settings import Settings

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """What was pinged, what it said or what is wrong with it, and the exit code that means."""

    what: str
    said: str
    exit_code: int = 0


def check(
    database: Database = None,
    backend: Backend = None,
    assistants: Assistants = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting with secrets masked, and try what they name.

    The exit status is 0 if all of it works, else that of the first failure.
    """
    from dadm.settings import effective_settings, unknown_variables

    settings = settings_with(database_url=database, backend=backend, assistants=assistants)
    pings = run(settings, _ping_all(settings))
    if as_json:
        print_json(
            {
                "ok": not any(each.exit_code for each in pings),
                "checks": [
                    {"what": each.what, "ok": not each.exit_code, "detail": each.said}
                    for each in pings
                ],
                "settings": [
                    {
                        "variable": each.variable,
                        "value": each.value,
                        "is_default": each.is_default,
                    }
                    for each in effective_settings(settings)
                ],
                "unknown_variables": list(unknown_variables()),
            }
        )
    else:
        print_table(
            ("setting", "value", "from"),
            [
                (each.variable, each.value, "default" if each.is_default else "set")
                for each in effective_settings(settings)
            ],
            empty="There are no settings.",
        )
        print()
        for each in pings:
            state = "failed" if each.exit_code else "ok"
            print(f"{state:<6}  {each.what}: {shown_text(each.said)}")
    failures = [each.exit_code for each in pings if each.exit_code]
    if failures:
        raise typer.Exit(failures[0])


async def _ping_all(settings: "Settings") -> list[Ping]:
    return [each async for each in _pings(settings)]


async def _pings(settings: "Settings") -> AsyncIterator[Ping]:
    from dadm.settings import failpoint_warning
    from dadm.telemetry import Scrubber

    warning = failpoint_warning(settings)
    if warning:
        yield Ping(what="failpoint", said=warning, exit_code=UNUSABLE)
    tried = [
        ("assistants", _assistants(settings)),
        ("database", _database(settings)),
        *_engines(settings),
        ("backend", _backend(settings)),
    ]
    if settings.service_url:
        tried.append(("service", _service(settings)))
    scrub = Scrubber(settings.secrets)
    for what, trying in tried:
        found = await _ping(what, trying)
        yield Ping(what=what, said=scrub(found.said), exit_code=found.exit_code)


async def _ping(what: str, trying: Awaitable[str]) -> Ping:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return Ping(what=what, said=await trying)
    except TimeoutError:
        said = f"No answer within {PATIENCE_SECONDS:g} seconds."
        return Ping(what=what, said=said, exit_code=UNUSABLE)
    except DadmError as error:
        return Ping(what=what, said=error.message, exit_code=exit_code_of(error))


async def _assistants(settings: "Settings") -> str:
    from dadm.bootstrap import read_assistants

    catalogue = read_assistants(settings)
    return f"{', '.join(catalogue.names)}; {catalogue.default.name} is the default."


async def _database(settings: "Settings") -> str:
    from dadm.bootstrap import open_databases
    from dadm.entrypoints.cli.announcing import database_address

    async with open_databases(settings) as databases:
        now = await databases.threads.now()
        doubts = await databases.threads.doubts()
    said = f"{database_address(settings)} answers; its time is {now:%Y-%m-%d %H:%M:%SZ}."
    return " ".join((said, *(f"Warning: {doubt}" for doubt in doubts)))


def _engines(settings: "Settings") -> Iterator[tuple[str, Coroutine[Any, Any, str]]]:
    if not settings.engines:
        yield "engine", _engine(settings)
        return
    for each in settings.by_engine:
        yield f"engine {each.engine_id}", _engine(each)


async def _engine(settings: "Settings") -> str:
    from dadm.bootstrap import embedded_engine, external_engine, open_databases

    if settings.engine_url:
        async with external_engine(settings) as elsewhere:
            said = await elsewhere.ping()
            topics = sorted({each.topic for each in await elsewhere.assistant_tasks()})
        listed = ", ".join(topics) or "none yet; deploy a model whose tasks name an assistant"
        return f"{settings.engine_id}: {said}. Topics of AI tasks: {listed}."
    async with open_databases(settings) as databases:
        engine = embedded_engine(settings, databases.processes)
        found = await engine.definitions()
    names = ", ".join(sorted({each.key for each in found})) or "none yet; see dadm deploy"
    return f"{settings.engine_id}, with these processes: {names}."


async def _backend(settings: "Settings") -> str:
    from dadm.bootstrap import reachable_backends

    async with reachable_backends(settings) as backends:
        return await backends.default.ping()


async def _service(settings: "Settings") -> str:
    from dadm.bootstrap import remote_service

    async with remote_service(settings) as service:
        try:
            await service.knows_assistant("")
        except ServiceUnavailable as error:
            msg = f"{error.message} Start `dadm serve` there, or mend DADM_SERVICE_URL."
            raise ServiceUnavailable(msg) from error
    return f"{settings.service_url} answers."

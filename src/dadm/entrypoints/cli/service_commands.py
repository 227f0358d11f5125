"""`dadm serve`, `run`, `work` and `simulate-openai`: the programs that stay until they are stopped."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from dadm.entrypoints.cli.options import (
    SETTINGS,
    Assistants,
    Backend,
    Database,
    Host,
    LogFormat,
    LogLevel,
    Port,
    settings_with,
)
from dadm.entrypoints.cli.running import run as run_program


def serve(
    *,
    host: Host = None,
    port: Port = None,
    database: Database = None,
    backend: Backend = None,
    assistants: Assistants = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Answer tasks over HTTP: the OpenAI Service alone.

    It listens at 127.0.0.1 port 5000 unless told otherwise, and describes itself at /docs.
    SIGTERM lets turns under way end.
    """
    from dadm.entrypoints.cli.programs import serve_alone

    settings = settings_with(
        host=host,
        port=port,
        database_url=database,
        backend=backend,
        assistants=assistants,
        log__level=log_level,
        log__format=log_format,
    )
    run_program(settings, serve_alone(settings), is_quiet=False)


def run(
    *,
    host: Host = None,
    port: Port = None,
    database: Database = None,
    backend: Backend = None,
    assistants: Assistants = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Run it all in one process: engine, orchestrator and assistant service.

    Deploy and start processes from another terminal, with the same database. SIGTERM lets turns
    under way end; whatever is left goes on at the next start.
    """
    from dadm.entrypoints.cli.programs import run_everything

    settings = settings_with(
        host=host,
        port=port,
        database_url=database,
        backend=backend,
        assistants=assistants,
        log__level=log_level,
        log__format=log_format,
    )
    run_program(settings, run_everything(settings), is_quiet=False)


def work(
    *,
    service_url: Annotated[
        str | None,
        typer.Option(
            "--service-url",
            metavar="URL",
            help="Another DADM's service that answers the tasks: DADM_SERVICE_URL.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    database: Database = None,
    backend: Backend = None,
    assistants: Assistants = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Work the engine's AI tasks: the Service Orchestrator alone, without HTTP.

    Without --service-url the tasks are answered in this process.
    """
    from dadm.entrypoints.cli.programs import work_alone

    settings = settings_with(
        service_url=service_url,
        database_url=database,
        backend=backend,
        assistants=assistants,
        log__level=log_level,
        log__format=log_format,
    )
    run_program(settings, work_alone(settings), is_quiet=False)


def simulate_openai(
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where on 127.0.0.1 it listens.")
    ] = 5010,
    answers: Annotated[
        Literal["echo", "script", "local"],
        typer.Option("--answers", help="Who answers in the model's place."),
    ] = "echo",
    script: Annotated[
        Path | None,
        typer.Option("--script", metavar="FILE", help="The script, as in DADM_SCRIPTED__SCRIPT."),
    ] = None,
    switch: Annotated[
        list[str] | None,
        typer.Option(
            "--switch",
            metavar="NAME=VALUE",
            help="Answer an open question about OpenAI's API otherwise. Repeatable.",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="RULE",
            help=(
                "What goes wrong, when: METHOD PATH FAULT NAME=VALUE…, as in "
                "'POST /v1/responses drop-reply probability=0.1'. Repeatable. Faults: "
                "drop-request, drop-reply, http-error, duplicate, late, hold-request, hold-reply, "
                "lock-conversation, delete-conversation, expire-response, fail-run, cut-run, "
                "cancel-run, hold-run, orphan-run, reset-stream, end-stream, error-in-stream, "
                "hold-stream."
            ),
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Decides which requests a fault strikes by chance.")
    ] = 0,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            help="A key that it knows; without one it takes any. Repeatable.",
        ),
    ] = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Simulate OpenAI's Conversations and Responses on this machine, for tests and trials.

    Everything is kept in memory. An echo repeats what the thread was told, so that one sees what
    was remembered.
    """
    from dadm.entrypoints.cli.programs import simulate_openai as simulate

    if (answers == "script") != (script is not None):
        msg = "a script needs both: --answers script --script FILE"
        raise typer.BadParameter(msg, param_hint="--script")
    settings = settings_with(
        host="127.0.0.1",
        port=port,
        scripted__script=script,
        log__level=log_level,
        log__format=log_format,
    )
    switches = _switches(switch or ())
    program = simulate(
        settings,
        answers=answers,
        switches=switches,
        api_keys=api_key or (),
        faults=fault or (),
        seed=seed,
    )
    run_program(settings, program, is_quiet=False)


def _switches(given: Sequence[str]) -> dict[str, object]:
    switches: dict[str, object] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals:
            msg = f"{each!r} is no switch; write name=value."
            raise typer.BadParameter(msg, param_hint="--switch")
        try:
            switches[name] = json.loads(text)
        except ValueError:
            switches[name] = text
    return switches

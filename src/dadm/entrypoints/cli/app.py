"""The command line `dadm`: which commands there are, and how it ends."""

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from dadm.domain.errors import DadmError
from dadm.entrypoints.cli import (
    assistants,
    check,
    incidents,
    instances,
    linting,
    probe,
    processes,
    service_commands,
    tasks,
    templates,
    thread_care,
    thread_erasing,
    thread_verifying,
    threads,
    turns,
)
from dadm.entrypoints.cli.announcing import version
from dadm.entrypoints.cli.demo.command import demo
from dadm.entrypoints.cli.failures import exit_code_of, tell_failure

WORKING = "Working"
PROCESSES = "Processes"
LOOKING = "Looking"


def build() -> typer.Typer:
    """Put all commands together."""
    app = typer.Typer(
        name="dadm",
        help="Decision processes in BPMN whose AI tasks share one durable thread per instance.",
        epilog=_examples("dadm demo", "dadm run", "dadm start KEY -v budget=40000 --wait"),
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(begin)

    def command(name: str, function: Callable[..., Any], panel: str, *examples: str) -> None:
        _add(app, name, function, *examples, panel=panel)

    command("demo", demo, WORKING)
    command("run", service_commands.run, WORKING, "dadm run --backend local")
    command("serve", service_commands.serve, WORKING, "dadm serve --port 8080")
    command("work", service_commands.work, WORKING, "dadm work --service-url http://host:5000")
    command(
        "simulate-openai",
        service_commands.simulate_openai,
        WORKING,
        "dadm simulate-openai --answers local",
        "dadm simulate-openai --fault 'POST /v1/responses drop-reply times=1'",
        "OPENAI_API_KEY=any OPENAI_BASE_URL=http://127.0.0.1:5010/v1 dadm serve",
    )
    command("deploy", processes.deploy, PROCESSES, "dadm deploy decision.bpmn review.bpmn")
    command(
        "lint",
        linting.lint,
        PROCESSES,
        "dadm lint decision.bpmn",
        "dadm lint models --engine camunda8 --strict",
    )
    command(
        "templates",
        templates.templates,
        PROCESSES,
        "dadm templates > resources/element-templates/dadm.json",
    )
    command(
        "start",
        processes.start,
        PROCESSES,
        "dadm start decision -v budget=40000 -v 'owner=Alice Moreno' --wait",
    )
    command("message", processes.message, PROCESSES, "dadm message offer_received -v 'price=12000'")
    command("check", check.check, LOOKING, "dadm check --json")
    command(
        "probe",
        probe.probe,
        LOOKING,
        "OPENAI_API_KEY=… dadm probe",
        "dadm probe --only output_ids_are_item_ids --yes --json",
    )
    command("version", tell_version, LOOKING, "dadm version")
    _add_groups(app)
    return app


def _add_groups(app: typer.Typer) -> None:
    group = _group(app, "instances", "The runs of processes.", PROCESSES)
    _add(group, "list", instances.list_instances, "dadm instances list --state active")
    _add(group, "show", instances.show_instance, "dadm instances show ID --json")
    _add(group, "cancel", instances.cancel_instance, "dadm instances cancel ID")
    group = _group(app, "tasks", "Tasks that wait for people.", PROCESSES)
    _add(group, "list", tasks.list_tasks, "dadm tasks list")
    _add(group, "complete", tasks.complete_task, "dadm tasks complete ID -v approved=true")
    group = _group(app, "incidents", "What stopped instances and waits for a person.", PROCESSES)
    _add(group, "list", incidents.list_incidents, "dadm incidents list")
    _add(group, "retry", incidents.retry_incident, "dadm incidents retry ID -v budget=40000")
    group = _group(app, "threads", "Whose conversations there are, and care for them.", LOOKING)
    _add(group, "list", threads.list_threads, "dadm threads list --instance ID")
    _add(group, "show", threads.show_thread, "dadm threads show ID --last 3")
    _add(
        group,
        "verify",
        thread_verifying.verify_threads,
        "dadm threads verify",
        "dadm threads verify --remote --instance ID",
        "dadm threads verify ID --repair",
    )
    _add(group, "rebuild", thread_care.rebuild_thread, "dadm threads rebuild ID")
    _add(group, "erase", thread_erasing.erase_thread, "dadm threads erase ID --yes --json")
    _add(group, "audit", thread_care.audit_thread, "dadm threads audit ID")
    group = _group(
        app, "turns", "Tasks' questions and answers, and what waits for a person.", LOOKING
    )
    _add(group, "list", turns.list_turns, "dadm turns list --state unknown")
    _add(group, "show", turns.show_turn, "dadm turns show TURN")
    _add(
        group,
        "resolve",
        turns.resolve_turn,
        "dadm turns resolve TURN --as answered",
        "dadm turns resolve TURN --as answered --answer-file answer.txt",
        "dadm turns resolve TURN --as abandoned --reason 'The offer was withdrawn.'",
    )
    group = _group(app, "assistants", "The named roles that answer.", LOOKING)
    _add(group, "list", assistants.list_assistants, "dadm assistants list")
    _add(group, "check", assistants.check_assistants, "dadm assistants check ./assistants")


def begin(
    context: typer.Context,
    is_version_wanted: Annotated[
        bool, typer.Option("--version", help="Print the version and end.")
    ] = False,
) -> None:
    """Answer what needs no command."""
    if is_version_wanted:
        tell_version()
        raise typer.Exit
    show_help(context)


def show_help(context: typer.Context) -> None:
    """Show what there is where no command was named."""
    if context.invoked_subcommand is None:
        # With rich, asking for the text prints it.
        print(context.get_help(), end="")


def tell_version() -> None:
    """Print the version."""
    print(f"dadm {version()}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code; what goes wrong is told in one line."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    command = typer.main.get_command(build())
    try:
        ended = command.main(
            None if arguments is None else list(arguments), "dadm", standalone_mode=False
        )
        sys.stdout.flush()
    except DadmError as error:
        tell_failure(error.message)
        return exit_code_of(error)
    except typer.TyperException as error:
        tell_failure(_with_hint(error))
        return error.exit_code
    except typer.Abort:
        tell_failure("Ended before it was done.")
        return 1
    except BrokenPipeError:
        # Whoever read our output has had enough; there is nothing left to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return ended if isinstance(ended, int) else 0


def _with_hint(error: typer.TyperException) -> str:
    """Say what is wrong with the command line, and where to look."""
    context = getattr(error, "ctx", None)
    said = error.format_message()
    said += "" if said.endswith((".", "?")) else "."
    return f"{said} See {context.command_path} --help" if context else said


def _group(app: typer.Typer, name: str, about: str, panel: str) -> typer.Typer:
    group = typer.Typer(name=name, help=about)
    group.callback(invoke_without_command=True)(show_help)
    app.add_typer(group, help=about, rich_help_panel=panel)
    return group


def _add(
    app: typer.Typer,
    name: str,
    function: Callable[..., Any],
    *examples: str,
    panel: str | None = None,
) -> None:
    paragraphs = (function.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    register = app.command(
        name, help=escape(text), epilog=_examples(*examples), rich_help_panel=panel
    )
    register(function)


def _examples(*lines: str) -> str | None:
    if not lines:
        return None
    return "\n\n".join(["Example:" if len(lines) == 1 else "Examples:", *map(escape, lines)])

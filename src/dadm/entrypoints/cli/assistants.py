"""`dadm assistants`: the named roles there are, listed and checked."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dadm.domain.assistant import Assistant
from dadm.domain.errors import InvalidAssistant
from dadm.entrypoints.cli.failures import exit_code_of
from dadm.entrypoints.cli.options import AsJson, Assistants, Backend, settings_with
from dadm.entrypoints.cli.output import print_json, print_table, shown_text
from dadm.entrypoints.cli.running import warn_of_unknown_variables


def list_assistants(
    assistants: Assistants = None, backend: Backend = None, as_json: AsJson = False
) -> None:
    """List the assistants, by name.

    Tasks pick one by the property `assistant`, else by `service.name` where that is a known name
    or alias; else the default answers.
    """
    from dadm.bootstrap import read_assistants

    warn_of_unknown_variables()
    catalogue = read_assistants(settings_with(assistants=assistants, backend=backend))
    if as_json:
        documents = [_assistant_json(each) for each in catalogue.assistants]
        print_json({"default": catalogue.default.name, "assistants": documents})
        return
    print_table(
        ("name", "aliases", "default", "model", "version", "description"),
        [
            (
                each.name,
                each.aliases,
                each is catalogue.default,
                each.model,
                each.version,
                each.description,
            )
            for each in catalogue.assistants
        ],
        empty="There are no assistants.",
    )


def check_assistants(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Instead of DADM_ASSISTANTS.")
    ] = None,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Read every assistant's file and name the line that is wrong.

    Which parameters there are depends on the backend.
    """
    from dadm import bootstrap

    warn_of_unknown_variables()
    settings = settings_with(assistants=folder, backend=backend)
    found = list(bootstrap.check_assistants(settings))
    broken = [each for _, each in found if isinstance(each, InvalidAssistant)]
    if not broken:
        try:
            bootstrap.read_assistants(settings)
        except InvalidAssistant as error:
            broken.append(error)
    if as_json:
        print_json(
            {
                "ok": not broken,
                "files": [_file_json(*each) for each in found],
                "problems": [each.message for each in broken],
            }
        )
    else:
        for path, read in found:
            if isinstance(read, Assistant):
                print(f"ok      {shown_text(str(path))}: {read.name}, version {read.version}")
        for problem in broken:
            print(f"failed  {shown_text(problem.message)}")
    if broken:
        raise typer.Exit(exit_code_of(broken[0]))


def _assistant_json(assistant: Assistant) -> dict[str, Any]:
    return {
        "name": assistant.name,
        "aliases": list(assistant.aliases),
        "description": assistant.description,
        "model": assistant.model or None,
        "version": assistant.version,
        "file": assistant.origin,
    }


def _file_json(path: Path, read: Assistant | InvalidAssistant) -> dict[str, Any]:
    is_broken = isinstance(read, InvalidAssistant)
    return {
        "file": str(path),
        "ok": not is_broken,
        "name": None if isinstance(read, InvalidAssistant) else read.name,
        "problem": read.message if isinstance(read, InvalidAssistant) else None,
    }

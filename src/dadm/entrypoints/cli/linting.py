"""`dadm lint`: what DADM and an engine would trip over in models, a line each."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dadm.entrypoints.cli.failures import BAD_INPUT, tell_failure
from dadm.entrypoints.cli.options import AsJson, Assistants, settings_with
from dadm.entrypoints.cli.output import counted, print_json, shown_text
from dadm.entrypoints.cli.running import warn_of_unknown_variables
from dadm.ports.model_findings import EngineKind, LintedModel, Severity

FOUND = 1
"""Something was found that stops a model, or a task of it."""

STANDARD_INPUT = "-"
NAME_OF_INPUT = "<stdin>"
SUFFIXES = (".bpmn", ".bpmn20.xml")
MOST_BYTES = 16 * 1024 * 1024
"""More than any model has; what lies behind is not read."""


def lint(
    *,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Models in BPMN; a folder stands for all in and below it, - for the input.",
        ),
    ],
    engine: Annotated[
        Literal["embedded", "camunda7", "camunda8"] | None,
        typer.Option(
            "--engine",
            help="For which engine; else for the one that each model was drawn for.",
        ),
    ] = None,
    is_strict: Annotated[
        bool, typer.Option("--strict", help="Let warnings count as errors for the exit status.")
    ] = False,
    assistants: Assistants = None,
    as_json: AsJson = False,
) -> None:
    """Say what DADM and the engine would trip over in models, by file and line.

    Each finding is a line: FILE:LINE: error or warning, its code, and what is wrong. The exit
    status is 0 if there are no errors, 1 if there are, and 2 if a file could not be read.
    """
    from dadm.bootstrap import lint_models, read_assistants

    warn_of_unknown_variables()
    documents, unreadable = _read(files)
    chosen = None if engine is None else EngineKind(engine)
    catalogue = read_assistants(settings_with(assistants=assistants))
    linted = lint_models(documents, catalogue, engine=chosen)
    if as_json:
        print_json(
            {
                "ok": not unreadable and not _count(linted, Severity.ERROR),
                "files": [_model_json(each) for each in linted],
                "unreadable": list(unreadable),
            }
        )
    else:
        for model in linted:
            for found in model.findings:
                place = shown_text(f"{model.resource}:{found.line}")
                said = " ".join(shown_text(found.message).split())
                print(f"{place}: {found.severity} {found.code} {said}")
        sys.stdout.flush()
        if linted:
            print(_summary(linted), file=sys.stderr)
    for problem in unreadable:
        tell_failure(problem)
    if unreadable:
        raise typer.Exit(BAD_INPUT)
    if _count(linted, Severity.ERROR) or (is_strict and _count(linted, Severity.WARNING)):
        raise typer.Exit(FOUND)


def _read(names: Sequence[str]) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Read what is named, once each, and say what could not be read."""
    documents: dict[str, bytes] = {}
    problems: list[str] = []
    for name in names:
        if name == STANDARD_INPUT:
            documents[NAME_OF_INPUT] = sys.stdin.buffer.read(MOST_BYTES)
            continue
        given = Path(name)
        paths = _models_below(given) if given.is_dir() else [given]
        if not paths:
            problems.append(f"The folder {name} holds no model: no file in it ends in .bpmn.")
        for path in paths:
            try:
                with path.open("rb") as file:
                    documents[str(path)] = file.read(MOST_BYTES)
            except OSError as error:
                problems.append(f"{path} cannot be read: {error.strerror}.")
    return documents, tuple(problems)


def _models_below(folder: Path) -> list[Path]:
    """Find the models in and below a folder, but not in hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.lower().endswith(SUFFIXES)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _summary(linted: Sequence[LintedModel]) -> str:
    found = [
        counted(count, severity.value)
        for severity in Severity
        if (count := _count(linted, severity))
    ]
    engines = ", ".join(sorted({model.engine.value for model in linted}))
    looked = f"{counted(len(linted), 'file')} linted" + (f" for {engines}" if engines else "")
    return f"{looked}: {', '.join(found) or 'nothing found'}."


def _count(linted: Sequence[LintedModel], severity: Severity) -> int:
    return sum(found.severity is severity for model in linted for found in model.findings)


def _model_json(model: LintedModel) -> dict[str, Any]:
    return {
        "file": model.resource,
        "engine": model.engine.value,
        "findings": [
            {
                "line": found.line,
                "severity": found.severity.value,
                "code": found.code,
                "message": found.message,
            }
            for found in model.findings
        ],
    }

"""Writes docs/reference/cli.md from the command line itself; --check says if it is out of date."""

import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from dadm.entrypoints.cli.app import build
from dadm.entrypoints.cli.failures import BAD_INPUT, EXIT_CODE_OF, REFUSED, UNUSABLE

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"

INTRODUCTION = """\
# Command line

<!-- Written by `make docs` from src/dadm/entrypoints/cli. -->

`dadm` alone shows what there is, and `--help` behind any command what it does. Commands that
print data print tables for people, plain columns where the output is no terminal, and with
`--json` documents whose field names stay as they are. What goes wrong is told in one line on
standard error that says what to do. Settings come from [variables](settings.md); an option that
names one stands in for it. `start`, `deploy` and the others below that work on processes, threads or
turns may run beside `dadm run`, on the same database. `dadm --install-completion` lets your shell
complete all this.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | `threads verify` found something wrong; else a fault in DADM itself, which is told with its trace |
"""

KINDS = {int: "number", str: "text", Path: "path"}

MEANINGS = {
    BAD_INPUT: "the command, a file or a setting is wrong: it fails again until that is changed",
    UNUSABLE: "a database, a backend or an engine cannot be reached or used",
    REFUSED: "it was understood and not done, because of how things stand",
}


def plain(text: str | None) -> str:
    """Give help text without its markup, on one line for each paragraph."""
    paragraphs = (text or "").split("\n\n")
    return "\n\n".join(" ".join(Text.from_markup(each).plain.split()) for each in paragraphs)


def in_cell(text: str) -> str:
    """Give text as a cell of a table holds it."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def exit_codes() -> Iterator[str]:
    """Say what each exit code means and which errors end with it."""
    for code, meaning in MEANINGS.items():
        codes = sorted(error.code for error, its in EXIT_CODE_OF.items() if its == code)
        yield f"| {code} | {meaning}: {', '.join(f'`{each}`' for each in codes)} |"
    yield "| 130 | interrupted from the keyboard (Ctrl-C) |"


def commands(command: Any, path: tuple[str, ...] = ("dadm",)) -> Iterator[tuple[str, Any]]:
    """Give every command below `command` with its full name, in the order of the help."""
    below = getattr(command, "commands", {})
    if not below:
        yield " ".join(path), command
    for name, inner in below.items():
        yield from commands(inner, (*path, name))


def values_of(parameter: Any) -> str:
    """Say what values a parameter takes."""
    kinds = typing.get_args(parameter.type_descriptor.annotation)
    annotation = next(
        (each for each in kinds if each is not type(None)), parameter.type_descriptor.annotation
    )
    if getattr(parameter, "is_flag", False):
        return ""
    if parameter.metavar:
        return f"`{parameter.metavar}`"
    if typing.get_origin(parameter.type_descriptor.annotation) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in kinds)
    bounds = [
        f"{word} {bound}"
        for word, bound in (("from", parameter.min), ("to", parameter.max))
        if bound is not None
    ]
    return " ".join((KINDS[annotation], *bounds))


def default_of(parameter: Any) -> str:
    """Say what an option is where it is not given."""
    given = parameter.default
    if getattr(parameter, "is_flag", False) or callable(given) or given in (None, "", [], ()):
        return ""
    return f" Default: `{given}`."


def section(name: str, command: Any) -> list[str]:
    """Describe one command."""
    parameters = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    options = [each for each in parameters if each.param_type_name == "option"]
    usage = " ".join((name, *(each.metavar for each in arguments), "[OPTIONS]" if options else ""))
    lines = [f"## `{usage.strip()}`", "", plain(command.help)]
    if arguments or options:
        lines += ["", "| | values | meaning |", "|---|---|---|"]
    for each in (*arguments, *options):
        is_option = each in options
        called = ", ".join(f"`{flag}`" for flag in each.opts) if is_option else f"`{each.metavar}`"
        values = in_cell(values_of(each)) if is_option else ""
        meaning = in_cell(plain(each.help) + default_of(each))
        lines.append(f"| {called} | {values} | {meaning} |")
    examples = [line for line in plain(command.epilog).split("\n\n") if line][1:]
    if examples:
        lines += ["", "```sh", *examples, "```"]
    return [*lines, ""]


def page() -> str:
    """Write the whole page."""
    lines = [INTRODUCTION.rstrip("\n"), *exit_codes(), ""]
    for name, command in commands(typer.main.get_command(build())):
        lines += section(name, command)
    return "\n".join(lines).rstrip("\n") + "\n"


def main() -> None:
    """Write the page, or compare it with what is there."""
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
        return
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/reference/cli.md is out of date: run `make docs`.")


if __name__ == "__main__":
    main()

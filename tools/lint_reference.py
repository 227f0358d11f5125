"""Writes docs/reference/lint.md from the rules that models are linted by; --check compares."""

import sys
from pathlib import Path

from dadm.adapters.engines.linting.rules import EVERY_ENGINE, RULES, Rule

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "lint.md"

INTRODUCTION = """\
# What `dadm lint` finds

<!-- Written by `make docs` from src/dadm/adapters/engines/linting/rules.py. -->

```bash
dadm lint decision.bpmn                          # for the engine it was drawn for
dadm lint models --engine camunda7 --strict      # all models in and below a folder
git show HEAD:decision.bpmn | dadm lint -        # the standard input
```

Each finding is a line that people and editors read, `FILE:LINE: error|warning CODE message`, on
standard output; a summary follows on standard error. `--json` prints the same for programs. The line
is that of the element's start tag, its last one where the tag has several.

| exit status | means |
|---|---|
| 0 | no errors; warnings may be there, unless `--strict` is given |
| 1 | errors were found; with `--strict`, or warnings |
| 2 | a file or folder cannot be read, the assistants' files are broken, or the command line is wrong |

An *error* stops the model, or the task that has it, on that engine. A *warning* is probably not what
was meant. Which engine a model is for is told from what its modeler noted (`executionPlatform`), else
from the extensions it uses; one without any is linted for the embedded engine. A model for Camunda 7
or 8 may run on the embedded engine too: `--engine embedded` says whether it does, as `dadm deploy`
would. Assistants are those of `DADM_ASSISTANTS`, or of `--assistants`.

"""


def row(rule: Rule) -> str:
    """Give a rule's line in the table."""
    return f"| [`{rule.code}`](#{rule.code}) | {rule.severity} | {engines_of(rule)} |"


def engines_of(rule: Rule) -> str:
    """Name the engines that a rule is about."""
    if rule.engines == EVERY_ENGINE:
        return "all"
    return ", ".join(sorted(rule.engines))


def section(rule: Rule) -> str:
    """Give what a page says of a rule."""
    shown = "\n".join(part for part in (rule.declared, rule.example) if part)
    example = f"```xml\n{shown}\n```\n\n" if shown else ""
    return f"### {rule.code}\n\n{rule.means}\n\n{example}**Remedy.** {rule.remedy}\n"


def page() -> str:
    """Write the whole page."""
    table = ["| code | severity | engines |", "|---|---|---|", *map(row, RULES)]
    sections = "\n".join(map(section, RULES))
    return f"{INTRODUCTION}## Codes\n\n" + "\n".join(table) + f"\n\n{sections}"


def main() -> None:
    """Write the page, or compare it with what is there."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
        return
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/reference/lint.md is out of date: run `make docs`.")


if __name__ == "__main__":
    main()

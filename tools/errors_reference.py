"""Writes docs/reference/errors.md from the error tree and the tables at its edges; --check compares."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from dadm.application.orchestration.outcomes import GIVEN_BACK, RetryPolicy, outcome_of
from dadm.domain import errors
from dadm.domain.errors import DadmError, UnknownAssistant
from dadm.domain.task import BpmnError, Completed, Failed, Incident
from dadm.entrypoints.cli.failures import EXIT_CODE_OF
from dadm.entrypoints.openai_service.problems import HTTP_PROBLEMS, STATUS_OF, title_of
from dadm.ports.engine import LeasedTask

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "errors.md"

INTRODUCTION = """\
# Errors

<!-- Written by `make docs` from src/dadm/domain/errors.py and the tables at its edges. -->

Every error has a `code` that stays the same, says whether it is worth coming back (`retryable`),
and carries a sentence for people. A log, a problem document of the service, an incident of an
engine and the command line all tell the same error; each of these edges has one table.

| column | what it says |
|---|---|
| HTTP | the status of the problem document; [HTTP](http.md) says what else is in it |
| exit | the command line's exit code: 2 for what has to be written differently, 3 for what cannot be reached or used, 4 for what was understood and not done |
| engine | what the orchestrator tells the engine, see below |

*Again*: a failure that the engine offers again after a growing pause, and an incident once no
retries are left; `backend_resting` and `store_unavailable` cost no retry. *Incident*: nothing helps but a person. *Error path*: a BPMN error, but only where
the model catches its code, else an incident; what the model calls a refusal (`backend_refused`, or
the task's `errorCode`) is caught by that code, an `answer_cut_short` by its own where the model
names it. *Given back*: the task is offered to another worker at
once. *Not reported*: the report itself did not succeed; the answer is recorded, and whoever has the
task next reports it without the model.

A turn that was refused for good keeps the reason (`refusal` in `GET /threads/{thread_id}`): the
code of the error.

"""

TREE = """\
## The tree

```text
{tree}
```

"""

PROBLEMS = """\

## Problems that only HTTP has

| code | HTTP | meaning |
|---|---|---|
"""

ABOUT_REPORTING = frozenset({errors.TaskGone, errors.LeaseLost})
SAMPLE = LeasedTask(
    task_id="task",
    topic="topic",
    element_id="element",
    process_instance_id="instance",
    process_definition_id="definition:1",
    process_definition_key="definition",
    lease_expires_at=datetime(2026, 1, 1, tzinfo=UTC),
    caught_errors=frozenset({""}),
)


def tree() -> Iterator[type[DadmError]]:
    """Give every error, each behind its parent, in the order of the file."""

    def below(kind: type[DadmError]) -> Iterator[type[DadmError]]:
        yield kind
        for narrower in kind.__subclasses__():
            yield from below(narrower)

    yield from below(DadmError)


def told_to_engines(kind: type[DadmError]) -> str:
    """Say what the orchestrator makes of an error where the model catches everything."""
    if kind in ABOUT_REPORTING:
        return "not reported"
    if kind in GIVEN_BACK:
        return "given back"
    error = UnknownAssistant("nobody") if kind is UnknownAssistant else kind("Said.")
    outcome = outcome_of(error, SAMPLE, RetryPolicy())
    match outcome:
        case Failed():
            return "again"
        case BpmnError():
            return "error path"
        case Incident():
            return "incident"
        case Completed():
            return "completed"
        case _:
            assert_never(outcome)


def page() -> str:
    """Write the whole page."""
    drawn = (errors.__doc__ or "").split("\n\n")[1]
    margin = len(drawn) - len(drawn.lstrip())
    lines = [
        "| code | retryable | HTTP | exit | engine | meaning |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{kind.code}` | {'yes' if kind.retryable else 'no'} | {STATUS_OF[kind]} "
            f"| {EXIT_CODE_OF[kind]} | {told_to_engines(kind)} | {title_of(kind)} |"
            for kind in tree()
        ),
    ]
    problems = [f"| `{each.code}` | {each.status} | {each.title} |" for each in HTTP_PROBLEMS]
    return "".join(
        (
            INTRODUCTION,
            TREE.format(tree="\n".join(line[margin:] for line in drawn.splitlines())),
            "## Codes\n\n",
            "\n".join(lines),
            "\n",
            PROBLEMS,
            "\n".join(problems),
            "\n",
        )
    )


def main() -> None:
    """Write the page, or compare it with what is there."""
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
        return
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/reference/errors.md is out of date: run `make docs`.")


if __name__ == "__main__":
    main()

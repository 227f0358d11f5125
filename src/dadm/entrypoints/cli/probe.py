"""`dadm probe`: what OpenAI's documents leave open, found out with a real key, by trying."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dadm.entrypoints.cli.failures import REFUSED, tell_failure
from dadm.entrypoints.cli.options import AsJson, settings_with
from dadm.entrypoints.cli.output import print_json, print_table, shown_text
from dadm.entrypoints.cli.running import run

if TYPE_CHECKING:
    from dadm.ports.probe import Finding, Probe, ProbePlan

CHEAP_MODEL = "gpt-5.4-nano"


def probe(
    *,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="The model that is asked; a cheap one.")
    ] = CHEAP_MODEL,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="QUESTION", help="Ask this question alone. Repeatable."),
    ] = None,
    is_agreed: Annotated[
        bool, typer.Option("--yes", "-y", help="Begin without asking whether it may cost.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask OpenAI, by trying, what its documents leave open, and say which setting each decides.

    It needs a key (OPENAI_API_KEY), costs a little, and says beforehand how much it sends. It makes
    conversations and responses of its own and deletes them again, also when it is interrupted; what
    it cannot delete it names. Nothing else in the account is touched.

    The exit status is 0 if every question was answered.
    """
    from dadm.bootstrap import openai_probe

    settings = settings_with(backend="openai")
    prober = openai_probe(settings, model=model)
    names = _chosen(prober, only)
    _tell(_cost(prober.plan(names)))
    if not is_agreed:
        typer.confirm("Go on?", abort=True, err=True)
    try:
        findings = run(settings, _probed(prober, names))
    finally:
        for each in prober.left_behind:
            _tell(f"Could not be deleted: {each}")
    if as_json:
        print_json(
            {
                "model": model,
                "address": prober.plan(names).address,
                "findings": [
                    {**asdict(each), "is_answered": each.is_answered} for each in findings
                ],
                "left_behind": list(prober.left_behind),
            }
        )
    else:
        _print(findings)
    open_count = sum(not each.is_answered for each in findings)
    if open_count:
        tell_failure(f"{open_count} of {len(findings)} questions could not be answered.")
        raise typer.Exit(REFUSED)


async def _probed(prober: "Probe", names: Sequence[str]) -> list["Finding"]:
    findings: list[Finding] = []
    async with prober.opened(), aclosing(prober.findings(names)) as found:
        try:
            async for each in found:
                findings.append(each)
                said = each.answer or f"not answered: {each.evidence}"
                _tell(f"{len(findings)}/{len(names)} {each.question}: {said}")
        except asyncio.CancelledError:
            _tell("Interrupted: what was made is being deleted.")
            raise
    return findings


def _chosen(prober: "Probe", only: Sequence[str] | None) -> tuple[str, ...]:
    known = tuple(each.name for each in prober.questions)
    for name in only or ():
        if name not in known:
            msg = f"there is no question {name!r}; there are: {', '.join(known)}"
            raise typer.BadParameter(msg, param_hint="--only")
    return tuple(name for name in known if not only or name in only)


def _cost(plan: "ProbePlan") -> str:
    return (
        f"{plan.question_count} questions to {plan.address}: about {plan.request_count} requests; "
        f"{plan.model} answers at most {plan.run_count} times, with at most "
        f"{plan.output_token_count} output tokens in all."
    )


def _print(findings: Sequence["Finding"]) -> None:
    print_table(
        ("question", "answer", "what was seen", "what it decides"),
        [(each.question, each.answer, each.evidence, each.decides) for each in findings],
        empty="Nothing was asked.",
    )


def _tell(line: str) -> None:
    # Beside the table, so that a program that reads it does not see this.
    print(shown_text(line), file=sys.stderr, flush=True)

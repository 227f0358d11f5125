"""`dadm threads verify`: whether transcripts are whole and their conversations hold the same."""

import sys
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dadm.entrypoints.cli.caring import (
    WAIT_SECONDS,
    Caring,
    Wait,
    known_thread,
    with_thread_care,
)
from dadm.entrypoints.cli.failures import REFUSED, UNUSABLE
from dadm.entrypoints.cli.options import AsJson, Database, OfInstance
from dadm.entrypoints.cli.output import counted, print_json, shown_text

if TYPE_CHECKING:
    from dadm.application.care.findings import Finding
    from dadm.application.care.thread_verifying import Verification
    from dadm.domain.thread import Thread

PAGE = 100

FOUND = 1
"""Something is wrong with a thread and was not mended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which threads are verified, and how."""

    thread_ids: Sequence[str]
    instance: str | None
    is_remote: bool
    is_repaired: bool


@dataclass(slots=True)
class Tally:
    """How it stands so far."""

    threads: int = 0
    turns: int = 0
    messages: int = 0
    mended: int = 0
    unmended: "Counter[int]" = field(default_factory=Counter)
    """Threads by the exit code that they alone would give."""
    listed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Give the worst: what is wrong weighs more than what could not be looked at."""
        return next((code for code in (FOUND, UNUSABLE, REFUSED) if self.unmended[code]), 0)

    def take(self, found: "Verification") -> None:
        """Count a thread."""
        self.threads += 1
        self.turns += found.turns
        self.messages += found.messages
        self.mended += found.rebuilt is not None
        self.unmended[exit_code_of_findings(found.unmended)] += 1


def verify_threads(
    thread_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Any ids the threads ever had; all by default."),
    ] = None,
    *,
    remote: Annotated[
        bool,
        typer.Option("--remote", help="Compare with the conversations at the backend, too."),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Rebuild conversations that are lost or differ; means --remote."
        ),
    ] = False,
    instance: OfInstance = None,
    wait: Wait = WAIT_SECONDS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Verify transcripts, and with --remote that conversations hold the same, message by message.

    Turn numbers, keys, and the chain that each completed turn hangs on are checked here, without
    disturbing turns in flight. A conversation is compared while its thread is held, so that no
    turn is in flight; a thread that stays in use is told as busy.

    The exit status is 0 if all is well or was mended, 1 if something is wrong, else 3 if a backend
    could not be reached, else 4 if a thread was busy. What is wrong here is never repaired, and
    nothing is rebuilt from a damaged transcript.
    """
    wanted = Wanted(
        thread_ids=thread_ids or (),
        instance=instance,
        is_remote=remote or repair,
        is_repaired=repair,
    )

    async def verify(caring: Caring) -> Tally:
        tally = Tally()
        async with aclosing(_verified(caring, wanted)) as verified:
            async for found in verified:
                tally.take(found)
                if found.findings or wanted.thread_ids:
                    _tell(found, tally, as_json=as_json)
                _tell_progress(tally)
        return tally

    tally = with_thread_care(verify, database=database, wait=wait)
    if as_json:
        print_json(_document(tally))
    else:
        print(_summary(tally, is_remote=wanted.is_remote))
    if tally.exit_code:
        raise typer.Exit(tally.exit_code)


async def _verified(caring: Caring, wanted: Wanted) -> "AsyncGenerator[Verification, None]":
    from dadm.domain.errors import ThreadErased

    async with aclosing(_threads(caring, wanted)) as threads:
        async for thread in threads:
            try:
                yield await caring.care.verifying.verify(
                    thread, is_remote=wanted.is_remote, is_repaired=wanted.is_repaired
                )
            except ThreadErased:
                # Only who was named is missed; of all others, it was erased since it was listed.
                if wanted.thread_ids:
                    raise


async def _threads(caring: Caring, wanted: Wanted) -> "AsyncGenerator[Thread, None]":
    from dataclasses import replace

    from dadm.domain.thread import ThreadState
    from dadm.ports.store_values import ThreadFilter

    for thread_id in wanted.thread_ids:
        yield await known_thread(caring.store, thread_id)
    if wanted.thread_ids:
        return
    states = frozenset({ThreadState.OPEN, ThreadState.PARKED, ThreadState.CLOSED})
    page_of = ThreadFilter(process_instance_id=wanted.instance, states=states, limit=PAGE)
    while True:
        page = await caring.store.threads(page_of)
        for thread in page:
            yield thread
        if len(page) < PAGE:
            return
        page_of = replace(page_of, before=page[-1].ref)


def exit_code_of_findings(findings: "Sequence[Finding]") -> int:
    """Give the exit code for what is wrong with one thread."""
    from dadm.application.care.findings import FindingKind

    kinds = {each.kind for each in findings}
    if any(not each.is_unsure for each in kinds):
        return FOUND
    if FindingKind.UNREACHABLE in kinds:
        return UNUSABLE
    return REFUSED if kinds else 0


def _tell(found: "Verification", tally: Tally, *, as_json: bool) -> None:
    if as_json:
        tally.listed.append(_verification_json(found))
        return
    thread = found.thread
    print(
        f"{thread.thread_id or thread.key.scope}  {thread.key.assistant}, {counted(found.turns, 'turn')}, "
        f"{_remotely(found)}: {_verdict(found)}"
    )
    for each in found.findings:
        print(shown_text(f"  {each.kind.value}: {each.said}"))
    if found.open_turn is not None:
        turn = found.open_turn
        print(f"  Turn {turn.sequence} is {turn.state.value}: dadm turns show {turn.ref}")
    if found.rebuilt is not None:
        opening = found.rebuilt.opening
        print(
            f"  Rebuilt as {opening.thread_id}, with {counted(opening.copied_messages, 'message')} "
            "of its memory."
        )
    if found.not_rebuilt:
        print(shown_text(f"  Not rebuilt: {found.not_rebuilt}"))


def _remotely(found: "Verification") -> str:
    from dadm.application.care.thread_verifying import RemoteCheck

    match found.remote:
        case RemoteCheck.NOT_ASKED:
            return "looked at here alone"
        case RemoteCheck.COMPARED:
            return f"{counted(found.messages, 'message')} as it should be"
        case RemoteCheck.NOT_COMPARED:
            return "not compared"
        case RemoteCheck.NO_CONVERSATION:
            return "no conversation now"
        case RemoteCheck.KEEPS_NOTHING:
            return "its backend keeps no conversation"


def _verdict(found: "Verification") -> str:
    if found.unmended:
        return {FOUND: "NOT SOUND", UNUSABLE: "unsure", REFUSED: "unsure"}[
            exit_code_of_findings(found.unmended)
        ]
    return "mended" if found.rebuilt else "sound"


def _tell_progress(tally: Tally) -> None:
    if tally.threads % PAGE == 0 and sys.stderr.isatty():
        print(f"{tally.threads} threads verified so far.", file=sys.stderr)


def _summary(tally: Tally, *, is_remote: bool) -> str:
    if not tally.threads:
        return "There are no such threads."
    read = f"{counted(tally.threads, 'thread')} verified with {counted(tally.turns, 'turn')}"
    compared = f", {counted(tally.messages, 'message')} at backends" if is_remote else ""
    said = {
        "mended": tally.mended,
        "not sound": tally.unmended[FOUND],
        "out of reach": tally.unmended[UNUSABLE],
        "busy": tally.unmended[REFUSED],
    }
    told = ", ".join(f"{count} {what}" for what, count in said.items() if count)
    return f"{read}{compared}: {told or 'all sound'}."


def _document(tally: Tally) -> dict[str, Any]:
    return {
        "ok": not tally.exit_code,
        "verified": tally.threads,
        "turns": tally.turns,
        "messages": tally.messages,
        "mended": tally.mended,
        "not_sound": tally.unmended[FOUND],
        "out_of_reach": tally.unmended[UNUSABLE],
        "busy": tally.unmended[REFUSED],
        "threads": tally.listed,
    }


def _verification_json(found: "Verification") -> dict[str, Any]:
    thread = found.thread
    return {
        "thread_id": thread.thread_id,
        "scope": thread.key.scope,
        "assistant_id": thread.key.assistant,
        "state": thread.state.value,
        "ok": not found.unmended,
        "turns": found.turns,
        "remote": found.remote.value,
        "messages": found.messages,
        "open_turn_id": str(found.open_turn.ref) if found.open_turn else None,
        "findings": [
            {
                "kind": each.kind.value,
                "sequence": each.sequence,
                "item_id": each.item_id or None,
                "message": each.said,
            }
            for each in found.findings
        ],
        "rebuilt_as": found.rebuilt.opening.thread_id if found.rebuilt else None,
        "not_rebuilt": found.not_rebuilt or None,
    }

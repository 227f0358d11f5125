"""`dadm turns`: which wait for a person, one with all that happened to it, and a person's decision."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dadm.domain.errors import RequestError, UnknownThread
from dadm.domain.turn import Attempt, Turn, TurnRef, TurnState
from dadm.entrypoints.cli.caring import (
    WAIT_SECONDS,
    Caring,
    Wait,
    known_thread,
    refuse,
    with_thread_care,
)
from dadm.entrypoints.cli.options import AsJson, Database, Limit
from dadm.entrypoints.cli.output import print_facts, print_json, print_table
from dadm.entrypoints.cli.running import Opened, with_database
from dadm.entrypoints.cli.threads import attempt_json, print_turn

if TYPE_CHECKING:
    from dadm.application.care.turn_resolving import Decision, NotResolved, Resolved
    from dadm.application.thread_holding import ThreadBusy
    from dadm.ports.audit import AuditEntry

PAGE = 200

LONGEST_ID = 19
"""Numbers of so many digits are beyond what a database counts to."""

LOOKED_FOR = (TurnState.SUBMITTED, TurnState.UNKNOWN, TurnState.REFUSED)
"""What a person may have to decide about, unless another state is named."""

TurnId = Annotated[
    str, typer.Argument(metavar="TURN", help="The turn_id, as `dadm turns list` names it.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeTurn:
    """A turn with all that is kept about it."""

    turn: Turn
    thread_id: str
    attempts: Sequence[Attempt]
    audit: "Sequence[AuditEntry]"


def list_turns(
    state: Annotated[
        Literal["planned", "submitted", "unknown", "completed", "refused", "abandoned"] | None,
        typer.Option("--state", help="Those in this state; else submitted, unknown and refused."),
    ] = None,
    thread_id: Annotated[
        str | None, typer.Option("--thread", metavar="ID", help="Those of a thread.")
    ] = None,
    limit: Limit = 100,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List turns that have no answer, newest first.

    A submitted turn is under way, or its replica died; the next task of its thread brings it to
    its end. So with an unknown one, whose answer was looked for in vain.
    """
    states = (TurnState(state),) if state else LOOKED_FOR

    async def read(opened: Opened) -> Sequence[Turn]:
        store = opened.threads
        thread = (await known_thread(store, thread_id)).ref if thread_id else None
        return await store.turns_in(states, thread=thread, limit=limit)

    found = with_database(read, database=database)
    if as_json:
        from dadm.entrypoints.openai_service.threads import turn_json

        print_json({"turns": [{**turn_json(each), "scope": each.key.scope} for each in found]})
        return
    print_table(
        ("turn", "state", "scope", "task", "element", "attempts", "since", "reason"),
        [
            (
                str(each.ref),
                each.state.value,
                each.key.scope,
                each.key.task_id,
                each.element_id,
                each.attempts,
                each.created_at,
                each.refusal.reason if each.refusal else "",
            )
            for each in found
        ],
        empty="There are no such turns.",
    )


def show_turn(turn_id: TurnId, database: Database = None, as_json: AsJson = False) -> None:
    """Show a turn: what was asked, each attempt, what came of it, and what happened on the way."""
    whole = with_database(lambda opened: _read(opened, _ref(turn_id)), database=database)
    if as_json:
        print_json(_document(whole))
        return
    print_facts(
        [
            ("turn", turn_id),
            ("thread", whole.thread_id),
            ("scope", whole.turn.key.scope),
            ("element", whole.turn.element_id),
            ("since", whole.turn.created_at),
            ("settled", whole.turn.settled_at),
        ]
    )
    print_turn(whole.turn, whole.attempts)
    print()
    print_table(
        ("at", "action", "detail"),
        [(each.at, each.action.value, each.detail) for each in whole.audit],
        empty="Nothing else happened to it.",
    )


def _ref(turn_id: str) -> TurnRef:
    """Read a turn's id.

    Raises:
        UnknownThread: It is none.
    """
    if not (turn_id.isascii() and turn_id.isdecimal() and len(turn_id) < LONGEST_ID):
        msg = f"There is no turn {turn_id}. See which wait for a person: dadm turns list"
        raise UnknownThread(msg)
    return TurnRef(int(turn_id))


async def _read(opened: Opened, ref: TurnRef) -> WholeTurn:
    store = opened.threads
    turn = await store.find_turn(ref)
    if turn is None:
        msg = f"There is no turn {ref}. See which wait for a person: dadm turns list"
        raise UnknownThread(msg)
    rows: list[AuditEntry] = []
    after = 0
    while True:
        page = await store.audit(turn.thread, after=after, limit=PAGE)
        rows += [each for each in page if each.turn == ref]
        if len(page) < PAGE:
            break
        after = page[-1].position
    generations = await store.generations(turn.thread)
    asked = [each.conversation_id for each in generations if each.number == turn.generation]
    return WholeTurn(
        turn=turn,
        thread_id=asked[0] if asked else "",
        attempts=await store.attempts(ref),
        audit=rows,
    )


def _document(whole: WholeTurn) -> dict[str, Any]:
    from dadm.entrypoints.openai_service.threads import turn_json

    return {
        **turn_json(whole.turn),
        "scope": whole.turn.key.scope,
        "thread_id": whole.thread_id or None,
        "attempt_list": [attempt_json(each) for each in whole.attempts],
        "audit": [
            {"at": each.at.isoformat(), "action": each.action.value, "detail": each.detail}
            for each in whole.audit
        ],
    }


def resolve_turn(
    turn_id: TurnId,
    *,
    decision: Annotated[
        Literal["answered", "resubmit", "abandoned"],
        typer.Option("--as", help="What becomes of the turn."),
    ],
    answer: Annotated[
        str | None,
        typer.Option("--answer", metavar="TEXT", help="Your answer, with --as answered."),
    ] = None,
    answer_file: Annotated[
        Path | None,
        typer.Option("--answer-file", metavar="FILE", help="The same; - reads the input."),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", metavar="TEXT", help="Why, with --as abandoned; it is kept."),
    ] = None,
    wait: Wait = WAIT_SECONDS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Decide about a turn that does not come to its end by itself.

    answered: with --answer or --answer-file, your words become its answer; without, the answer is
    looked for at the backend. For turns that are submitted or unknown.

    resubmit: it is asked again when its task is delivered next. For turns that are submitted or
    unknown; one that was refused is asked again anyway when its task is.

    abandoned: it ends without an answer. For all turns that have no end yet.

    A request that may still be under way can do no harm: the conversation it was sent to is left
    behind, and the thread's next turn gets a new one with its memory.
    """
    given = _decision(decision, answer=answer, answer_file=answer_file, reason=reason)

    async def resolve(caring: Caring) -> "Resolved | NotResolved | ThreadBusy":
        return await caring.care.resolving.resolve(_ref(turn_id), given)

    done = with_thread_care(resolve, database=database, wait=wait)
    from dadm.application.care.turn_resolving import Resolved

    if not isinstance(done, Resolved):
        refuse(done.said)
    if as_json:
        from dadm.entrypoints.openai_service.threads import turn_json

        left = done.retired.conversation_id if done.retired else None
        print_json({**turn_json(done.turn), "conversation_left": left})
        return
    next_step = " It is asked when its task is delivered next." if decision == "resubmit" else ""
    print(f"Turn {turn_id} is {done.turn.state.value}.{next_step}")
    if done.turn.recovered:
        print("Its answer was found at the backend.")
    if done.retired is not None:
        print(
            f"Conversation {done.retired.conversation_id} was left behind; the thread's next turn "
            "gets a new one with its memory."
        )


def _decision(
    decision: str, *, answer: str | None, answer_file: Path | None, reason: str | None
) -> "Decision":
    """Read what the person decided.

    Raises:
        RequestError: What was given does not go together.
    """
    from dadm.application.care.turn_resolving import AsAbandoned, AsAnswered, AsResubmit

    is_worded = answer is not None or answer_file is not None
    if is_worded and (decision != "answered" or (answer is not None and answer_file is not None)):
        msg = "An answer is given once, by --answer or --answer-file, and with --as answered."
        raise RequestError(msg)
    if reason is not None and decision != "abandoned":
        msg = "--reason goes with --as abandoned."
        raise RequestError(msg)
    match decision:
        case "answered":
            words = _words(answer_file) if answer_file else answer
            if words is not None and not words.strip():
                msg = "The answer is empty."
                raise RequestError(msg)
            return AsAnswered(words=words)
        case "resubmit":
            return AsResubmit()
        case _:
            return AsAbandoned(reason=reason or "A person abandoned it.")


def _words(path: Path) -> str:
    """Read an answer from a file, or from the input for `-`.

    Raises:
        RequestError: It cannot be read.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"The answer cannot be read from {path}: {error}"
        raise RequestError(msg) from error
    return text.removesuffix("\n")

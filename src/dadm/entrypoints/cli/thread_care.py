"""`dadm threads rebuild` and `audit`: a new conversation on a person's word, and what happened."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dadm.entrypoints.cli.caring import (
    WAIT_SECONDS,
    Caring,
    ThreadId,
    Wait,
    known_thread,
    refuse,
    with_thread_care,
)
from dadm.entrypoints.cli.options import AsJson, Database
from dadm.entrypoints.cli.output import counted, print_json, print_table
from dadm.entrypoints.cli.running import Opened, with_database

if TYPE_CHECKING:
    from dadm.application.care.thread_rebuilding import Rebuilding
    from dadm.application.thread_holding import ThreadBusy
    from dadm.ports.audit import AuditEntry

PAGE = 200


def rebuild_thread(
    thread_id: ThreadId,
    wait: Wait = WAIT_SECONDS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Give a thread a new conversation with its memory; the old one is left behind.

    Also where many losses in a short time made DADM wait for a person: this is the person's word.
    A turn that was left open is brought to its end first, for its answer may be in the old
    conversation; where that cannot be found out, nothing is changed.
    """
    from dadm.application.care.thread_rebuilding import NotRebuilt
    from dadm.application.thread_holding import ThreadBusy

    async def rebuild(caring: Caring) -> "Rebuilding | ThreadBusy":
        thread = await known_thread(caring.store, thread_id)
        return await caring.care.rebuilding.rebuild(thread.ref)

    done = with_thread_care(rebuild, database=database, wait=wait)
    if isinstance(done, ThreadBusy | NotRebuilt):
        refuse(done.said)
    opening = done.opening
    if as_json:
        print_json(
            {
                "thread_id": opening.thread_id,
                "previous_thread_id": opening.previous_thread_id or None,
                "copied_messages": opening.copied_messages,
            }
        )
        return
    before = f" (was {opening.previous_thread_id})" if opening.previous_thread_id else ""
    copied = counted(opening.copied_messages, "message")
    print(f"The thread is {opening.thread_id} now{before}, with {copied} of its memory.")


def audit_thread(
    thread_id: ThreadId,
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="Only so many of the latest rows.")
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened to a thread beside its plain turns, oldest first.

    Answers given again, found by looking, or refused; turns asked again or decided by a person;
    conversations rebuilt or left behind; erasure. The rows hold ids, counts and a person's
    reasons, never what was asked or answered, and stay when the thread is erased.
    """

    async def read(opened: Opened) -> "Sequence[AuditEntry]":
        thread = await known_thread(opened.threads, thread_id)
        rows: deque[AuditEntry] = deque(maxlen=last)
        after = 0
        while True:
            page = await opened.threads.audit(thread.ref, after=after, limit=PAGE)
            rows += page
            if len(page) < PAGE:
                return rows
            after = page[-1].position

    rows = with_database(read, database=database)
    if as_json:
        print_json(
            {
                "audit": [
                    {
                        "at": each.at.isoformat(),
                        "action": each.action.value,
                        "turn_id": None if each.turn is None else str(each.turn),
                        "detail": each.detail,
                    }
                    for each in rows
                ]
            }
        )
        return
    print_table(
        ("at", "action", "turn", "detail"),
        [(each.at, each.action.value, each.turn, each.detail) for each in rows],
        empty="Nothing happened to this thread beside its turns.",
    )

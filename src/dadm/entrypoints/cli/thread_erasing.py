"""`dadm threads erase`: a thread is deleted here and at its backends, and a receipt stays."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import typer

from dadm.domain.errors import RequestError
from dadm.entrypoints.cli.caring import (
    WAIT_SECONDS,
    Caring,
    ThreadId,
    Wait,
    known_thread,
    refuse,
    with_thread_care,
)
from dadm.entrypoints.cli.failures import UNUSABLE, tell_failure
from dadm.entrypoints.cli.options import AsJson, Database
from dadm.entrypoints.cli.output import counted, print_facts, print_json, shown
from dadm.entrypoints.cli.running import Opened, with_database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dadm.application.care.thread_erasing import Erasing
    from dadm.application.thread_holding import ThreadBusy
    from dadm.domain.thread import Generation, Thread
    from dadm.ports.backend import ErasureReport
    from dadm.ports.erasures import ErasureReceipt

NOT_OURS = (
    "Not DADM's to erase: copies in process variables, in whatever your engine keeps, and in logs "
    "written at level debug."
)


def erase_thread(
    thread_id: ThreadId,
    *,
    is_sure: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    wait: Wait = WAIT_SECONDS,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Erase a thread here and at its backends, for good, and print the receipt.

    An open turn is stopped and abandoned. Where a request was left behind that may still be under
    way, deleting begins one turn limit later, when the command is given again. The same where a
    backend does not answer: the thread takes no more turns, and erasing goes on with the next try.
    An erased thread gives its receipt again; what became known of it since is deleted first.
    """
    from dadm.application.care.thread_erasing import Erased, Postponed, Unfinished
    from dadm.application.thread_holding import ThreadBusy

    if not is_sure:
        _ask_first(thread_id, database)

    async def erase(caring: Caring) -> "Erasing | ThreadBusy":
        thread = await known_thread(caring.store, thread_id)
        return await caring.care.erasing.erase(thread.ref, on_deleted=_tell_deleted)

    done = with_thread_care(erase, database=database, wait=wait)
    match done:
        case Erased(receipt=receipt, late=late):
            _print_receipt(thread_id, receipt, late, as_json=as_json)
        case Postponed(until=until):
            refuse(
                "A request that was left behind may still be under way, so nothing is deleted "
                f"before {shown(until)}. The thread takes no more turns; go on then: "
                f"dadm threads erase {thread_id}"
            )
        case ThreadBusy(said=said):
            refuse(said)
        case Unfinished(reasons=found):
            reasons = "\n".join(f"  {reason}" for reason in found)
            tell_failure(
                f"Not all could be deleted:\n{reasons}\nThe thread takes no more turns; go on when "
                f"that is mended: dadm threads erase {thread_id}"
            )
            raise typer.Exit(UNUSABLE)
        case _:
            assert_never(done)


def _ask_first(thread_id: str, database: str | None) -> None:
    """Let a person confirm, unless the thread is being erased anyway.

    Raises:
        RequestError: Nobody can be asked.
    """
    from dadm.domain.thread import ThreadState

    async def read(opened: Opened) -> "Thread":
        return await known_thread(opened.threads, thread_id)

    thread = with_database(read, database=database)
    if thread.state in {ThreadState.ERASING, ThreadState.ERASED}:
        return
    if not sys.stdin.isatty():
        msg = "Nobody can be asked whether to erase the thread: give --yes."
        raise RequestError(msg)
    typer.confirm(
        f"Erase thread {thread_id} of {thread.key.scope} with {thread.key.assistant}, "
        f"{counted(thread.turn_count, 'turn')}, for good?",
        abort=True,
    )


def _tell_deleted(generation: "Generation", report: "ErasureReport") -> None:
    del report
    print(f"Deleted conversation {generation.conversation_id}.", file=sys.stderr)


def _print_receipt(
    thread_id: str, receipt: "ErasureReceipt", late: "Sequence[str]", *, as_json: bool
) -> None:
    if as_json:
        print_json(_receipt_json(thread_id, receipt) | {"late_conversations": list(late)})
        return
    print_facts(
        [
            ("erased", thread_id),
            ("begun", receipt.begun_at),
            ("ended", receipt.erased_at),
            ("turns", receipt.turns),
            ("conversations", receipt.conversations),
            ("items deleted", receipt.deleted_items),
            ("responses deleted", receipt.deleted_responses),
            ("responses without a known id", receipt.unnamed_responses),
            ("refused by the backend", receipt.unreachable),
        ]
    )
    if late:
        print(f"Became known after that, and deleted now: {', '.join(late)}.")
    if receipt.unnamed_responses:
        print(
            "Responses whose id was never learned are kept for the provider's own term "
            "(OpenAI: 30 days), if their requests arrived at all."
        )
    print(NOT_OURS)


def _receipt_json(thread_id: str, receipt: "ErasureReceipt") -> dict[str, Any]:
    return {
        "thread_id": thread_id,
        "begun_at": receipt.begun_at.isoformat(),
        "erased_at": receipt.erased_at.isoformat(),
        "turns": receipt.turns,
        "conversations": receipt.conversations,
        "deleted_items": receipt.deleted_items,
        "deleted_responses": receipt.deleted_responses,
        "unnamed_responses": receipt.unnamed_responses,
        "unreachable": list(receipt.unreachable),
    }

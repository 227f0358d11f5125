"""`dadm threads`: whose conversations there are, and what was said in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dadm.domain.errors import ThreadErased
from dadm.domain.thread import Generation, Thread, ThreadState
from dadm.domain.turn import Attempt, Turn
from dadm.entrypoints.cli.caring import known_thread
from dadm.entrypoints.cli.options import AsJson, Database, Limit, OfInstance
from dadm.entrypoints.cli.output import print_facts, print_json, print_table, shown_text
from dadm.entrypoints.cli.running import Opened, with_database

if TYPE_CHECKING:
    from dadm.ports.store import ThreadStore

PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeThread:
    """A thread with all that is kept about it."""

    thread: Thread
    generations: Sequence[Generation]
    turns: Sequence[tuple[Turn, Sequence[Attempt]]]


def list_threads(
    *,
    instance: OfInstance = None,
    assistant: Annotated[
        str | None, typer.Option("--assistant", metavar="NAME", help="Those with an assistant.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="ID", help="Those of an engine; http for plain callers."),
    ] = None,
    state: Annotated[
        Literal["open", "parked", "closed", "erasing", "erased"] | None,
        typer.Option("--state", help="Those in this state."),
    ] = None,
    limit: Limit = 100,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List threads, newest first.

    A thread that has no conversation now is listed by the id of its last one.
    """
    from dadm.ports.store_values import ThreadFilter

    wanted = ThreadFilter(
        engine=engine,
        process_instance_id=instance,
        assistant=assistant,
        states=frozenset({ThreadState(state)}) if state else None,
        limit=limit,
    )

    async def read(opened: Opened) -> list[tuple[Thread, str | None]]:
        store = opened.threads
        return [(each, await _last_id(store, each)) for each in await store.threads(wanted)]

    found = with_database(read, database=database)
    if as_json:
        from dadm.entrypoints.openai_service.threads import thread_json

        print_json({"threads": [{**thread_json(each), "last_id": last} for each, last in found]})
        return
    print_table(
        ("thread", "scope", "assistant", "state", "turns", "kept at", "last turn"),
        [
            (
                last,
                each.key.scope,
                each.key.assistant,
                each.state.value,
                each.turn_count,
                each.live.identity.adapter if each.live else "",
                each.last_turn_at,
            )
            for each, last in found
        ],
        empty="There are no such threads.",
    )


async def _last_id(store: "ThreadStore", thread: Thread) -> str | None:
    """Give the id by which the thread is found, None if it never had a conversation."""
    if thread.thread_id is not None:
        return thread.thread_id
    generations = await store.generations(thread.ref)
    return generations[-1].conversation_id if generations else None


def show_thread(
    thread_id: Annotated[str, typer.Argument(metavar="ID", help="Any id the thread ever had.")],
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="Only so many of the latest turns.")
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show a thread: its conversations, and each turn with its prompt, answer and attempts."""
    whole = with_database(lambda opened: _read(opened, thread_id, last), database=database)
    if as_json:
        print_json(_document(whole))
    else:
        _print_thread(whole.thread)
        _print_generations(whole.generations)
        for turn, attempts in whole.turns:
            print_turn(turn, attempts)


async def _read(opened: Opened, thread_id: str, last: int | None) -> WholeThread:
    store = opened.threads
    thread = await known_thread(store, thread_id)
    if thread.state is ThreadState.ERASING:
        msg = f"Thread {thread_id} is being erased; go on with it: dadm threads erase {thread_id}"
        raise ThreadErased(msg)
    if thread.state is ThreadState.ERASED:
        msg = (
            f"Thread {thread_id} was erased; nothing of it is left to be read. Its receipt: "
            f"dadm threads erase {thread_id}"
        )
        raise ThreadErased(msg)
    turns = await _turns(store, thread, after=max(0, thread.turn_count - last) if last else 0)
    return WholeThread(
        thread=thread,
        generations=await store.generations(thread.ref),
        turns=[(turn, await store.attempts(turn.ref)) for turn in turns],
    )


async def _turns(store: "ThreadStore", thread: Thread, *, after: int) -> list[Turn]:
    found: list[Turn] = []
    while True:
        page = await store.turns(thread.ref, after_sequence=after, limit=PAGE)
        found += page
        if len(page) < PAGE:
            return found
        after = page[-1].sequence


def _document(whole: WholeThread) -> dict[str, Any]:
    from dadm.entrypoints.openai_service.threads import thread_json, turn_json

    return {
        **thread_json(whole.thread),
        "generations": [_generation_json(each) for each in whole.generations],
        "turns": [
            {**turn_json(turn), "attempt_list": [attempt_json(each) for each in attempts]}
            for turn, attempts in whole.turns
        ],
    }


def _generation_json(generation: Generation) -> dict[str, Any]:
    return {
        "generation": generation.number,
        "thread_id": generation.conversation_id,
        "state": generation.state.value,
        "reason": generation.reason.value,
        "backend": generation.identity.adapter,
        "address": generation.identity.address or None,
        "account": generation.identity.account or None,
        "opened_from": generation.opened_from,
        "opened_to": generation.opened_to,
        "copied_messages": generation.copied_messages,
        "last_item_id": generation.last_item_id or None,
        "created_at": generation.created_at.isoformat(),
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """Write an attempt with what became of it."""
    return {
        "attempt": attempt.number,
        "generation": attempt.generation,
        "item_before": attempt.item_before or None,
        "response_id": attempt.response_id or None,
        "sent_at": attempt.sent_at.isoformat(),
        "error_code": attempt.error_code or None,
        "error_message": attempt.error_message or None,
    }


def _print_thread(thread: Thread) -> None:
    print_facts(
        [
            ("thread", thread.thread_id),
            ("scope", thread.key.scope),
            ("assistant", thread.key.assistant),
            ("engine", thread.key.engine),
            ("tenant", thread.key.tenant),
            ("state", thread.state.value),
            ("turns", thread.turn_count),
            ("tokens", f"{thread.usage.input_tokens} in, {thread.usage.output_tokens} out"),
            ("created", thread.created_at),
            ("last turn", thread.last_turn_at),
        ]
    )


def _print_generations(generations: Sequence[Generation]) -> None:
    print()
    print_table(
        ("generation", "conversation", "kept at", "state", "reason", "given back", "opened"),
        [
            (
                each.number,
                each.conversation_id,
                " ".join(filter(None, (each.identity.adapter, each.identity.address))),
                each.state.value,
                each.reason.value,
                f"{each.copied_messages} messages",
                each.created_at,
            )
            for each in generations
        ],
        empty="No conversation was opened yet.",
    )


def print_turn(turn: Turn, attempts: Sequence[Attempt]) -> None:
    """Print a turn with its attempts, what was asked, and what came of it."""
    reported = "reported" if turn.is_reported else "not reported"
    recovered = ", recovered" if turn.recovered else ""
    print(
        f"\nTurn {turn.sequence}: {turn.state.value}{recovered}, {reported} "
        f"(task {shown_text(turn.key.task_id)}, generation {turn.generation}, "
        f"assistant version {turn.assistant_version or '-'})"
    )
    for attempt in attempts:
        failed = f", {attempt.error_code}: {attempt.error_message}" if attempt.error_code else ""
        run = f", response {attempt.response_id}" if attempt.response_id else ""
        at = attempt.sent_at.isoformat(timespec="seconds")
        print(shown_text(f"  attempt {attempt.number} at {at}{run}{failed}"))
    print(_quoted("> ", turn.prompt))
    if turn.answer is not None:
        print(_quoted("< ", turn.answer))
    if turn.refusal is not None:
        print(_quoted("! ", f"{turn.refusal.code}: {turn.refusal.reason}"))


def _quoted(mark: str, text: str) -> str:
    lines = shown_text(text).splitlines() or [""]
    return "\n".join(f"  {mark}{line}" for line in lines)

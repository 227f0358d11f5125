"""The tables of threads, turns and transcripts."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from dadm.adapters.stores.tables.columns import (
    CHANGED_IN_PLACE,
    NEVER_REUSED,
    NUMBER,
    count,
    flag,
    instant,
    metadata,
    one_of,
    only_where,
    row_number,
    tokens,
    words,
)
from dadm.domain.thread import GenerationReason, GenerationState, ThreadState
from dadm.domain.turn import TurnState

# A process instance with its engine and tenant, written once for all its threads and turns.
scopes = Table(
    "scopes",
    metadata,
    row_number(),
    words("engine"),
    words("tenant"),
    words("name"),
    UniqueConstraint("engine", "tenant", "name"),
    **NEVER_REUSED,
)

threads = Table(
    "threads",
    metadata,
    row_number(),
    Column("scope", NUMBER, ForeignKey("scopes.id"), nullable=False),
    words("assistant"),
    words("state"),
    count("turn_count"),
    count("exchange_count"),
    count("last_ticket"),
    words("shown", "{}"),
    *tokens(),
    words("lease_owner", ""),
    instant("lease_expires_at", nullable=True),
    count("fence"),
    instant("created_at"),
    instant("last_turn_at", nullable=True),
    one_of("state", ThreadState),
    CheckConstraint("(lease_owner = '') = (lease_expires_at IS NULL)", name="lease"),
    **NEVER_REUSED,
    **CHANGED_IN_PLACE,
)
Index(
    "uq_threads_scope_assistant",
    threads.c.scope,
    threads.c.assistant,
    unique=True,
    **only_where("state <> 'erased'"),
)

generations = Table(
    "generations",
    metadata,
    Column("thread", NUMBER, ForeignKey("threads.id"), nullable=False),
    Column("number", NUMBER, nullable=False),
    words("identity"),
    words("conversation_id"),
    words("state"),
    words("reason"),
    count("opened_from"),
    count("opened_to"),
    count("copied_messages"),
    words("last_item_id", ""),
    instant("created_at"),
    PrimaryKeyConstraint("thread", "number"),
    UniqueConstraint("conversation_id", "identity"),
    one_of("state", GenerationState),
    one_of("reason", GenerationReason),
    CheckConstraint("number > 0", name="number"),
    **CHANGED_IN_PLACE,
)
Index(
    "uq_generations_live",
    generations.c.thread,
    unique=True,
    **only_where("state = 'live'"),
)

turns = Table(
    "turns",
    metadata,
    row_number(),
    Column("thread", NUMBER, ForeignKey("threads.id"), nullable=False),
    Column("scope", NUMBER, ForeignKey("scopes.id"), nullable=False),
    words("task_id"),
    words("state"),
    count("sequence"),
    Column("ticket", NUMBER, nullable=False),
    # NULL once the place was given up.
    instant("ticket_expires_at", nullable=True),
    # Of the lease under which the latest decision was made, so that a repeated one is recognised.
    count("fence"),
    words("content_digest"),
    words("element_id"),
    words("process_definition"),
    words("assistant_version", ""),
    Column("answer_schema", Text),
    Column("refusal_code", Text),
    Column("refusal_reason", Text),
    *tokens(),
    count("generation"),
    count("attempts"),
    flag("recovered"),
    flag("reported"),
    instant("created_at"),
    instant("settled_at", nullable=True),
    UniqueConstraint("scope", "task_id"),
    one_of("state", TurnState),
    CheckConstraint(
        "sequence > 0 OR state NOT IN ('submitted', 'unknown', 'completed')", name="sequence"
    ),
    CheckConstraint(
        "(settled_at IS NOT NULL) = (state IN ('completed', 'refused', 'abandoned'))",
        name="settled",
    ),
    CheckConstraint("(refusal_code IS NOT NULL) = (state = 'refused')", name="refusal"),
    CheckConstraint("NOT reported OR settled_at IS NOT NULL", name="reported"),
    **NEVER_REUSED,
    **CHANGED_IN_PLACE,
)
Index(
    "uq_turns_thread_sequence",
    turns.c.thread,
    turns.c.sequence,
    unique=True,
    **only_where("sequence > 0"),
)
Index(
    "uq_turns_open",
    turns.c.thread,
    unique=True,
    **only_where("state IN ('submitted', 'unknown')"),
)
Index(
    "uq_turns_ticket",
    turns.c.thread,
    turns.c.ticket,
    unique=True,
    **only_where("state = 'planned'"),
)

attempts = Table(
    "attempts",
    metadata,
    row_number(),
    Column("turn", NUMBER, ForeignKey("turns.id"), nullable=False),
    Column("number", NUMBER, nullable=False),
    Column("thread", NUMBER, nullable=False),
    Column("generation", NUMBER, nullable=False),
    words("item_before"),
    words("shown"),
    instant("sent_at"),
    words("response_id", ""),
    words("error_code", ""),
    words("error_message", ""),
    UniqueConstraint("turn", "number"),
    # What is asked on a thread goes to a conversation of that thread, or nowhere.
    ForeignKeyConstraint(["thread", "generation"], ["generations.thread", "generations.number"]),
    CheckConstraint("number > 0", name="number"),
    **NEVER_REUSED,
    **CHANGED_IN_PLACE,
)

# Texts are written once and never again, whatever becomes of their turn: a table of their own
# keeps them out of the rows that change, and its key says that a turn has one of each.
prompts = Table(
    "prompts",
    metadata,
    Column("turn", NUMBER, ForeignKey("turns.id"), primary_key=True, autoincrement=False),
    words("text"),
)
answers = Table(
    "answers",
    metadata,
    Column("turn", NUMBER, ForeignKey("turns.id"), primary_key=True, autoincrement=False),
    words("text"),
)

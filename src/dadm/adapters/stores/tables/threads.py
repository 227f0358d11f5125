"""The tables of threads, turns and transcripts."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from dadm.adapters.stores.tables.columns import (
    NEVER_REUSED,
    NUMBER,
    count,
    digest,
    flag,
    instant,
    metadata,
    one_of,
    only_where,
    row_number,
    total,
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
    # No thread begins in it any more.
    instant("ended_at", nullable=True),
    UniqueConstraint("engine", "tenant", "name"),
    **NEVER_REUSED,
)
# Other databases order names by their characters anyway.
Index(
    "ix_scopes_within",
    scopes.c.engine,
    scopes.c.tenant,
    scopes.c.name,
    postgresql_ops={"name": "text_pattern_ops"},
    postgresql_where=text("ended_at IS NULL AND name LIKE 'element:%'"),
).ddl_if(dialect="postgresql")

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
    total("input_tokens"),
    total("output_tokens"),
    total("cached_tokens"),
    words("lease_owner", ""),
    instant("lease_expires_at", nullable=True),
    count("fence"),
    instant("created_at"),
    instant("last_turn_at", nullable=True),
    # The latest link of its answers.
    digest("chain"),
    instant("closed_at", nullable=True),
    # Since when nothing of the closed thread is left at its backends.
    instant("cleared_at", nullable=True),
    one_of("state", ThreadState),
    CheckConstraint("(lease_owner = '') = (lease_expires_at IS NULL)", name="lease"),
    **NEVER_REUSED,
)
Index(
    "uq_threads_scope_assistant",
    threads.c.scope,
    threads.c.assistant,
    unique=True,
    **only_where("state <> 'erased'"),
)
Index(
    "ix_threads_closed",
    threads.c.cleared_at,
    threads.c.closed_at,
    **only_where("state = 'closed'"),
)

generations = Table(
    "generations",
    metadata,
    Column("thread", NUMBER, ForeignKey("threads.id"), nullable=False),
    Column("number", Integer, nullable=False),
    words("identity"),
    words("conversation_id"),
    words("state"),
    words("reason"),
    count("opened_from"),
    count("opened_to"),
    count("copied_messages"),
    words("last_item_id", ""),
    instant("created_at"),
    # NULL for those that an older program retired.
    instant("retired_at", nullable=True),
    PrimaryKeyConstraint("thread", "number"),
    UniqueConstraint("conversation_id", "identity"),
    one_of("state", GenerationState),
    one_of("reason", GenerationReason),
    CheckConstraint("number > 0", name="number"),
)
Index(
    "uq_generations_live",
    generations.c.thread,
    unique=True,
    **only_where("state = 'live'"),
)
Index("ix_generations_retired", generations.c.retired_at, **only_where("state = 'retired'"))
Index("ix_generations_lost", generations.c.created_at, **only_where("reason = 'lost'"))

# Fixed widths first: PostgreSQL pads them wherever they come behind a text.
turns = Table(
    "turns",
    metadata,
    row_number(),
    Column("thread", NUMBER, ForeignKey("threads.id"), nullable=False),
    Column("scope", NUMBER, ForeignKey("scopes.id"), nullable=False),
    instant("created_at"),
    instant("settled_at", nullable=True),
    # NULL once the place was given up, or the turn has its end.
    instant("ticket_expires_at", nullable=True),
    Column("ticket", Integer, nullable=False),
    count("sequence"),
    # Of the lease under which the latest decision was made, so that a repeated one is recognised.
    count("fence"),
    count("generation"),
    count("attempts"),
    count("input_tokens"),
    count("output_tokens"),
    count("cached_tokens"),
    flag("recovered"),
    flag("reported"),
    words("state"),
    words("task_id"),
    words("content_digest"),
    words("element_id"),
    words("process_definition"),
    words("assistant_version", ""),
    Column("answer_schema", Text),
    Column("refusal_code", Text),
    Column("refusal_reason", Text),
    UniqueConstraint("scope", "task_id"),
    one_of("state", TurnState),
    CheckConstraint(
        "sequence > 0 OR state NOT IN ('submitted', 'unknown', 'completed')", name="sequence"
    ),
    CheckConstraint(
        "(settled_at IS NOT NULL) = (state IN ('completed', 'refused', 'abandoned'))",
        name="settled",
    ),
    CheckConstraint(
        "(refusal_code IS NOT NULL) = (state IN ('refused', 'abandoned'))", name="refusal"
    ),
    CheckConstraint("NOT reported OR settled_at IS NOT NULL", name="reported"),
    **NEVER_REUSED,
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

# A row per submission, with what was asked; never changed but to say why it gave no answer.
attempts = Table(
    "attempts",
    metadata,
    Column("turn", NUMBER, ForeignKey("turns.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("thread", NUMBER, nullable=False),
    Column("generation", Integer, nullable=False),
    words("item_before"),
    words("shown"),
    instant("sent_at"),
    words("error_code", ""),
    words("error_message", ""),
    words("prompt"),
    PrimaryKeyConstraint("turn", "number"),
    # What is asked on a thread goes to a conversation of that thread, or nowhere.
    ForeignKeyConstraint(["thread", "generation"], ["generations.thread", "generations.number"]),
    CheckConstraint("number BETWEEN 1 AND 1048575", name="number"),
)

# Apart from the attempts, because a row is written whole whenever a part of it changes, and
# theirs hold texts; the key says that the first name recorded stays.
responses = Table(
    "responses",
    metadata,
    Column("turn", NUMBER, nullable=False),
    Column("number", Integer, nullable=False),
    words("response_id"),
    PrimaryKeyConstraint("turn", "number"),
    ForeignKeyConstraint(["turn", "number"], ["attempts.turn", "attempts.number"]),
)

# One to a turn, written once: a turn has one answer, and that never changes.
answers = Table(
    "answers",
    metadata,
    Column("turn", NUMBER, ForeignKey("turns.id"), primary_key=True, autoincrement=False),
    words("text"),
    # Its place in the thread's chain; NULL where an older program wrote the answer.
    digest("link"),
)

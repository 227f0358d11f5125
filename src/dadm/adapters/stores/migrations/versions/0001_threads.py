"""The tables of threads, turns and transcripts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Integer(), "sqlite")
NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}


def row_number() -> sa.Column[int]:
    return sa.Column("id", NUMBER, sa.Identity(), primary_key=True)


def reference(name: str) -> sa.Column[int]:
    return sa.Column(name, NUMBER, autoincrement=False, nullable=False)


def number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0"))


def total(name: str) -> sa.Column[int]:
    return sa.Column(name, NUMBER, nullable=False, server_default=sa.text("0"))


def words(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, INSTANT, nullable=nullable)


def unique(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=True, sqlite_where=condition, postgresql_where=condition
    )


def upgrade() -> None:
    """Create the tables, those that others refer to first."""
    create_scopes()
    create_threads()
    create_generations()
    create_turns()
    create_attempts()
    create_answers()


def create_scopes() -> None:
    op.create_table(
        "scopes",
        row_number(),
        words("engine"),
        words("tenant"),
        words("name"),
        sa.PrimaryKeyConstraint("id", name="pk_scopes"),
        sa.UniqueConstraint("engine", "tenant", "name", name="uq_scopes_engine_tenant_name"),
        **NEVER_REUSED,
    )


def create_threads() -> None:
    op.create_table(
        "threads",
        row_number(),
        reference("scope"),
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
        sa.PrimaryKeyConstraint("id", name="pk_threads"),
        sa.ForeignKeyConstraint(["scope"], ["scopes.id"], name="fk_threads_scope"),
        sa.CheckConstraint(
            "state IN ('open', 'parked', 'closed', 'erasing', 'erased')", name="ck_threads_state"
        ),
        sa.CheckConstraint(
            "(lease_owner = '') = (lease_expires_at IS NULL)", name="ck_threads_lease"
        ),
        **NEVER_REUSED,
    )
    unique("uq_threads_scope_assistant", "threads", ["scope", "assistant"], "state <> 'erased'")


def create_generations() -> None:
    op.create_table(
        "generations",
        reference("thread"),
        number("number"),
        words("identity"),
        words("conversation_id"),
        words("state"),
        words("reason"),
        count("opened_from"),
        count("opened_to"),
        count("copied_messages"),
        words("last_item_id", ""),
        instant("created_at"),
        sa.PrimaryKeyConstraint("thread", "number", name="pk_generations"),
        sa.ForeignKeyConstraint(["thread"], ["threads.id"], name="fk_generations_thread"),
        sa.UniqueConstraint(
            "conversation_id", "identity", name="uq_generations_conversation_id_identity"
        ),
        sa.CheckConstraint(
            "state IN ('building', 'live', 'retired', 'erased')", name="ck_generations_state"
        ),
        sa.CheckConstraint(
            "reason IN ('first', 'lost', 'fenced', 'ended', 'backend_changed', 'unparked')",
            name="ck_generations_reason",
        ),
        sa.CheckConstraint("number > 0", name="ck_generations_number"),
    )
    unique("uq_generations_live", "generations", ["thread"], "state = 'live'")


def create_turns() -> None:
    op.create_table(
        "turns",
        row_number(),
        reference("thread"),
        reference("scope"),
        instant("created_at"),
        instant("settled_at", nullable=True),
        instant("ticket_expires_at", nullable=True),
        number("ticket"),
        count("sequence"),
        count("fence"),
        count("generation"),
        count("attempts"),
        count("input_tokens"),
        count("output_tokens"),
        count("cached_tokens"),
        sa.Column("recovered", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("reported", sa.Boolean, nullable=False, server_default=sa.text("false")),
        words("state"),
        words("task_id"),
        words("content_digest"),
        words("element_id"),
        words("process_definition"),
        words("assistant_version", ""),
        sa.Column("answer_schema", sa.Text),
        sa.Column("refusal_code", sa.Text),
        sa.Column("refusal_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        sa.ForeignKeyConstraint(["thread"], ["threads.id"], name="fk_turns_thread"),
        sa.ForeignKeyConstraint(["scope"], ["scopes.id"], name="fk_turns_scope"),
        sa.UniqueConstraint("scope", "task_id", name="uq_turns_scope_task_id"),
        *checks_of_turns(),
        **NEVER_REUSED,
    )
    unique("uq_turns_thread_sequence", "turns", ["thread", "sequence"], "sequence > 0")
    unique("uq_turns_open", "turns", ["thread"], "state IN ('submitted', 'unknown')")
    unique("uq_turns_ticket", "turns", ["thread", "ticket"], "state = 'planned'")


def checks_of_turns() -> tuple[sa.CheckConstraint, ...]:
    conditions = {
        "state": "state IN ('planned', 'submitted', 'unknown', 'completed', 'refused', "
        "'abandoned')",
        "sequence": "sequence > 0 OR state NOT IN ('submitted', 'unknown', 'completed')",
        "settled": "(settled_at IS NOT NULL) = (state IN ('completed', 'refused', 'abandoned'))",
        "refusal": "(refusal_code IS NOT NULL) = (state = 'refused')",
        "reported": "NOT reported OR settled_at IS NOT NULL",
    }
    return tuple(
        sa.CheckConstraint(condition, name=f"ck_turns_{name}")
        for name, condition in conditions.items()
    )


def create_attempts() -> None:
    op.create_table(
        "attempts",
        reference("turn"),
        number("number"),
        reference("thread"),
        number("generation"),
        words("item_before"),
        words("shown"),
        instant("sent_at"),
        words("error_code", ""),
        words("error_message", ""),
        words("prompt"),
        sa.PrimaryKeyConstraint("turn", "number", name="pk_attempts"),
        sa.ForeignKeyConstraint(["turn"], ["turns.id"], name="fk_attempts_turn"),
        sa.ForeignKeyConstraint(
            ["thread", "generation"],
            ["generations.thread", "generations.number"],
            name="fk_attempts_thread_generation",
        ),
        sa.CheckConstraint("number BETWEEN 1 AND 1048575", name="ck_attempts_number"),
    )
    op.create_table(
        "responses",
        reference("turn"),
        number("number"),
        words("response_id"),
        sa.PrimaryKeyConstraint("turn", "number", name="pk_responses"),
        sa.ForeignKeyConstraint(
            ["turn", "number"],
            ["attempts.turn", "attempts.number"],
            name="fk_responses_turn_number",
        ),
    )


def create_answers() -> None:
    op.create_table(
        "answers",
        reference("turn"),
        words("text"),
        sa.PrimaryKeyConstraint("turn", name="pk_answers"),
        sa.ForeignKeyConstraint(["turn"], ["turns.id"], name="fk_answers_turn"),
    )

"""The chain of answers, audit rows and erasures; turns that were abandoned say why."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Integer(), "sqlite")
NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}
NOW = {
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER) * 1000000",
    "postgresql": "clock_timestamp()",
}

REASONS = "'first', 'lost', 'fenced', 'ended', 'backend_changed', 'unparked'"
CHECKS = {
    "generations": (
        "ck_generations_reason",
        f"reason IN ({REASONS})",
        f"reason IN ({REASONS}, 'shortened', 'requested')",
    ),
    "turns": (
        "ck_turns_refusal",
        "(refusal_code IS NOT NULL) = (state = 'refused')",
        "(refusal_code IS NOT NULL) = (state IN ('refused', 'abandoned'))",
    ),
}
ACTIONS = (
    "action IN ('replayed', 'recovered', 'asked_again', 'refused', 'abandoned', 'resolved', "
    "'rebuilt', 'fenced', 'cancelled', 'foreign_items', 'erasure_begun', 'erased')"
)

IN_ORDER = (
    "thread_rows_2",
    "turn_rows_2",
    "claimed_2",
    "claim_2",
    "submit_2",
    "settle_2",
    "replan_2",
    "grant_thread_1",
    "lease_thread_2",
    "lease_known_thread_1",
    "note_conversation_2",
    "change_generation_2",
    "begin_erasure_1",
    "note_erased_1",
    "finish_erasure_1",
)


def reference(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, NUMBER, autoincrement=False, nullable=nullable)


def count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=sa.text("0"))


def words(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, INSTANT, nullable=nullable)


def digest(table: str, name: str) -> sa.Column[bytes]:
    check = sa.CheckConstraint(f"length({name}) = 32", name=f"ck_{table}_{name}")
    return sa.Column(name, sa.LargeBinary, check)


def index(name: str, table: str, columns: list[str], where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    """Widen what there is, add the new tables, then PostgreSQL's functions over them."""
    for table, (name, before, after) in CHECKS.items():
        if op.get_bind().dialect.name == "sqlite":
            change_check_by_copy(table, before, after)
        else:
            op.drop_constraint(name, table)
            op.create_check_constraint(name, table, after)
    op.add_column("threads", digest("threads", "chain"))
    op.add_column("answers", digest("answers", "link"))
    add_retirement()
    create_audit_entries()
    create_erasures()
    if op.get_bind().dialect.name == "postgresql":
        create_functions()


def change_check_by_copy(table: str, before: str, after: str) -> None:
    """Give a table of SQLite, which can change no constraint, to a copy that has another one.

    The caller has switched foreign keys off, so that what refers to the table stays.
    """
    run = op.get_bind().exec_driver_sql
    described = run("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).scalar_one()
    indexes = "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type = 'index' AND sql <> ''"
    statements = list(run(indexes, (table,)).scalars())
    start, columns = f"CREATE TABLE {table} ", described.partition(" (")[2]
    if not described.startswith(start) or columns.count(before) != 1:
        message = f"the table {table} is not as an earlier revision has made it"
        raise ValueError(message)
    run(f"CREATE TABLE {table}_copied ({columns.replace(before, after)}")
    run(f"INSERT INTO {table}_copied SELECT * FROM {table}")  # noqa: S608
    run(f"DROP TABLE {table}")
    run(f"ALTER TABLE {table}_copied RENAME TO {table}")
    for statement in statements:
        run(statement)


def add_retirement() -> None:
    op.add_column("generations", instant("retired_at", nullable=True))
    now = NOW[op.get_bind().dialect.name]
    op.execute(f"UPDATE generations SET retired_at = {now} WHERE state = 'retired'")  # noqa: S608
    index("ix_generations_retired", "generations", ["retired_at"], "state = 'retired'")
    index("ix_generations_lost", "generations", ["created_at"], "reason = 'lost'")


def create_audit_entries() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("position", NUMBER, sa.Identity(), primary_key=True),
        reference("thread"),
        reference("turn", nullable=True),
        instant("at"),
        words("action"),
        words("detail"),
        sa.PrimaryKeyConstraint("position", name="pk_audit_entries"),
        sa.ForeignKeyConstraint(["thread"], ["threads.id"], name="fk_audit_entries_thread"),
        sa.CheckConstraint(ACTIONS, name="ck_audit_entries_action"),
        **NEVER_REUSED,
    )
    index("ix_audit_entries_thread_position", "audit_entries", ["thread", "position"])


def create_erasures() -> None:
    op.create_table(
        "erased_conversations",
        reference("thread"),
        sa.Column("number", sa.Integer, nullable=False),
        count("deleted_items"),
        count("deleted_responses"),
        words("unreachable"),
        sa.PrimaryKeyConstraint("thread", "number", name="pk_erased_conversations"),
        sa.ForeignKeyConstraint(
            ["thread", "number"],
            ["generations.thread", "generations.number"],
            name="fk_erased_conversations_thread_number",
        ),
    )
    op.create_table(
        "erasures",
        reference("thread"),
        instant("begun_at"),
        instant("erased_at", nullable=True),
        count("turns"),
        count("conversations"),
        count("deleted_items"),
        count("deleted_responses"),
        count("unnamed_responses"),
        words("unreachable", "[]"),
        sa.PrimaryKeyConstraint("thread", name="pk_erasures"),
        sa.ForeignKeyConstraint(["thread"], ["threads.id"], name="fk_erasures_thread"),
        sa.CheckConstraint("erased_at >= begun_at", name="ck_erasures_erased_at"),
    )


def create_functions() -> None:
    folder = Path(__file__).parent.parent / "postgres"
    for name in IN_ORDER:
        source = (folder / f"{name}.sql").read_text(encoding="utf-8")
        op.get_bind().exec_driver_sql(source)

"""When scopes ended and threads were closed and cleared; jobs that one replica does for all."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Integer(), "sqlite")
NOW = {
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER) * 1000000",
    "postgresql": "clock_timestamp()",
}
ACTIONS_BEFORE = (
    "action IN ('replayed', 'recovered', 'asked_again', 'refused', 'abandoned', 'resolved', "
    "'rebuilt', 'fenced', 'cancelled', 'foreign_items', 'erasure_begun', 'erased')"
)
ACTIONS = (
    "action IN ('replayed', 'recovered', 'asked_again', 'refused', 'abandoned', 'resolved', "
    "'rebuilt', 'fenced', 'cancelled', 'foreign_items', 'closed', 'cleared', 'parked', "
    "'erasure_begun', 'erased')"
)
IN_ORDER = (
    "refuse_ended_scope_1",
    "close_scope_1",
    "note_conversation_3",
    "note_cleared_1",
    "park_1",
)


def instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, INSTANT, nullable=nullable)


def words(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def upgrade() -> None:
    """Add columns, allow new audit rows, add the jobs, then PostgreSQL's functions."""
    if op.get_bind().dialect.name == "sqlite":
        allow_actions_by_copy()
    else:
        op.drop_constraint("ck_audit_entries_action", "audit_entries")
        op.create_check_constraint("ck_audit_entries_action", "audit_entries", ACTIONS)
    op.add_column("scopes", instant("ended_at", nullable=True))
    op.add_column("threads", instant("closed_at", nullable=True))
    op.add_column("threads", instant("cleared_at", nullable=True))
    note_ends_of_before()
    closed = sa.text("state = 'closed'")
    op.create_index(
        "ix_threads_closed",
        "threads",
        ["cleared_at", "closed_at"],
        sqlite_where=closed,
        postgresql_where=closed,
    )
    op.create_table(
        "jobs",
        words("name"),
        words("subject"),
        words("owner"),
        instant("until"),
        sa.Column("position", NUMBER, nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("name", "subject", name="pk_jobs"),
    )
    if op.get_bind().dialect.name == "postgresql":
        create_functions()


def note_ends_of_before() -> None:
    """Take the ends that were noted without a time for ends of now."""
    now = NOW[op.get_bind().dialect.name]
    op.execute(f"UPDATE threads SET closed_at = {now} WHERE state = 'closed'")  # noqa: S608
    op.execute(
        f"UPDATE scopes SET ended_at = {now}"  # noqa: S608
        " WHERE id IN (SELECT scope FROM threads WHERE state = 'closed')"
    )


def allow_actions_by_copy() -> None:
    """Give the audit rows to a copy with another constraint: SQLite can change none.

    The caller has switched foreign keys off.
    """
    run = op.get_bind().exec_driver_sql
    described = run(
        "SELECT sql FROM sqlite_schema WHERE name = 'audit_entries' AND type = 'table'"
    ).scalar_one()
    indexes = (
        "SELECT sql FROM sqlite_schema"
        " WHERE tbl_name = 'audit_entries' AND type = 'index' AND sql <> ''"
    )
    statements = list(run(indexes).scalars())
    columns = described.partition(" (")[2]
    if columns.count(ACTIONS_BEFORE) != 1:
        message = "the table audit_entries is not as an earlier revision has made it"
        raise ValueError(message)
    run(f"CREATE TABLE audit_entries_copied ({columns.replace(ACTIONS_BEFORE, ACTIONS)}")
    run("INSERT INTO audit_entries_copied SELECT * FROM audit_entries")
    run("DROP TABLE audit_entries")
    run("ALTER TABLE audit_entries_copied RENAME TO audit_entries")
    for statement in statements:
        run(statement)


def create_functions() -> None:
    folder = Path(__file__).parent.parent / "postgres"
    for name in IN_ORDER:
        source = (folder / f"{name}.sql").read_text(encoding="utf-8")
        op.get_bind().exec_driver_sql(source)
    op.execute(
        "CREATE TRIGGER refuse_ended_scope BEFORE INSERT ON threads"
        " FOR EACH ROW EXECUTE FUNCTION refuse_ended_scope_1()"
    )

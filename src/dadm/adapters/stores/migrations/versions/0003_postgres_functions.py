"""What PostgreSQL does in one statement per step of the turn protocol."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

# Each changes only by a new number, so that replicas of two versions can work side by side.
IN_ORDER = (
    "thread_rows_1",
    "turn_rows_1",
    "attempt_rows_1",
    "claimed_1",
    "open_thread_1",
    "refuse_unusable_1",
    "claim_1",
    "submit_1",
    "settle_1",
    "set_aside_1",
    "replan_1",
    "lease_thread_1",
    "note_conversation_1",
    "change_generation_1",
)


def upgrade() -> None:
    """Create views, a type and functions; SQLite needs none of them."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    folder = Path(__file__).parent.parent / "postgres"
    for name in IN_ORDER:
        connection.exec_driver_sql((folder / f"{name}.sql").read_text(encoding="utf-8"))

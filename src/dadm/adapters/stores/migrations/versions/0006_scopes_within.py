"""How the scopes within a process instance are found when it ends."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add an index by the beginnings of names; SQLite's own by names serves for that already."""
    if op.get_bind().dialect.name == "postgresql":
        op.create_index(
            "ix_scopes_within",
            "scopes",
            ["engine", "tenant", "name"],
            postgresql_ops={"name": "text_pattern_ops"},
            postgresql_where=sa.text("ended_at IS NULL AND name LIKE 'element:%'"),
        )

"""The tables of the embedded engine's processes."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Integer(), "sqlite")
NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}
STATES = "state IN ('active', 'completed', 'cancelled')"


def position() -> sa.Column[int]:
    return sa.Column("position", NUMBER, sa.Identity(), primary_key=True)


def number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=nullable)


def words(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, INSTANT, nullable=nullable)


def of_instance(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["instance_id"], ["process_instances.instance_id"], name=f"fk_{table}_instance_id"
    )


def index(name: str, table: str, columns: list[Any], where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    """Create the tables, those that others refer to first."""
    create_definitions()
    create_instances()
    create_waiting_tasks()
    create_user_tasks()
    create_message_waits()
    create_incidents()
    create_ended_instances()


def create_definitions() -> None:
    op.create_table(
        "process_definitions",
        words("definition_id"),
        words("key"),
        words("tenant"),
        number("version"),
        words("name"),
        words("resource_name"),
        words("digest"),
        sa.Column("source", sa.LargeBinary, nullable=False),
        instant("deployed_at"),
        sa.PrimaryKeyConstraint("definition_id", name="pk_process_definitions"),
        sa.UniqueConstraint(
            "key", "tenant", "version", name="uq_process_definitions_key_tenant_version"
        ),
    )


def create_instances() -> None:
    op.create_table(
        "process_instances",
        position(),
        words("instance_id"),
        words("definition_id"),
        words("definition_key"),
        words("business_key"),
        words("tenant"),
        words("state"),
        number("revision"),
        words("document"),
        words("parent_id"),
        words("parent_task"),
        words("root_id"),
        instant("started_at"),
        instant("ended_at", nullable=True),
        instant("due_at", nullable=True),
        sa.PrimaryKeyConstraint("position", name="pk_process_instances"),
        sa.ForeignKeyConstraint(
            ["definition_id"],
            ["process_definitions.definition_id"],
            name="fk_process_instances_definition_id",
        ),
        sa.UniqueConstraint("instance_id", name="uq_process_instances_instance_id"),
        sa.CheckConstraint(STATES, name="ck_process_instances_state"),
        **NEVER_REUSED,
    )
    table = "process_instances"
    index("ix_process_instances_parent_id", table, ["parent_id"], "parent_id <> ''")
    due = "state = 'active' AND due_at IS NOT NULL"
    index("ix_process_instances_due_at", table, ["due_at"], due)
    index("ix_process_instances_active", table, ["definition_id"], "state = 'active'")


def create_waiting_tasks() -> None:
    op.create_table(
        "waiting_tasks",
        position(),
        words("task_id"),
        words("instance_id"),
        words("element_id"),
        words("topic"),
        words("definition_key"),
        words("tenant"),
        number("priority"),
        number("retries", nullable=True),
        instant("available_at"),
        words("worker", ""),
        instant("lease_expires_at", nullable=True),
        words("payload"),
        sa.PrimaryKeyConstraint("position", name="pk_waiting_tasks"),
        of_instance("waiting_tasks"),
        sa.UniqueConstraint("task_id", name="uq_waiting_tasks_task_id"),
        **NEVER_REUSED,
    )
    index("ix_waiting_tasks_instance_id", "waiting_tasks", ["instance_id"])
    line = ["topic", sa.column("priority").desc(), "position"]
    index("ix_waiting_tasks_line", "waiting_tasks", line)


def create_user_tasks() -> None:
    op.create_table(
        "user_tasks",
        position(),
        words("task_id"),
        words("instance_id"),
        words("element_id"),
        words("name"),
        words("documentation"),
        instant("created_at"),
        sa.PrimaryKeyConstraint("position", name="pk_user_tasks"),
        of_instance("user_tasks"),
        sa.UniqueConstraint("task_id", name="uq_user_tasks_task_id"),
        **NEVER_REUSED,
    )
    index("ix_user_tasks_instance_id", "user_tasks", ["instance_id"])


def create_message_waits() -> None:
    op.create_table(
        "message_waits",
        position(),
        words("instance_id"),
        words("name"),
        sa.PrimaryKeyConstraint("position", name="pk_message_waits"),
        of_instance("message_waits"),
        sa.UniqueConstraint("instance_id", "name", name="uq_message_waits_instance_id_name"),
        **NEVER_REUSED,
    )
    index("ix_message_waits_name", "message_waits", ["name"])


def create_incidents() -> None:
    op.create_table(
        "incidents",
        position(),
        words("incident_id"),
        words("instance_id"),
        words("element_id"),
        words("task_id"),
        words("message"),
        words("details"),
        instant("created_at"),
        sa.PrimaryKeyConstraint("position", name="pk_incidents"),
        of_instance("incidents"),
        sa.UniqueConstraint("incident_id", name="uq_incidents_incident_id"),
        **NEVER_REUSED,
    )
    index("ix_incidents_instance_id", "incidents", ["instance_id"])


def create_ended_instances() -> None:
    op.create_table(
        "ended_instances",
        position(),
        words("instance_id"),
        words("tenant"),
        words("state"),
        instant("ended_at"),
        sa.PrimaryKeyConstraint("position", name="pk_ended_instances"),
        sa.UniqueConstraint("instance_id", name="uq_ended_instances_instance_id"),
        sa.CheckConstraint(STATES, name="ck_ended_instances_state"),
        **NEVER_REUSED,
    )

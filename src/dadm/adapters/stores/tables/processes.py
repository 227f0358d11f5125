"""The tables of the embedded engine's processes."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from dadm.adapters.stores.tables.columns import (
    NEVER_REUSED,
    instant,
    metadata,
    one_of,
    only_where,
    row_number,
    words,
)
from dadm.ports.engine import InstanceState

process_definitions = Table(
    "process_definitions",
    metadata,
    Column("definition_id", Text, primary_key=True),
    words("key"),
    words("tenant"),
    Column("version", Integer, nullable=False),
    words("name"),
    words("resource_name"),
    words("digest"),
    Column("source", LargeBinary, nullable=False),
    instant("deployed_at"),
    UniqueConstraint("key", "tenant", "version"),
)

process_instances = Table(
    "process_instances",
    metadata,
    row_number("position"),
    words("instance_id"),
    Column("definition_id", Text, ForeignKey("process_definitions.definition_id"), nullable=False),
    words("definition_key"),
    words("business_key"),
    words("tenant"),
    words("state"),
    Column("revision", Integer, nullable=False),
    words("document"),
    words("parent_id"),
    words("parent_task"),
    words("root_id"),
    instant("started_at"),
    instant("ended_at", nullable=True),
    instant("due_at", nullable=True),
    UniqueConstraint("instance_id"),
    one_of("state", InstanceState),
    **NEVER_REUSED,
)
Index(
    "ix_process_instances_parent_id",
    process_instances.c.parent_id,
    **only_where("parent_id <> ''"),
)
Index(
    "ix_process_instances_due_at",
    process_instances.c.due_at,
    **only_where("state = 'active' AND due_at IS NOT NULL"),
)
Index(
    "ix_process_instances_active",
    process_instances.c.definition_id,
    **only_where("state = 'active'"),
)


def of_instance() -> Column[str]:
    """Hang a row on its process instance."""
    return Column("instance_id", Text, ForeignKey("process_instances.instance_id"), nullable=False)


waiting_tasks = Table(
    "waiting_tasks",
    metadata,
    row_number("position"),
    words("task_id"),
    of_instance(),
    words("element_id"),
    words("topic"),
    words("definition_key"),
    words("tenant"),
    Column("priority", Integer, nullable=False),
    Column("retries", Integer),
    instant("available_at"),
    words("worker", ""),
    instant("lease_expires_at", nullable=True),
    words("payload"),
    UniqueConstraint("task_id"),
    **NEVER_REUSED,
)
Index("ix_waiting_tasks_instance_id", waiting_tasks.c.instance_id)
Index(
    "ix_waiting_tasks_line",
    waiting_tasks.c.topic,
    waiting_tasks.c.priority.desc(),
    waiting_tasks.c.position,
)

user_tasks = Table(
    "user_tasks",
    metadata,
    row_number("position"),
    words("task_id"),
    of_instance(),
    words("element_id"),
    words("name"),
    words("documentation"),
    instant("created_at"),
    UniqueConstraint("task_id"),
    **NEVER_REUSED,
)
Index("ix_user_tasks_instance_id", user_tasks.c.instance_id)

message_waits = Table(
    "message_waits",
    metadata,
    row_number("position"),
    of_instance(),
    words("name"),
    UniqueConstraint("instance_id", "name"),
    **NEVER_REUSED,
)
Index("ix_message_waits_name", message_waits.c.name)

incidents = Table(
    "incidents",
    metadata,
    row_number("position"),
    words("incident_id"),
    of_instance(),
    words("element_id"),
    words("task_id"),
    words("message"),
    words("details"),
    instant("created_at"),
    UniqueConstraint("incident_id"),
    **NEVER_REUSED,
)
Index("ix_incidents_instance_id", incidents.c.instance_id)

# The outbox of ends: rows leave it once they were handled.
ended_instances = Table(
    "ended_instances",
    metadata,
    row_number("position"),
    words("instance_id"),
    words("tenant"),
    words("state"),
    instant("ended_at"),
    UniqueConstraint("instance_id"),
    one_of("state", InstanceState),
    **NEVER_REUSED,
)

"""The tables of what is kept about threads when their texts are gone: audit rows and erasures."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
)

from dadm.adapters.stores.tables.columns import (
    NEVER_REUSED,
    NUMBER,
    count,
    instant,
    metadata,
    one_of,
    row_number,
    words,
)
from dadm.ports.audit import AuditAction

# Only ever added to. The turn may be gone by the time that its row is read.
audit_entries = Table(
    "audit_entries",
    metadata,
    row_number("position"),
    Column("thread", NUMBER, ForeignKey("threads.id"), nullable=False),
    Column("turn", NUMBER),
    instant("at"),
    words("action"),
    words("detail"),
    one_of("action", AuditAction),
    **NEVER_REUSED,
)
Index("ix_audit_entries_thread_position", audit_entries.c.thread, audit_entries.c.position)

# What a backend reported about a conversation that is gone there; its first word stays.
erased_conversations = Table(
    "erased_conversations",
    metadata,
    Column("thread", NUMBER, nullable=False),
    Column("number", Integer, nullable=False),
    count("deleted_items"),
    count("deleted_responses"),
    words("unreachable"),
    PrimaryKeyConstraint("thread", "number"),
    ForeignKeyConstraint(["thread", "number"], ["generations.thread", "generations.number"]),
)

# Begun erasures, and the receipts of those that are finished.
erasures = Table(
    "erasures",
    metadata,
    Column("thread", NUMBER, ForeignKey("threads.id"), primary_key=True, autoincrement=False),
    instant("begun_at"),
    instant("erased_at", nullable=True),
    count("turns"),
    count("conversations"),
    count("deleted_items"),
    count("deleted_responses"),
    count("unnamed_responses"),
    words("unreachable", "[]"),
    CheckConstraint("erased_at >= begun_at", name="erased_at"),
)

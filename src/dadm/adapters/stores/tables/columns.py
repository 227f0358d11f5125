"""Kinds of columns that the tables are made of, alike on SQLite and PostgreSQL."""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

NUMBER = BigInteger().with_variant(Integer(), "sqlite")
"""The numbers of rows, and sums; SQLite gives row numbers to an INTEGER alone."""

INSTANT = DateTime(timezone=True).with_variant(Integer(), "sqlite")
"""Points in time; on SQLite microseconds since 1970 in UTC."""


def row_number(name: str = "id") -> Column[int]:
    """Make the database number the rows of a table."""
    return Column(name, NUMBER, Identity(), primary_key=True)


def words(name: str, default: str | None = None) -> Column[str]:
    """Keep text, never NULL."""
    return Column(name, Text, nullable=False, server_default=default)


def count(name: str) -> Column[int]:
    """Keep a number that starts at 0."""
    return Column(name, Integer, nullable=False, server_default=text("0"))


def total(name: str) -> Column[int]:
    """Keep a sum that starts at 0."""
    return Column(name, NUMBER, nullable=False, server_default=text("0"))


def flag(name: str) -> Column[bool]:
    """Keep a yes or no that starts as no."""
    return Column(name, Boolean, nullable=False, server_default=text("false"))


def instant(name: str, *, nullable: bool = False) -> Column[Any]:
    """Keep a point in time."""
    return Column(name, INSTANT, nullable=nullable)


def digest(name: str) -> Column[bytes]:
    """Keep a SHA-256, or NULL where there is none yet."""
    return Column(name, LargeBinary, CheckConstraint(f"length({name}) = 32", name=name))


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """Allow a column the values of an enumeration only."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def only_where(condition: str) -> dict[str, Any]:
    """Let an index hold only some rows, on either database."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


# Numbers that were given once are never given again, whatever was erased meanwhile.
NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}

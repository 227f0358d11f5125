"""Databases for tests of the stores' own workings."""

from tests.databases import (
    empty_postgres_url,
    migrated_postgres_url,
    postgres_url,
    sqlite_path,
    sqlite_template,
)

# Fixtures.
__all__ = [
    "empty_postgres_url",
    "migrated_postgres_url",
    "postgres_url",
    "sqlite_path",
    "sqlite_template",
]

"""Databases for comparing stores."""

from tests.databases import migrated_postgres_url, postgres_url, sqlite_path, sqlite_template

# Fixtures.
__all__ = ["migrated_postgres_url", "postgres_url", "sqlite_path", "sqlite_template"]

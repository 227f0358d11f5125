"""Stores in a PostgreSQL database."""

from dadm.adapters.stores.postgres.database import PostgresDatabase, open_postgres
from dadm.adapters.stores.postgres.threads import PostgresStore

__all__ = ["PostgresDatabase", "PostgresStore", "open_postgres"]

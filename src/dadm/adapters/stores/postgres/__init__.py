"""Stores in a PostgreSQL database."""

from dadm.adapters.stores.postgres.database import PostgresDatabase, open_postgres
from dadm.adapters.stores.postgres.processes import PostgresProcessStore
from dadm.adapters.stores.postgres.threads import PostgresStore

__all__ = ["PostgresDatabase", "PostgresProcessStore", "PostgresStore", "open_postgres"]

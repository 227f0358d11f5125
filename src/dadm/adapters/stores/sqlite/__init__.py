"""Stores in one SQLite file."""

from dadm.adapters.stores.sqlite.database import SqliteDatabase, open_sqlite
from dadm.adapters.stores.sqlite.processes import SqliteProcessStore
from dadm.adapters.stores.sqlite.threads import SqliteStore

__all__ = ["SqliteDatabase", "SqliteProcessStore", "SqliteStore", "open_sqlite"]

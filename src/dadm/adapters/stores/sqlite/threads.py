"""The SQLite store: every role of ThreadStore over one database file."""

from dadm.adapters.stores.sqlite.audit import SqliteAuditTrail
from dadm.adapters.stores.sqlite.claims import SqliteClaims
from dadm.adapters.stores.sqlite.directory import SqliteDirectory
from dadm.adapters.stores.sqlite.ended_threads import SqliteEndedThreads
from dadm.adapters.stores.sqlite.endings import SqliteEndings
from dadm.adapters.stores.sqlite.erasures import SqliteErasures
from dadm.adapters.stores.sqlite.generations import SqliteGenerations
from dadm.adapters.stores.sqlite.jobs import SqliteJobs
from dadm.adapters.stores.sqlite.leases import SqliteLeases


class SqliteStore(
    SqliteClaims,
    SqliteEndings,
    SqliteLeases,
    SqliteGenerations,
    SqliteDirectory,
    SqliteAuditTrail,
    SqliteErasures,
    SqliteEndedThreads,
    SqliteJobs,
):
    """Keeps threads, turns and transcripts in a file that several processes may share.

    Every call is one transaction on an open `SqliteDatabase`; calls that wait at the same time
    are committed together. Leases are judged by the machine's clock.
    """

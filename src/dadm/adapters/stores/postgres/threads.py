"""The PostgreSQL store: every role of ThreadStore over one database."""

from dadm.adapters.stores.postgres.audit import PostgresAuditTrail
from dadm.adapters.stores.postgres.claims import PostgresClaims
from dadm.adapters.stores.postgres.directory import PostgresDirectory
from dadm.adapters.stores.postgres.ended_threads import PostgresEndedThreads
from dadm.adapters.stores.postgres.endings import PostgresEndings
from dadm.adapters.stores.postgres.erasures import PostgresErasures
from dadm.adapters.stores.postgres.generations import PostgresGenerations
from dadm.adapters.stores.postgres.jobs import PostgresJobs
from dadm.adapters.stores.postgres.leases import PostgresLeases


class PostgresStore(
    PostgresClaims,
    PostgresEndings,
    PostgresLeases,
    PostgresGenerations,
    PostgresDirectory,
    PostgresAuditTrail,
    PostgresErasures,
    PostgresEndedThreads,
    PostgresJobs,
):
    """Keeps threads, turns and transcripts in a database that many replicas share.

    Each step of the turn protocol is one statement. Leases are judged by the server's clock.
    """

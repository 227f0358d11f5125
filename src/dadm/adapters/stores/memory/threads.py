"""The memory store: every role of ThreadStore over one set of records."""

from dadm.adapters.stores.memory.audit import MemoryAuditTrail
from dadm.adapters.stores.memory.claims import MemoryClaims
from dadm.adapters.stores.memory.directory import MemoryDirectory
from dadm.adapters.stores.memory.ended_threads import MemoryEndedThreads
from dadm.adapters.stores.memory.endings import MemoryEndings
from dadm.adapters.stores.memory.erasures import MemoryErasures
from dadm.adapters.stores.memory.generations import MemoryGenerations
from dadm.adapters.stores.memory.jobs import MemoryJobs
from dadm.adapters.stores.memory.leases import MemoryLeases
from dadm.adapters.stores.memory.records import Records
from dadm.ports.clock import Clock


class MemoryStore(
    MemoryClaims,
    MemoryEndings,
    MemoryLeases,
    MemoryGenerations,
    MemoryDirectory,
    MemoryAuditTrail,
    MemoryErasures,
    MemoryEndedThreads,
    MemoryJobs,
):
    """Keeps threads, turns and transcripts for as long as the process lives.

    Everything happens on one event loop, and no decision awaits, so each call is atomic without
    a lock. Simulation and tests share one among several replicas.
    """

    def __init__(self, clock: Clock) -> None:
        """Start empty; leases and tickets are judged by `clock`."""
        super().__init__(Records(clock))

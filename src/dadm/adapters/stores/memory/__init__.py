"""Stores in this process's memory: the reference that the durable ones are compared with."""

from dadm.adapters.stores.memory.processes import MemoryProcessStore
from dadm.adapters.stores.memory.threads import MemoryStore

__all__ = ["MemoryProcessStore", "MemoryStore"]

"""All tables of the database: the one description that the migrations must add up to."""

# Imported for what they add to the metadata.
from dadm.adapters.stores.tables import jobs, processes, records, threads
from dadm.adapters.stores.tables.columns import metadata

__all__ = ["jobs", "metadata", "processes", "records", "threads"]

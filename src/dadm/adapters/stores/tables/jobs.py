"""The table of the jobs that one replica does for all."""

from sqlalchemy import Column, PrimaryKeyConstraint, Table, text

from dadm.adapters.stores.tables.columns import NUMBER, instant, metadata, words

jobs = Table(
    "jobs",
    metadata,
    words("name"),
    words("subject"),
    # Empty while nobody has it, and it may rest.
    words("owner"),
    instant("until"),
    Column("position", NUMBER, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("name", "subject"),
)

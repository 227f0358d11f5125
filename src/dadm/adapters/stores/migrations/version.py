"""Which schema this program works with."""

VERSION_TABLE = "dadm_schema"
"""Where a database says which schema it has."""

SCHEMA = "0006"
"""The latest revision there is."""

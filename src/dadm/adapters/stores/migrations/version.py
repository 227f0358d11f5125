"""Which schema this program works with."""

VERSION_TABLE = "dadm_schema"
"""Where a database says which schema it has."""

SCHEMA = "0005"
"""The latest revision there is."""

"""How a database's schema comes up to date, one numbered change after another."""

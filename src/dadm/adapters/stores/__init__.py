"""Where threads, turns and processes are durable: SQLite, PostgreSQL, and memory as the reference."""

"""How domain values are read from rows, alike on both databases."""

"""Adapters: one technology per file, chosen by bootstrap alone."""

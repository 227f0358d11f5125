"""Turns: a task asked once on its thread, and recovered by whoever comes next."""

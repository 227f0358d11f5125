"""Conversations at backends: opened, filled with a thread's memory, and found reachable or not."""

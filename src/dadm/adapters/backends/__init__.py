"""Who continues conversations: one backend per file."""

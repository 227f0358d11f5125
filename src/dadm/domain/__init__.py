"""What DADM is about: threads, turns, transcripts, assistants and tasks, without any I/O."""

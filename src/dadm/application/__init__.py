"""What DADM does: takes turns on threads, recovers them, and carries tasks between engine and assistant."""

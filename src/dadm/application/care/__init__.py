"""Care of threads on a person's word: verifying, rebuilding, erasing, resolving their turns."""

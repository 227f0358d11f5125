"""Ways to an assistant service other than the one in this process."""

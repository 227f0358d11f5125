"""Benchmarks: what a turn costs here, beside comparable libraries and a bare minimum, in one run."""

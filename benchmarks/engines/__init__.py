"""Benchmarks on real engines: what working a task costs, beside a worker that only fetches and completes."""

"""Simulators of vendors' APIs."""

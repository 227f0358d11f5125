"""Engines: where service tasks come from."""

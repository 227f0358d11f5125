"""Linting: what DADM and an engine would trip over in a model, found before it is deployed."""

from dadm.adapters.engines.linting.linter import lint

__all__ = ["lint"]

"""The embedded engine: BPMN processes run inside this program."""

from dadm.adapters.engines.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]

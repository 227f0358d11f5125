"""Engines of the Camunda 7 family (Camunda 7, Operaton and those that speak as they do), over HTTP."""

from dadm.adapters.engines.external_task.engine import ExternalTaskEngine

__all__ = ["ExternalTaskEngine"]

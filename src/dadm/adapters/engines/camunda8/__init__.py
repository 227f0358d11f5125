"""Camunda 8, from 8.6 on, over its REST interface."""

from dadm.adapters.engines.camunda8.engine import Camunda8Engine

__all__ = ["Camunda8Engine"]

"""Telemetry: log lines and metrics behind the Observer port."""

from dadm.telemetry.logs import LogObserver, configure_logging
from dadm.telemetry.metrics import Metrics
from dadm.telemetry.observing import Fanout
from dadm.telemetry.scrubbing import Scrubber
from dadm.telemetry.statistics import CachedStatistics

__all__ = [
    "CachedStatistics",
    "Fanout",
    "LogObserver",
    "Metrics",
    "Scrubber",
    "configure_logging",
]

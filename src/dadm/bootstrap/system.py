"""This machine's time and chance, which everything that is put together shares."""

from dadm.adapters.system_clock import RandomIdentifiers, SystemClock

CLOCK = SystemClock()
IDENTIFIERS = RandomIdentifiers()

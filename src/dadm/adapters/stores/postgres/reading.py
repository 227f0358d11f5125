"""Reading rows that PostgreSQL gives."""

from datetime import datetime

from dadm.adapters.stores.rows.threads import Row, Rows
from dadm.ports.store_values import OpenTurn


def as_it_is(value: datetime) -> datetime:
    """Give a point in time as the driver does, aware and in UTC."""
    return value


ROWS = Rows(as_it_is)


def open_turn(turn: Row | None, attempt: Row | None) -> OpenTurn | None:
    """Read an open turn with its latest attempt."""
    if turn is None or attempt is None:
        return None
    return OpenTurn(turn=ROWS.turn(turn), attempt=ROWS.attempt(attempt))

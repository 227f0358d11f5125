"""Reading rows that PostgreSQL gives, and writing texts that it takes."""

from datetime import datetime

from dadm.adapters.stores.rows.threads import Row, Rows
from dadm.ports.store import OpenTurn

UNSTORABLE = str.maketrans({"\x00": "\N{REPLACEMENT CHARACTER}"})


def as_it_is(value: datetime) -> datetime:
    """Give a point in time as the driver does, aware and in UTC."""
    return value


ROWS = Rows(as_it_is)


def storable(text: str) -> str:
    """Replace what PostgreSQL takes in no text: NUL, and halves of surrogate pairs."""
    return text.translate(UNSTORABLE).encode("utf-8", "replace").decode("utf-8")


def open_turn(turn: Row | None, attempt: Row | None) -> OpenTurn | None:
    """Read an open turn with its latest attempt."""
    if turn is None or attempt is None:
        return None
    return OpenTurn(turn=ROWS.turn(turn), attempt=ROWS.attempt(attempt))

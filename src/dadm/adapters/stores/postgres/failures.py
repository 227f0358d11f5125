"""What PostgreSQL and its driver say when something fails, in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import asyncpg

from dadm.domain.errors import (
    DadmError,
    StoreMisconfigured,
    StoreUnavailable,
    TaskContentChanged,
    TaskIdentityConflict,
    ThreadClosed,
    ThreadConflict,
    ThreadErased,
    UnknownThread,
)

RAISED_BY_OUR_FUNCTIONS: dict[str, type[DadmError]] = {
    "DM001": ThreadConflict,
    "DM002": ThreadClosed,
    "DM003": ThreadErased,
    "DM004": TaskIdentityConflict,
    "DM005": TaskContentChanged,
    "DM006": UnknownThread,
}
CONSTRAINT_VIOLATED = "23"
# Authorization, unknown database, rights and objects, objects of another shape.
NEEDS_A_PERSON = ("28", "3D", "3F", "42")


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Raise errors of the driver as ours; `address` names the database in them.

    Raises:
        StoreUnavailable: The database did not confirm.
        StoreMisconfigured: It does not let us do this at all.
        ThreadConflict: A constraint refused the change.
        DadmError: What our functions in the database say.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        raise ours(error, address) from error
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        message = f"The database {address} did not answer: {said(error)}."
        raise StoreUnavailable(message) from error


def ours(error: asyncpg.PostgresError, address: str) -> DadmError:
    """Say in our words what the server said."""
    state = error.sqlstate or ""
    if state in RAISED_BY_OUR_FUNCTIONS:
        return RAISED_BY_OUR_FUNCTIONS[state]()
    if state.startswith(CONSTRAINT_VIOLATED):
        return ThreadConflict(f"The database refused the change: {said(error)}.")
    if state.startswith(NEEDS_A_PERSON):
        return StoreMisconfigured(f"The database {address} cannot be used: {said(error)}.")
    return StoreUnavailable(f"The database {address} did not confirm: {said(error)}.")


def said(error: BaseException) -> str:
    """Give an error's own words in one line, or its kind where it has none."""
    first_line = next(iter(str(error).splitlines()), "")
    return first_line.rstrip(".") or type(error).__name__


def address_of(url: str) -> str:
    """Name a database without user and password."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    host = parts.hostname or next(iter(asked.get("host", [])), "localhost")
    try:
        port = parts.port
    except ValueError:
        port = None
    return f"{host}{f':{port}' if port else ''}{parts.path}"

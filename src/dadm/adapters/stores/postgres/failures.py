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
NOTHING_CHANGED = "Nothing was changed; ask again."
CUT_OFF = "The connection was cut; what was asked may or may not be durable."
RIGHTS = "Let the role use and create tables and functions in its schema."
BY_HAND = "Its tables are not as dadm has made them: restore them, or name another database."
NO_SUCH_VALUE = "It cannot keep one of the values as it is; an id may be too long."
SEE_LOG = "Its own log says more."
# What the server says, by the first characters of its code, the longest first; and what to do.
NEEDS_A_PERSON = (
    ("42501", RIGHTS),
    ("22", NO_SUCH_VALUE),
    ("28", "Correct user and password in its address."),
    ("3D", "Create it, or correct its name in the address."),
    ("3F", RIGHTS),
    ("42", BY_HAND),
    ("54", NO_SUCH_VALUE),
)
PASSES = (
    ("25006", "It can only be read, as a standby can: name the primary in its address."),
    ("53100", "Make room on its disk."),
    ("53300", "Let it take more connections, or start fewer replicas."),
    ("55P03", "Somebody holds what was asked for: see what its sessions wait for."),
    ("57014", "It was stopped before its end: see what the database's sessions wait for."),
    ("08", CUT_OFF),
    ("40001", NOTHING_CHANGED),
    ("40P01", NOTHING_CHANGED),
    ("57P", f"It stops or starts just now. {CUT_OFF}"),
)


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
    except asyncpg.DataError as error:
        message = f"The database {address} cannot be used: {said(error)}. {NO_SUCH_VALUE}"
        raise StoreMisconfigured(message) from error
    except (
        OSError,
        TimeoutError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    ) as error:
        message = (
            f"The database {address} did not answer: {said(error)}. "
            "See that it runs and can be reached from here."
        )
        raise StoreUnavailable(message) from error


def ours(error: asyncpg.PostgresError, address: str) -> DadmError:
    """Say in our words what the server said, and what to do about it."""
    state = error.sqlstate or ""
    if state in RAISED_BY_OUR_FUNCTIONS:
        return RAISED_BY_OUR_FUNCTIONS[state]()
    if state.startswith(CONSTRAINT_VIOLATED):
        return ThreadConflict(f"The database refused the change: {said(error)}.")
    for start, remedy in NEEDS_A_PERSON:
        if state.startswith(start):
            message = f"The database {address} cannot be used: {said(error)}. {remedy}"
            return StoreMisconfigured(message)
    remedy = next((text for start, text in PASSES if state.startswith(start)), SEE_LOG)
    return StoreUnavailable(f"The database {address} did not confirm: {said(error)}. {remedy}")


def said(error: BaseException) -> str:
    """Give an error's own words in one line, or its kind where it has none."""
    if isinstance(error, TimeoutError) and not str(error):
        return "it took too long"
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

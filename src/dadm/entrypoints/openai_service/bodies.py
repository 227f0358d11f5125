"""Request bodies: read up to a limit, and taken for JSON only where they are strictly that."""

import json
import math
from typing import Any, NoReturn

from starlette.requests import Request

from dadm.entrypoints.openai_service.problems import BODY_TOO_LARGE, MALFORMED, RequestRefused

DEPTH_LIMIT = 64
"""How deeply values may be nested; far above what people write, far below what harms."""

DISCARDED_SHARE = 8
"""A body up to this many times too large is read to its end, so that its sender hears why."""


async def read_json_object(request: Request, *, limit: int) -> dict[str, Any]:
    """Read the body as one JSON object.

    Raises:
        RequestRefused: It is too large, not JSON, or holds what no store could keep.
    """
    value = parse_json(await _read(request, limit))
    if not isinstance(value, dict):
        raise RequestRefused(MALFORMED, "The body must be a JSON object.")
    return value


def parse_json(body: bytes) -> Any:
    """Parse JSON as its standard has it, without what only some parsers let pass.

    Raises:
        RequestRefused: It is not JSON, a name comes twice, a number is none, the values are
            nested too deeply, or a text holds NUL or half of a surrogate pair.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise RequestRefused(MALFORMED, "The body is not text in UTF-8.") from None
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once_each)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RequestRefused(MALFORMED, f"The body is not JSON: {error.msg} ({where}).") from None
    except RecursionError:
        _refuse_depth()
    except ValueError:
        raise RequestRefused(MALFORMED, "The body holds a number of too many digits.") from None
    _check(value)
    return value


async def _read(request: Request, limit: int) -> bytes:
    too_large = RequestRefused(
        BODY_TOO_LARGE,
        f"The body has more than {limit} bytes; DADM_MAX_BODY_BYTES sets the limit.",
        limit_bytes=limit,
    )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit * DISCARDED_SHARE:
        raise too_large
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit * DISCARDED_SHARE:
            break
        if size <= limit:
            body += chunk
    if size > limit:
        raise too_large
    return bytes(body)


def _refuse_constant(name: str) -> NoReturn:
    raise RequestRefused(MALFORMED, f"The body holds {name}, which is not a number in JSON.")


def _refuse_depth() -> NoReturn:
    detail = f"The body's values are nested more than {DEPTH_LIMIT} deep."
    raise RequestRefused(MALFORMED, detail)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise RequestRefused(MALFORMED, f"The name {name!a} comes twice in one object.")
        found[name] = value
    return found


def _check(whole: Any) -> None:
    """Walk all values without recursion."""
    waiting = [(whole, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEPTH_LIMIT:
            _refuse_depth()
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str):
            _check_text(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise RequestRefused(MALFORMED, "The body holds a number too large to be kept.")


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise RequestRefused(MALFORMED, "A text in the body holds the character NUL.")
    try:
        text.encode()
    except UnicodeEncodeError:
        detail = "A text in the body holds half of a surrogate pair, which is not text."
        raise RequestRefused(MALFORMED, detail) from None

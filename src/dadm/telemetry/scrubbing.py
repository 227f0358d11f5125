"""Scrubber: takes secrets out of text before anybody else sees it."""

import json
import re
from collections.abc import Iterable

MASK = "********"
SHORTEST = 4
"""Secrets of fewer characters are left: words of that length are everywhere."""

_LOOKS_SECRET = re.compile(
    r"\bsk-[A-Za-z0-9_\-]{16,}"  # keys as OpenAI and its likes write them
    r"|(?<=\bBearer )[^\s\"',]{4,}"
    r"|(?<=://)[^\s/:@]*:[^\s/@]+(?=@)",  # user:password in an address
    re.IGNORECASE,
)


_BEGINNINGS = ("sk-", "bearer ", "://")
"""One of them is in whatever looks like a secret; to look for them costs less than the pattern."""


class Scrubber:
    """Masks the secrets it knows, and what looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Know `secrets`, also as JSON writes them."""
        known = {secret for secret in secrets if len(secret) >= SHORTEST}
        known |= {json.dumps(secret)[1:-1] for secret in known}
        # The longest first, for one secret may be the beginning of another.
        ordered = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """Give `text` without secrets."""
        if self._known:
            text = self._known.sub(MASK, text)
        # As the pattern ignores case, letters are compared that are only the same when folded.
        folded = text.casefold()
        if any(beginning in folded for beginning in _BEGINNINGS):
            text = _LOOKS_SECRET.sub(MASK, text)
        return text

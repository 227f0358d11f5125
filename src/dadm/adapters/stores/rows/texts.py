"""Texts as databases take them."""

import re

NUL = "\x00"
HALVES_OF_PAIRS = re.compile("[\ud800-\udfff]")
MENDED = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """Replace what databases take in no text: NUL, and halves of surrogate pairs.

    An answer that was cut off inside an escaped character ends with such a half; it must not
    be lost for that.
    """
    if text.isascii():
        return text.replace(NUL, MENDED) if NUL in text else text
    return HALVES_OF_PAIRS.sub(MENDED, text.replace(NUL, MENDED))

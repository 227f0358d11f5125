"""Texts as databases take them."""

import re

NUL = "\x00"
HALVES_OF_PAIRS = re.compile("[\ud800-\udfff]")
MENDED = "\N{REPLACEMENT CHARACTER}"


def bounds_of(beginning: str) -> tuple[str, str]:
    """Give the first text that begins so, and the first behind all that do; twice `""` for none.

    In the order of their characters' numbers, which is that of their bytes in UTF-8.
    """
    return (beginning, beginning[:-1] + chr(ord(beginning[-1]) + 1)) if beginning else ("", "")


def storable(text: str) -> str:
    """Replace what databases take in no text: NUL, and halves of surrogate pairs.

    An answer that was cut off inside an escaped character ends with such a half; it must not
    be lost for that.
    """
    if text.isascii():
        return text.replace(NUL, MENDED) if NUL in text else text
    return HALVES_OF_PAIRS.sub(MENDED, text.replace(NUL, MENDED))

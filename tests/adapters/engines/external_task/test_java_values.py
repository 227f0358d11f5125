"""Serialised Java values are read as JSON, or refused as a whole; the bytes are those of real engines."""

import base64

import pytest

from dadm.adapters.engines.external_task.java_values import NotJsonLike, read_java_value

# What Operaton 1.0.3 keeps of {"l": [1, 2.5, null, true, "", {"x": 12345678901}], "ä": "€𝄞"}.
STRUCTURE = base64.b64decode(
    "rO0ABXNyABdqYXZhLnV0aWwuTGlua2VkSGFzaE1hcDTATlwQbMD7AgABWgALYWNjZXNzT3JkZXJ4cgAR"
    "amF2YS51dGlsLkhhc2hNYXAFB9rBwxZg0QMAAkYACmxvYWRGYWN0b3JJAAl0aHJlc2hvbGR4cD9AAAAA"
    "AAAMdwgAAAAQAAAAAnQAAWxzcgATamF2YS51dGlsLkFycmF5TGlzdHiB0h2Zx2GdAwABSQAEc2l6ZXhw"
    "AAAABncEAAAABnNyABFqYXZhLmxhbmcuSW50ZWdlchLioKT3gYc4AgABSQAFdmFsdWV4cgAQamF2YS5s"
    "YW5nLk51bWJlcoaslR0LlOCLAgAAeHAAAAABc3IAEGphdmEubGFuZy5Eb3VibGWAs8JKKWv7BAIAAUQA"
    "BXZhbHVleHEAfgAHQAQAAAAAAABwc3IAEWphdmEubGFuZy5Cb29sZWFuzSBygNWc+u4CAAFaAAV2YWx1"
    "ZXhwAXQAAHNxAH4AAD9AAAAAAAAMdwgAAAAQAAAAAXQAAXhzcgAOamF2YS5sYW5nLkxvbmc7i+SQzI8j"
    "3wIAAUoABXZhbHVleHEAfgAHAAAAAt/cHDV4AHh0AALDpHQACeKCrO2gtO20nngA"
)
EXPECTED = {"l": [1, 2.5, None, True, "", {"x": 12345678901}], "ä": "€𝄞"}

MAGIC = b"\xac\xed\x00\x05"
NULL, STRING, LONG_STRING, END = b"p", b"t", b"|", b"x"


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def class_of(name: bytes, *, flags: int = 2, above: bytes = NULL) -> bytes:
    return b"r" + text(name) + bytes(8) + bytes([flags]) + bytes(2) + END + above


def written(*content: bytes) -> bytes:
    """Give what a class wrote by itself."""
    return b"w\x04" + bytes(4) + b"".join(content) + END


def test_maps_lists_and_simple_values_are_read() -> None:
    assert read_java_value(STRUCTURE) == EXPECTED


@pytest.mark.parametrize("size", range(0, len(STRUCTURE) - 1, 7))
def test_bytes_that_end_early_are_refused(size: int) -> None:
    with pytest.raises(NotJsonLike):
        read_java_value(STRUCTURE[:size])


@pytest.mark.parametrize("at", range(len(MAGIC), len(STRUCTURE), 5))
def test_damaged_bytes_give_a_value_or_are_refused_and_nothing_else(at: int) -> None:
    damaged = bytearray(STRUCTURE)
    damaged[at] ^= 0xFF

    try:
        read_java_value(bytes(damaged))
    except NotJsonLike:
        return


def test_long_texts_and_a_nul_are_read_as_java_writes_them() -> None:
    long = b"x" * 70_000

    assert (
        read_java_value(MAGIC + LONG_STRING + len(long).to_bytes(8, "big") + long) == "x" * 70_000
    )
    assert read_java_value(MAGIC + STRING + text(b"a\xc0\x80b")) == "a\0b"


def test_an_object_of_any_other_class_is_refused() -> None:
    money = MAGIC + b"s" + class_of(b"com.acme.Money")

    with pytest.raises(NotJsonLike, match="Money"):
        read_java_value(money)


def test_a_class_that_writes_itself_in_its_own_form_is_refused() -> None:
    date = MAGIC + b"s" + class_of(b"java.time.Ser", flags=4) + b"w\x01\x00" + END

    with pytest.raises(NotJsonLike):
        read_java_value(date)


def test_a_list_that_holds_itself_is_refused() -> None:
    # Handle 0 is the class, handle 1 the list.
    itself = b"q" + (0x7E0001).to_bytes(4, "big")

    with pytest.raises(NotJsonLike, match="itself"):
        read_java_value(MAGIC + b"s" + class_of(b"java.util.ArrayList", flags=3) + written(itself))


def test_a_map_with_other_keys_than_texts_is_refused() -> None:
    pairs = written(NULL, STRING + text(b"x"))

    with pytest.raises(NotJsonLike, match="keys"):
        read_java_value(MAGIC + b"s" + class_of(b"java.util.HashMap", flags=3) + pairs)

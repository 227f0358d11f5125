"""The digest that contents are compared by."""

import pytest

from dadm.domain.json import JsonValue, canonical_json, digest_of


def test_equal_values_give_equal_text_and_digits() -> None:
    assert canonical_json({"b": [1, None], "a": "ü"}) == '{"a":"ü","b":[1,null]}'
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})


def test_digest_is_the_same_in_every_version_of_the_program() -> None:
    # Stored beside every turn: if this changes, every redelivery looks like other content.
    assert digest_of({"a": [1, "ü"]}) == "c6af382018a7515b966d9312de0ae19b"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        (1, True),
        (0, None),
        ("", None),
        ([], {}),
        (1, 1.0),
        ([1, 2], [2, 1]),
        ("a", ["a"]),
    ],
)
def test_values_of_another_kind_or_order_differ(one: JsonValue, other: JsonValue) -> None:
    assert digest_of(one) != digest_of(other)

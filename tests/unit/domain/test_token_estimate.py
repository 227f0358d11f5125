"""Between the fewest and the most tokens lies what real tokenizers count."""

import pytest

from dadm.domain.token_estimate import fewest_tokens, most_tokens


# Counted by SmolLM2's tokenizer.
@pytest.mark.parametrize(
    ("text", "real"),
    [
        ("", 0),
        ("Hello there", 2),
        ("The decision owner is Alice Moreno.", 8),
        ("The budget is 40,000 euros.", 12),
        ("don't", 2),
        ("\n\n", 1),
    ],
)
def test_the_real_number_lies_between(text: str, real: int) -> None:
    assert fewest_tokens(text) <= real <= most_tokens(text)


@pytest.mark.parametrize(
    ("text", "fewest", "most"),
    [
        ("one two three", 3, 4),
        ("don\u2019t", 1, 4),
        ("1234567", 3, 7),
        ("{}[]();", 0, 7),
        ("a  b", 2, 3),
        ("预算", 1, 3),
        ("Entscheidungsverantwortung", 1, 7),
    ],
)
def test_words_digits_signs_and_gaps_are_counted_apart(text: str, fewest: int, most: int) -> None:
    assert (fewest_tokens(text), most_tokens(text)) == (fewest, most)


def test_prose_is_not_taken_for_much_more_than_it_is() -> None:
    prose = "Weigh the three alternatives against the budget and name the one you recommend. " * 20

    assert most_tokens(prose) < 2 * fewest_tokens(prose)

"""Variables count as shown as long as the conversation holds the exchange that showed them."""

import pytest

from dadm.domain.shown_variables import is_held, marked, still_shown
from dadm.domain.thread import Generation
from tests.builders import make_generation, make_thread

SHORTENED = make_generation(2, opened_from=5, opened_to=8, copied_messages=10)
"""Holds turns 5 to 8 and the first one; 2 to 4 were left out."""


def test_what_was_shown_on_the_live_conversation_is_held() -> None:
    thread = make_thread(
        live=make_generation(1), shown=marked({"budget": "d1"}, sequence=3, generation=1)
    )

    assert still_shown(thread) == {"budget": "d1"}


@pytest.mark.parametrize(
    ("sequence", "generation", "expected"),
    [(1, 1, True), (2, 1, False), (4, 1, False), (5, 1, True), (8, 1, True), (9, 2, True)],
)
def test_what_was_shown_before_is_held_where_its_exchange_was_copied(
    sequence: int, generation: int, expected: bool
) -> None:
    assert is_held(SHORTENED, sequence=sequence, generation=generation) is expected


@pytest.mark.parametrize(
    "live",
    [
        None,
        make_generation(2, opened_from=0, opened_to=0, copied_messages=0),
        make_generation(2, opened_from=5, opened_to=8, copied_messages=8),
    ],
    ids=["none live", "nothing copied", "first too long to copy"],
)
def test_the_first_exchange_is_not_held_where_it_was_not_copied(live: Generation | None) -> None:
    assert not is_held(live, sequence=1, generation=1)


def test_a_mark_of_before_places_were_kept_counts_as_shown() -> None:
    thread = make_thread(live=SHORTENED, shown={"budget": "d1"})

    assert still_shown(thread) == {"budget": "d1"}

"""The window of a transcript: the first exchange and the latest, never half of one."""

import pytest

from dadm.domain.transcript import Message, Role, fit_window, messages_shown
from tests.builders import make_exchange


def length(message: Message) -> int:
    return len(message.text)


@pytest.mark.parametrize(
    ("sizes", "budget", "shown", "left_out"),
    [
        ((), 10, (), 0),
        ((4, 4), 8, (1, 2), 0),
        ((4, 4, 4), 8, (1, 3), 1),
        ((4, 4, 4), 11, (1, 3), 1),
        ((4, 4, 4), 12, (1, 2, 3), 0),
        ((4, 1, 9, 4), 9, (1, 4), 2),
        ((20, 4, 4), 9, (2, 3), 1),
        ((20, 20), 9, (), 2),
        ((4, 20), 9, (1,), 1),
        ((4, 4), 0, (), 2),
    ],
)
def test_window_shows_the_first_and_the_latest_that_fit(
    sizes: tuple[int, ...], budget: int, shown: tuple[int, ...], left_out: int
) -> None:
    exchanges = [make_exchange(place, size=size) for place, size in enumerate(sizes, start=1)]

    window = fit_window(exchanges, budget=budget, measure=length)

    assert tuple(exchange.sequence for exchange in window.exchanges) == shown
    assert window.left_out == left_out


def test_messages_of_a_window_alternate_in_order() -> None:
    window = fit_window([make_exchange(1), make_exchange(2)], budget=100, measure=length)

    assert [message.role for message in window.messages] == [Role.USER, Role.ASSISTANT] * 2
    assert [message.text[0] for message in window.messages] == ["?", "!", "?", "!"]


def test_model_is_shown_instructions_then_window_then_question() -> None:
    window = fit_window([make_exchange(1)], budget=100, measure=length)

    shown = messages_shown(instructions="Be brief.", window=window, prompt="And now?")

    assert shown[0] == Message(role=Role.SYSTEM, text="Be brief.")
    assert shown[1:-1] == window.messages
    assert shown[-1] == Message(role=Role.USER, text="And now?")
    assert messages_shown(instructions="", window=window, prompt="And now?") == shown[1:]

"""A thread's messages, and the window of them that a backend is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

NUL = "\x00"


class Role(StrEnum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One piece of text with a role."""

    role: Role
    text: str

    @property
    def essence(self) -> "Message":
        """What copies of the message agree in, wherever they are kept (see `is_same`)."""
        return Message(role=self.role, text=_essence(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A completed turn as the model sees it: what was asked and what was answered."""

    sequence: int
    prompt: str
    answer: str

    @property
    def messages(self) -> tuple[Message, Message]:
        """The exchange's two messages, in order."""
        return (
            Message(role=Role.USER, text=self.prompt),
            Message(role=Role.ASSISTANT, text=self.answer),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The exchanges a backend is shown before the new question, oldest first.

    `left_out` counts the exchanges between the first and the oldest latest one that did not fit.
    """

    exchanges: tuple[Exchange, ...]
    left_out: int

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages of the window, in order."""
        return tuple(message for exchange in self.exchanges for message in exchange.messages)


def fit_window(
    exchanges: Sequence[Exchange], *, budget: int, measure: Callable[[Message], int]
) -> Window:
    """Choose the first exchange and as many of the latest as fit, never half of one.

    Args:
        exchanges: A thread's exchanges, oldest first; the first of them is the thread's first.
        budget: How much may be shown, in the unit of `measure` (usually tokens).
        measure: What one message costs.

    Returns:
        The window. The first exchange, which frames the decision, goes in before the latest
        ones; where even it does not fit, only the latest that do are shown.
    """
    costs = [sum(measure(message) for message in exchange.messages) for exchange in exchanges]
    first: list[Exchange] = []
    remaining = budget
    rest = list(zip(exchanges, costs, strict=True))
    if rest and rest[0][1] <= remaining:
        first = [rest[0][0]]
        remaining -= rest[0][1]
        rest = rest[1:]
    latest: list[Exchange] = []
    for exchange, cost in reversed(rest):
        if cost > remaining:
            break
        latest.append(exchange)
        remaining -= cost
    chosen = (*first, *reversed(latest))
    return Window(exchanges=chosen, left_out=len(exchanges) - len(chosen))


def messages_shown(*, instructions: str, window: Window, prompt: str) -> tuple[Message, ...]:
    """Give all that a model is shown: the instructions if any, the window, then the question."""
    told = (Message(role=Role.SYSTEM, text=instructions),) if instructions else ()
    return (*told, *window.messages, Message(role=Role.USER, text=prompt))


def is_same(one: str, other: str) -> bool:
    """Whether both are copies of one text: blanks around it do not count, nor what NUL became.

    Some servers take blanks off the ends; and answers are found by the same rule.
    """
    return _essence(one) == _essence(other)


def as_stored(text: str) -> str:
    """Give the text as stores keep it: no database takes NUL."""
    return text.replace(NUL, "\N{REPLACEMENT CHARACTER}")


def _essence(text: str) -> str:
    return as_stored(text).strip()

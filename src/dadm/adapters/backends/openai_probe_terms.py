"""The terms of a probe of OpenAI: what it observes, how a request is refused, and how fast it goes."""

from dataclasses import dataclass
from typing import TypeAlias

import openai

from dadm.adapters.backends.openai_items import Json


class NotAnswered(Exception):
    """What was to be observed did not come about; the message says what did instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a probe goes, in seconds.

    `poll` lies between two looks at a run; `leave` is how long a request lives whose caller is to
    leave; `question` and `clean_up` are the longest that those may take.
    """

    poll: float = 1.0
    leave: float = 2.0
    question: float = 120.0
    clean_up: float = 120.0


USUAL_PACE = Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request that was definitely not done; `told` quotes how it was refused."""

    status: int
    code: str
    param: str
    told: str
    error: openai.APIStatusError


Reply: TypeAlias = Json | Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The answer to a question, and what it was read from."""

    answer: str
    evidence: str


def yes_or_no(holds: bool) -> str:
    """Give an answer in a word."""
    return "yes" if holds else "no"


def check_reason(refusal: Refusal, *reasons: str) -> None:
    """Make sure that a request was refused for one of these reasons, given by a part of the words.

    Raises:
        NotAnswered: It was refused for another one, which says nothing about the question.
    """
    told = f"{refusal.told} {refusal.param}".lower()
    if not any(reason in told for reason in reasons):
        raise NotAnswered(f"It was refused, but for another reason: {refusal.told}")


def check_status(reply: Reply | None, wanted: str) -> None:
    """Make sure that a response ended as it was wanted to.

    Raises:
        NotAnswered: It did not, or was refused, or is not found (None).
    """
    if isinstance(reply, Refusal):
        raise NotAnswered(f"No response could be made to end as {wanted}: {reply.told}")
    status = (reply or {}).get("status", "not found")
    if status != wanted:
        raise NotAnswered(f"No response could be made to end as {wanted}: it is {status}.")

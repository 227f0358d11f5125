"""A conversation is compared message by message: each difference is told as what it is, and none is missed."""

import string
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dadm.application.care.conversation_comparing import (
    DIFFERENCES_AT_MOST,
    ConversationComparing,
)
from dadm.application.care.conversation_content import WantedMessage
from dadm.application.care.findings import FindingKind
from dadm.domain.transcript import Message, Role
from dadm.ports.backend import KeptMessage

MISSING = FindingKind.MESSAGE_MISSING
CHANGED = FindingKind.MESSAGE_CHANGED
FOREIGN = FindingKind.FOREIGN_MESSAGE


def user(text: str) -> Message:
    return Message(role=Role.USER, text=text)


def model(text: str) -> Message:
    return Message(role=Role.ASSISTANT, text=text)


def thread_of(count: int) -> list[Message]:
    """Give the messages of that many turns, all answered alike."""
    return [each for n in range(1, count + 1) for each in (user(f"Question {n}?"), model("ok"))]


async def wanted(
    messages: Sequence[Message], open_prompt: str | None = None
) -> AsyncGenerator[WantedMessage, None]:
    for place, message in enumerate(messages):
        yield WantedMessage(sequence=place // 2 + 1, message=message)
    if open_prompt is not None:
        yield WantedMessage(sequence=99, message=user(open_prompt), is_open=True)


async def kept(messages: Sequence[Message]) -> AsyncGenerator[KeptMessage, None]:
    for place, message in enumerate(messages):
        yield KeptMessage(item_id=f"msg_{place}", message=message)


async def compared(
    here: Sequence[Message], there: Sequence[Message], *, open_prompt: str | None = None
) -> list[tuple[FindingKind, int | str]]:
    """Give the kind of each difference, with its turn or, for foreign messages, the item."""
    comparing = ConversationComparing()
    await comparing.compare(wanted(here, open_prompt), kept(there))
    return [(each.kind, each.sequence or each.item_id) for each in comparing.findings]


@pytest.mark.parametrize("turns", [0, 1, 13, 200])
async def test_the_same_messages_are_no_difference_however_many_there_are(turns: int) -> None:
    comparing = ConversationComparing()

    await comparing.compare(wanted(thread_of(turns)), kept(thread_of(turns)))

    assert comparing.findings == []
    assert comparing.agreeing == 2 * turns


async def test_a_message_that_is_gone_is_missing() -> None:
    there = thread_of(4)
    del there[3]

    assert await compared(thread_of(4), there) == [(MISSING, 2)]


async def test_an_exchange_that_is_gone_is_missing_twice() -> None:
    there = thread_of(4)
    del there[2:4]

    assert await compared(thread_of(4), there) == [(MISSING, 2), (MISSING, 2)]


async def test_what_is_gone_at_the_end_is_missing() -> None:
    assert await compared(thread_of(3), thread_of(2)) == [(MISSING, 3), (MISSING, 3)]


async def test_a_changed_answer_is_told_once_though_later_ones_read_as_it_should() -> None:
    there = thread_of(4)
    there[3] = model("no")

    assert await compared(thread_of(4), there) == [(CHANGED, 2)]


async def test_messages_of_others_are_foreign_wherever_they_stand() -> None:
    there = thread_of(3)
    there.insert(6, user("Me again."))
    there.insert(2, user("Who are you?"))
    there.insert(3, model("A stranger."))

    assert await compared(thread_of(3), there) == [
        (FOREIGN, "msg_2"),
        (FOREIGN, "msg_3"),
        (FOREIGN, "msg_8"),
    ]


async def test_a_message_put_in_the_place_of_another_kind_is_both_missing_and_foreign() -> None:
    there = thread_of(3)
    there[3] = user("Who asked?")

    assert await compared(thread_of(3), there) == [(MISSING, 2), (FOREIGN, "msg_3")]


async def test_an_answer_kept_in_parts_with_remarks_before_it_is_no_difference() -> None:
    here = [user("Why?"), model("First.\n\nSecond."), user("And?"), model("No more.")]
    there = [
        user("Why?"),
        model("Let me look."),
        model("First."),
        model("Second."),
        user("And?"),
        model("No more."),
    ]

    assert await compared(here, there) == []


async def test_a_message_behind_the_answer_is_foreign() -> None:
    there = [*thread_of(1), model("By the way."), *thread_of(2)[2:]]

    assert await compared(thread_of(2), there) == [(FOREIGN, "msg_2")]


async def test_blanks_around_a_text_and_what_no_database_takes_are_no_difference() -> None:
    here = [user("Why?"), model("Because\N{REPLACEMENT CHARACTER}.")]

    assert await compared(here, [user("Why? \n"), model(" Because\x00.")]) == []


@pytest.mark.parametrize("behind", [[], [model("I am at it.")], [model("One."), model("Two.")]])
async def test_what_the_open_turn_left_at_the_end_is_no_difference(behind: list[Message]) -> None:
    there = [*thread_of(2), user("Still open?"), *behind]

    assert await compared(thread_of(2), there, open_prompt="Still open?") == []
    assert (FOREIGN, "msg_4") in await compared(thread_of(2), there)
    assert (FOREIGN, "msg_4") in await compared(thread_of(2), there, open_prompt="Another one?")


async def test_an_open_turn_hides_no_difference_before_it() -> None:
    there = [*thread_of(2)[1:], user("Still open?"), model("ok")]

    assert await compared(thread_of(2), there, open_prompt="Still open?") == [(MISSING, 1)]
    assert await compared(thread_of(2), thread_of(2), open_prompt="Still open?") == []


async def test_a_changed_answer_is_not_taken_for_a_remark() -> None:
    here = [user("A?"), model("ok"), user("B?"), model("ok"), user("C?"), model("ok")]
    there = [user("A?"), model("no"), model("ok"), user("C?"), model("ok")]

    assert await compared(here, there) == [(CHANGED, 1), (MISSING, 2)]


async def test_a_conversation_of_somebody_else_ends_after_so_many_differences() -> None:
    others = [user(f"Other {n}") for n in range(300)]

    found = await compared(thread_of(300), others)

    assert len(found) == DIFFERENCES_AT_MOST + 1
    assert found[-1][0] is FindingKind.MORE_DIFFERENCES


TEXTS = st.sampled_from(["ok", "no", *string.ascii_lowercase[:4]])
MESSAGES = st.lists(
    st.builds(Message, role=st.sampled_from([Role.USER, Role.ASSISTANT]), text=TEXTS)
)


@given(here=MESSAGES, there=MESSAGES)
async def test_no_difference_is_missed_and_each_side_is_accounted_for(
    here: list[Message], there: list[Message]
) -> None:
    # Answers in one piece, so that what agrees can be counted.
    comparing = ConversationComparing()
    await comparing.compare(wanted(here), kept(there))
    kinds = [each.kind for each in comparing.findings]

    assert bool(kinds) == (here != there) or _is_remark(here, there)
    assert comparing.agreeing + kinds.count(MISSING) + kinds.count(CHANGED) == len(here)


def _is_remark(here: list[Message], there: list[Message]) -> bool:
    """Whether the two differ by what may be the model's remarks before its answers."""
    return len(there) > len(here)

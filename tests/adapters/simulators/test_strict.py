"""The strict checker finds what the official SDK would pass over."""

from typing import Any

import pytest
from openai.types.conversations import Conversation, ConversationItem
from openai.types.responses import ResponseUsage

from tests.adapters.simulators.strict import Misfit, check, check_event

CONVERSATION = {"id": "conv_1", "object": "conversation", "created_at": 1, "metadata": {}}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "user",
    "status": "completed",
    "content": [{"type": "input_text", "text": "hello"}],
}


def test_what_fits_passes() -> None:
    check(CONVERSATION, Conversation, "it")
    check(MESSAGE, ConversationItem, "it")


@pytest.mark.parametrize(
    ("broken", "expected", "complaint"),
    [
        ({"id": "conv_1"}, Conversation, "created_at: missing"),
        (CONVERSATION | {"updated_at": 2}, Conversation, "no such field"),
        (CONVERSATION | {"created_at": "now"}, Conversation, "is no int"),
        (CONVERSATION | {"created_at": True}, Conversation, "is no int"),
        (CONVERSATION | {"object": "thread"}, Conversation, "is none of"),
        (MESSAGE | {"role": "somebody"}, ConversationItem, "role: 'somebody'"),
        (MESSAGE | {"content": "hello"}, ConversationItem, "is no list"),
        (MESSAGE | {"content": [{"type": "input_text"}]}, ConversationItem, "text: missing"),
        ({"input_tokens": 1}, ResponseUsage, "input_tokens_details: missing"),
    ],
)
def test_what_does_not_fit_is_named(broken: object, expected: object, complaint: str) -> None:
    with pytest.raises(Misfit, match=complaint):
        check(broken, expected, "it")


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"type": "response.created"}',
        b'event: response.created\ndata: {"type": "response.created", "sequence_number": 0}',
        b'event: error\ndata: {"type": "error", "message": "no", "error": {}, "sequence_number": 0}',
    ],
)
def test_an_event_that_does_not_fit_is_refused(event: bytes) -> None:
    with pytest.raises(Misfit):
        check_event(event)

"""How OpenAI's items are looked through, page by page, and deleted."""

from dataclasses import replace

import httpx2
import pytest

from dadm.domain.errors import BackendUnavailable, ConversationLost, OutcomeUnknown
from dadm.domain.thread import NO_USAGE, ConversationId
from dadm.ports.backend import (
    Answered,
    ErasureReport,
    Finding,
    FoundAnswered,
    FoundNothing,
    FoundUnanswered,
)
from tests.adapters.backends.wire import Json, Reply, Wire, error, message, openai_over, page, whole

ON = ConversationId("conv_1")
WHO = message("msg_1", "user", "Who?")
INES = message("msg_2", "assistant", "Ines.")
REASONING: Json = {"id": "rs_1", "type": "reasoning", "summary": []}
SEARCH: Json = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
CALL: Json = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "f",
    "arguments": "{}",
}
OUTPUT: Json = {"id": "fco_1", "type": "function_call_output", "call_id": "call_1", "output": ""}
GONE = error(404, "Conversation with id 'conv_1' not found.")
NO_ITEM = error(404, "No item found with id 'msg_0'", param="after")


async def look(*replies: Reply, after: str = "") -> Finding:
    async with openai_over(Wire(*replies)) as backend:
        return await backend.look(ON, after_item=after, prompt="Who?")


def found(last_item_id: str, *, text: str = "Ines.", foreign_items: int = 0) -> FoundAnswered:
    answered = Answered(text=text, usage=NO_USAGE, last_item_id=last_item_id)
    return FoundAnswered(answered=answered, foreign_items=foreign_items)


@pytest.mark.parametrize(
    ("items", "finding"),
    [
        ([], FoundNothing()),
        ([WHO, INES], found("msg_2")),
        ([REASONING, WHO, REASONING, INES], found("msg_2")),
        ([WHO, INES, REASONING], found("rs_1")),
        ([message("msg_1", "user", "Who?\n"), INES], found("msg_2")),
        ([WHO | {"content": "Who?"}, INES | {"content": "Ines."}], found("msg_2")),
        ([WHO], FoundUnanswered()),
        ([WHO, REASONING], FoundUnanswered()),
        ([WHO, INES | {"status": "incomplete"}], FoundUnanswered()),
        ([WHO, INES, CALL], FoundUnanswered()),
        ([WHO, CALL, OUTPUT, INES], found("msg_2")),
        (
            [WHO, message("msg_2", "assistant", "Let me see.", phase="commentary")],
            FoundUnanswered(),
        ),
        (
            [WHO, message("msg_2", "assistant", [{"type": "refusal", "refusal": "No."}])],
            FoundUnanswered(),
        ),
        (
            [
                WHO,
                message("msg_2", "assistant", "I search."),
                SEARCH,
                message("msg_3", "assistant", "Ines."),
            ],
            found("msg_3", text="I search.\n\nInes."),
        ),
        (
            [WHO, INES, message("msg_3", "assistant", "Someone else's note.")],
            found("msg_3", foreign_items=1),
        ),
        (
            [WHO, INES, message("msg_3", "user", "Else?"), message("msg_4", "assistant", "No.")],
            found("msg_4", foreign_items=2),
        ),
        ([message("msg_0", "user", "Who? And why?"), INES], FoundNothing(foreign_items=2)),
        ([WHO, WHO | {"id": "msg_5"}, INES], found("msg_2", foreign_items=1)),
        ([message("msg_0", "system", "Hear!"), WHO, INES], found("msg_2", foreign_items=1)),
    ],
)
async def test_our_exchange_is_told_from_everything_else(
    items: list[Json], finding: Finding
) -> None:
    assert await look(page(*items)) == finding


async def test_all_pages_behind_the_known_item_are_read() -> None:
    wire = Wire(page(WHO, has_more=True), page(INES))

    async with openai_over(wire) as backend:
        finding = await backend.look(ON, after_item="msg_0", prompt="Who?")

    assert finding == found("msg_2")
    assert [dict(request.url.params) for request in wire.requests] == [
        {"after": "msg_0", "limit": "100", "order": "asc"},
        {"after": "msg_1", "limit": "100", "order": "asc"},
    ]


async def test_where_the_known_item_is_gone_pages_are_read_backwards_to_our_message() -> None:
    older = message("msg_8", "user", "Who?"), message("msg_9", "assistant", "Olga.")
    wire = Wire(NO_ITEM, page(INES, has_more=True), page(WHO, *reversed(older)))

    async with openai_over(wire) as backend:
        finding = await backend.look(ON, after_item="msg_0", prompt="Who?")

    assert finding == replace(found("msg_2"), is_by_text_alone=True)
    assert [dict(request.url.params) for request in wire.requests[1:]] == [
        {"limit": "100", "order": "desc"},
        {"after": "msg_2", "limit": "100", "order": "desc"},
    ]


async def test_a_conversation_is_lost_only_once_that_is_confirmed() -> None:
    with pytest.raises(ConversationLost):
        await look(GONE, GONE)
    with pytest.raises(OutcomeUnknown):
        await look(GONE, whole({"id": "conv_1", "object": "conversation", "created_at": 1}))
    with pytest.raises(BackendUnavailable):
        await look(GONE, error(429, "Slow down."))


async def test_looking_fails_where_listing_does() -> None:
    with pytest.raises(OutcomeUnknown):
        await look(page(WHO, has_more=True), error(500))


DONE = whole({"id": "conv_1", "object": "conversation", "created_at": 1})


async def test_erasing_deletes_items_then_responses_then_the_conversation() -> None:
    wire = Wire(page(WHO, has_more=True), page(INES), DONE)

    async with openai_over(wire) as backend:
        report = await backend.erase(ON, response_ids=["resp_1", "resp_2", "resp_1"])

    assert report == ErasureReport(deleted_items=2, deleted_responses=2)
    assert wire.sent[2:] == [
        "DELETE /v1/conversations/conv_1/items/msg_1",
        "DELETE /v1/conversations/conv_1/items/msg_2",
        "DELETE /v1/responses/resp_1",
        "DELETE /v1/responses/resp_2",
        "DELETE /v1/conversations/conv_1",
    ]


async def test_erasing_goes_on_past_what_is_gone_or_refused() -> None:
    refused = error(400, "This item stays.")
    missing = error(404, "Response with id 'resp_1' not found.")
    wire = Wire(page(WHO, INES), refused, DONE, missing, GONE)

    async with openai_over(wire) as backend:
        report = await backend.erase(ON, response_ids=["resp_1"])

    assert report == ErasureReport(deleted_items=1, deleted_responses=0, unreachable=("msg_1",))


async def test_erasing_goes_on_past_what_the_server_never_deletes() -> None:
    wire = Wire(page(WHO), DONE, httpx2.Response(405), DONE)

    async with openai_over(wire) as backend:
        report = await backend.erase(ON, response_ids=["resp_1"])

    assert report == ErasureReport(deleted_items=1, deleted_responses=0, unreachable=("resp_1",))
    assert wire.sent[-1] == "DELETE /v1/conversations/conv_1"


async def test_erasing_stops_where_the_outcome_is_unknown() -> None:
    wire = Wire(page(WHO, INES), error(500))

    async with openai_over(wire) as backend:
        with pytest.raises(OutcomeUnknown):
            await backend.erase(ON, response_ids=["resp_1"])

    assert len(wire.sent) == 2


@pytest.mark.parametrize(
    "reply",
    [
        error(404, "Response with id 'resp_1' not found."),
        error(400, "Cannot cancel a synchronous response."),
        error(409, "Already ended."),
        httpx2.Response(404),
        error(501, "Not implemented."),
    ],
)
async def test_cancelling_what_cannot_be_cancelled_is_no_error(reply: Reply) -> None:
    async with openai_over(Wire(reply)) as backend:
        await backend.cancel("resp_1")

"""What a probe of OpenAI finds is what is so, whatever is so; and nothing of it stays behind."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from dadm.adapters.simulators.openai import Behaviour, Echo, alternatives
from dadm.adapters.simulators.openai.errors import ApiError
from dadm.adapters.simulators.openai.faults import NoFaults
from dadm.adapters.simulators.openai.wire import Call, Reply
from dadm.domain.errors import BackendMisconfigured
from tests.adapters.backends.probing import QUICK, AtOnce, Endless, Refusing, Rewriting, probed

USUAL = {
    "output_ids_are_item_ids": "yes",
    "last_output_is_last_item": "yes",
    "referenced_input_keeps_id": "yes",
    "repeated_reference_refused": "yes",
    "links_items": "yes",
    "items_outlive_conversation": "yes",
    "items_outlive_removal": "yes",
    "items_outlive_response": "yes",
    "responses_outlive_conversation": "yes",
    "incomplete_appends": "input_and_output",
    "cancelled_appends": "nothing",
    "failed_appends": "nothing",
    "unstored_appends": "nothing",
    "locked_while_running": "yes",
    "items_listed_while_locked": "yes",
    "items_changed_while_locked": "no",
    "metadata_updated_while_locked": "yes",
    "reattach_after_end": "yes",
    "reattach_needs_streamed_creation": "yes",
    "background_disconnect": "goes_on",
    "streamed_disconnect": "forgotten",
    "unstreamed_disconnect": "goes_on",
    "foreground_cancel_allowed": "no",
    "input_optional_with_conversation": "yes",
    "update_merges_metadata": "no",
    "compaction_in_conversation": "yes",
    "background_needs_store": "yes",
    "idempotency_key_honoured": "no",
    "missing_conversation": "as_openai",
    "unknown_cursor": "told",
}
"""The simulator's usual answers."""

SEEN_OTHERWISE = {
    # A time that is over at once looks like a stream that ends with its response.
    "reattach_seconds=0": ("reattach_after_end", "no"),
    "azure_error_bodies=true": ("missing_conversation", "as_azure"),
    # Nobody was told the id of such a response, by which these could be told apart.
    "unstreamed_disconnect=goes_on_unseen": ("unstreamed_disconnect", "goes_on"),
    "unstreamed_disconnect=cancelled": ("unstreamed_disconnect", "stopped"),
    "unstreamed_disconnect=forgotten": ("unstreamed_disconnect", "stopped"),
    # A response that failed has no output.
    "failed_appends=input_and_output": ("failed_appends", "input"),
}
"""Switches that callers see by another name, or in other words."""

VARIANTS = alternatives(Behaviour())
WORDS = {"true": "yes", "false": "no"}


def seen(variant: str) -> tuple[str, str]:
    """Give the question that shows this variant, and its answer then."""
    question, _, answer = variant.partition("=")
    return SEEN_OTHERWISE.get(variant, (question, WORDS.get(answer, answer)))


async def test_every_question_is_answered_as_the_simulator_usually_is() -> None:
    async with probed() as given:
        findings = await given.findings()

    assert {found.question: found.answer for found in findings} == USUAL
    assert all(found.evidence and found.decides for found in findings)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_the_answer_follows_the_switch(variant: str) -> None:
    question, answer = seen(variant)
    async with probed(VARIANTS[variant]) as given:
        (finding,) = await given.findings(question)

    assert finding.answer == answer, finding.evidence
    assert finding.decides
    assert "not foreseen" not in finding.decides


def test_every_switch_but_one_changes_what_the_probe_says() -> None:
    unchanged = [each for each in VARIANTS if USUAL[seen(each)[0]] == seen(each)[1]]

    assert unchanged == ["unstreamed_disconnect=goes_on_unseen"]


async def test_nothing_is_left_but_what_is_told() -> None:
    async with probed() as given:
        await given.findings()
        left = given.what_is_left()

    # The id of a response whose caller left before its first byte is told to nobody.
    assert len(left) == len(given.probe.left_behind) == 1
    assert "thirty days" in given.probe.left_behind[0]


@pytest.mark.parametrize("variant", VARIANTS)
async def test_nothing_is_left_whatever_is_so(variant: str) -> None:
    question, _ = seen(variant)
    async with probed(VARIANTS[variant]) as given:
        await given.findings(question)

        if question != "unstreamed_disconnect":
            assert given.what_is_left() == []
            assert given.probe.left_behind == ()


async def test_the_plan_tells_what_it_takes() -> None:
    async with probed() as given:
        plan = given.probe.plan(tuple(USUAL))
        await given.findings()

    assert plan.question_count == len(USUAL)
    assert given.run_count <= plan.run_count <= given.run_count + 5
    assert len(given.faults.calls) == pytest.approx(plan.request_count, rel=0.15)
    limits = [call.body.get("max_output_tokens", 0) for call in given.faults.calls]
    assert max(limits) * plan.run_count == plan.output_token_count


NO_SWITCH = {
    "locked_while_running=no": Rewriting(
        "Another process", {"id": "resp_" + "0" * 48, "status": "completed"}
    ),
    "links_items=repeatedly": Rewriting("Item already in conversation", {"data": []}),
    "links_items=no": Refusing("POST", "/items", ApiError("What?"), holding="item_reference"),
    "unknown_cursor=listed": Rewriting("No item found", {"data": [], "has_more": False}),
    "unknown_cursor=not_recognised": Rewriting("No item found", ApiError("What?")),
    "missing_conversation=not_recognised": Rewriting(
        "Conversation with id", ApiError("Gone.", status=404)
    ),
    "missing_conversation=not_told": Rewriting("Conversation with id", {"id": "conv_0"}),
}


@pytest.mark.parametrize("otherwise", NO_SWITCH)
async def test_what_has_no_switch_is_observed_all_the_same(otherwise: str) -> None:
    question, _, answer = otherwise.partition("=")
    async with probed(faults=NO_SWITCH[otherwise]) as given:
        (finding,) = await given.findings(question)

    assert finding.answer == answer
    assert finding.decides.startswith(("breaks", "set DADM_"))


REFUSED_OTHERWISE = {
    "locked_while_running": "Another process",
    "repeated_reference_refused": "Duplicate item",
    "links_items": "Item already in conversation",
    "background_needs_store": "Background responses must be stored",
    "reattach_needs_streamed_creation": "cannot be streamed",
}


@pytest.mark.parametrize("question", REFUSED_OTHERWISE)
async def test_a_refusal_for_another_reason_is_no_answer(question: str) -> None:
    busy = Rewriting(REFUSED_OTHERWISE[question], ApiError("Not today."))
    async with probed(faults=busy) as given:
        (finding,) = await given.findings(question)

    assert not finding.is_answered
    assert "Not today." in finding.evidence


async def test_a_question_that_fails_says_so_and_the_others_are_asked() -> None:
    broken = Refusing("POST", "/items", ApiError("Sorry.", status=500))
    async with probed(faults=broken) as given:
        failed, answered = await given.findings("links_items", "update_merges_metadata")
        left = given.what_is_left()

    assert not failed.is_answered
    assert "HTTP 500" in failed.evidence
    assert answered.answer == "no"
    assert left == []


ENDS_TOO_SOON = (
    "cancelled_appends",
    "locked_while_running",
    "items_listed_while_locked",
    "items_changed_while_locked",
    "metadata_updated_while_locked",
    "reattach_needs_streamed_creation",
    "background_disconnect",
    "streamed_disconnect",
    "unstreamed_disconnect",
    "foreground_cancel_allowed",
)


async def test_nothing_is_concluded_about_running_from_what_has_ended() -> None:
    async with probed(faults=AtOnce()) as given:
        findings = await given.findings(*ENDS_TOO_SOON)

    assert [found.question for found in findings] == list(ENDS_TOO_SOON)
    assert [found.answer for found in findings] == [""] * len(ENDS_TOO_SOON)


async def test_a_response_that_does_not_fail_tells_nothing_about_failing() -> None:
    async with probed() as given:
        given.simulated.responder = Echo()
        (finding,) = await given.findings("failed_appends")

    assert not finding.is_answered
    assert "it is completed" in finding.evidence


async def test_a_question_has_its_time() -> None:
    pace = replace(QUICK, question=0.2, poll=0.01)
    async with probed(pace=pace, faults=Endless()) as given:
        late, answered = await given.findings("background_disconnect", "update_merges_metadata")
        left = given.what_is_left()

    assert late.evidence == "There was no answer within 0.2 seconds."
    assert answered.is_answered
    assert left == []


async def test_nothing_is_left_when_it_is_interrupted() -> None:
    faults = Endless()
    async with probed(faults=faults) as given:
        async with asyncio.TaskGroup() as tasks:
            probing = tasks.create_task(given.findings("background_disconnect"))
            await faults.come("POST", "/v1/responses")
            assert given.what_is_left()
            probing.cancel()

        assert probing.cancelled()
        assert given.what_is_left() == []
        assert given.probe.left_behind == ()


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/conversations", "update_merges_metadata"),
        ("/responses", "idempotency_key_honoured"),
        ("/responses", "locked_while_running"),
        ("/responses", "reattach_after_end"),
    ],
)
async def test_too_many_requests_are_waited_out(path: str, question: str) -> None:
    slow = ApiError("Slow down.", status=429, headers={"retry-after-ms": "1"})
    async with probed(faults=Refusing("POST", path, slow, times=2)) as given:
        (finding,) = await given.findings(question)

    assert finding.answer == USUAL[question]


async def test_a_used_up_quota_is_not_waited_for() -> None:
    empty = ApiError("You exceeded your quota.", status=429, code="insufficient_quota")
    async with probed(faults=Refusing("POST", "/responses", empty)) as given:
        (finding,) = await given.findings("locked_while_running")

    assert not finding.is_answered
    assert "quota" in finding.evidence


async def test_a_server_without_background_leaves_what_needs_it_open() -> None:
    no_background = ApiError("No background here.", param="background")
    refusing = Refusing("POST", "/responses", no_background, holding='"background": true')
    async with probed(faults=refusing) as given:
        findings = await given.findings("reattach_after_end", "streamed_disconnect")

    assert [found.answer for found in findings] == ["", "forgotten"]
    assert "No background here." in findings[0].evidence


class Stubborn(NoFaults):
    """Deletes nothing."""

    async def around(self, call: Call, perform: Callable[[], Awaitable[Reply]]) -> Reply:
        if call.method == "DELETE":
            raise ApiError("It stays.")
        return await perform()


async def test_what_cannot_be_deleted_is_told_by_its_id() -> None:
    async with probed() as given:
        given.simulated.faults = Stubborn()
        await given.findings("update_merges_metadata")
        left = given.what_is_left()

    assert list(given.probe.left_behind) == left
    assert len(left) == 1


async def test_a_wrong_key_is_told_before_anything_is_made() -> None:
    async with probed(key="sk-wrong-0123456789") as given:
        with pytest.raises(BackendMisconfigured, match="OPENAI_API_KEY"):
            await given.findings()

        assert [call.path for call in given.faults.calls] == []
        assert given.what_is_left() == []

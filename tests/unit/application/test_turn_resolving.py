"""A person decides about a turn, and whatever was under way can do no harm any more."""

import asyncio
from dataclasses import replace

import pytest

from dadm.adapters.backends.scripted import ScriptedBackend
from dadm.application.care.thread_care import ThreadCare
from dadm.application.care.turn_resolving import (
    AsAbandoned,
    AsAnswered,
    AsResubmit,
    Decision,
    NotResolved,
    Resolved,
)
from dadm.application.thread_holding import ThreadBusy
from dadm.domain.errors import (
    BackendMisconfigured,
    BackendRefused,
    BackendUnavailable,
    OutcomeUnknown,
    StoreUnavailable,
    ThreadErased,
    UnknownThread,
)
from dadm.domain.thread import GenerationState
from dadm.domain.transcript import Message
from dadm.domain.turn import TurnRef, TurnState
from dadm.ports.audit import AuditAction
from dadm.ports.store_values import ThreadGranted
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, NamelessRuns, Replica, Stage, settled

DECISIONS: dict[str, Decision] = {
    "answered": AsAnswered(),
    "in words": AsAnswered(words="Ask me again tomorrow."),
    "resubmit": AsResubmit(),
    "abandoned": AsAbandoned(reason="Not needed."),
}
LIVE, RETIRED = GenerationState.LIVE, GenerationState.RETIRED


async def left_open(stage: Stage, *, is_applied: bool = True) -> Replica:
    """Have one turn answered, and leave that of t2 without an end."""
    replica = await stage.replica()
    await replica.ask("t1")
    stage.backend.fail_turn(OutcomeUnknown("Cut off."), is_applied=is_applied)
    # It dies before it has written down that it did not find the answer either.
    keeps = stage.backend.keeps_conversations
    arrived, _ = replica.store.hold_next("set_aside" if keeps else "replan")
    for method in ("retrieve", "look"):
        stage.backend.fail(method, BackendUnavailable("Not now."))
    asking = stage.begin(replica.ask("t2"))
    await arrived.wait()
    await replica.crash()
    await settled(asking)
    stage.backend._faults_by_method.clear()
    assert (await stage.turn(make_task("t2"))).state is TurnState.SUBMITTED
    return await stage.replica()


async def resolve(
    stage: Stage, decision: Decision, task_id: str = "t2"
) -> Resolved | NotResolved | ThreadBusy:
    """Decide as a person does, who waits until a dead holder's lease has run out."""
    care = ThreadCare((await stage.replica()).world, patience_seconds=60)
    return await care.resolving.resolve((await stage.turn(make_task(task_id))).ref, decision)


async def rows(stage: Stage) -> list[tuple[AuditAction, str]]:
    entries = await stage.store.audit((await stage.thread()).ref)
    return [(each.action, each.detail) for each in entries]


async def kept(stage: Stage, conversation_id: str) -> list[str]:
    messages: list[Message] = await stage.kept(conversation_id)
    return [each.text for each in messages]


@pytest.mark.parametrize("backend", [ScriptedBackend, NamelessRuns], ids=["by run", "by looking"])
async def test_the_answer_is_found_at_the_backend_and_its_conversation_stays(
    keeping: Stage, backend: type[ScriptedBackend]
) -> None:
    keeping.use(backend(keeps_conversations=True))
    replica = await left_open(keeping)

    done = await resolve(keeping, AsAnswered())
    second, third = await replica.ask("t2"), await replica.ask("t3")

    assert isinstance(done, Resolved)
    assert (done.turn.answer, done.turn.recovered, done.retired) == ("ok", True, None)
    assert second.is_replayed
    assert await keeping.states() == [LIVE]
    assert len(await kept(keeping, third.thread_id)) == 6
    assert [each for each, _ in await rows(keeping)] == [
        AuditAction.RECOVERED,
        AuditAction.REPLAYED,
    ]


async def test_an_answer_in_a_conversation_left_behind_is_found_and_the_live_one_is_left_too(
    keeping: Stage,
) -> None:
    await left_open(keeping)
    thread = await keeping.thread()
    # Whoever gave the thread a new conversation died before the turn was planned again.
    await asyncio.sleep(LIMITS.lease_seconds)
    taken = await keeping.store.lease_known_thread(thread.ref, owner="x", lease_seconds=1)
    assert isinstance(taken, ThreadGranted)
    opened = await keeping.backend.open(labels={})
    await keeping.store.note_conversation(
        thread.ref,
        identity=keeping.backend.identity,
        conversation_id=opened,
        reason=(await keeping.generations())[0].reason,
        opened_from=0,
        opened_to=0,
    )
    await keeping.store.make_live(taken.lease, 2)

    done = await resolve(keeping, AsAnswered())

    assert isinstance(done, Resolved)
    assert done.turn.answer == "ok"
    assert await keeping.states() == [RETIRED, RETIRED]


async def test_an_answer_that_is_nowhere_is_told_with_what_to_do(keeping: Stage) -> None:
    await left_open(keeping, is_applied=False)

    done = await resolve(keeping, AsAnswered())

    assert isinstance(done, NotResolved)
    assert "--answer" in done.said
    assert "--as resubmit" in done.said
    assert (await keeping.turn(make_task("t2"))).state is TurnState.SUBMITTED
    assert await keeping.states() == [LIVE]


async def test_an_answer_by_words_alone_is_left_to_the_person(keeping: Stage) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    await left_open(keeping)
    messages = keeping.backend._conversations._of(keeping.backend.conversation_ids[0]).messages
    del messages[:2]

    done = await resolve(keeping, AsAnswered())

    assert isinstance(done, NotResolved)
    assert "earlier turn" in done.said


async def test_a_run_that_is_under_way_is_waited_for(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t2"))
    await hold.asked.wait()
    await replica.crash()
    await settled(asking)

    early = await resolve(keeping, AsAnswered())
    hold.let_go()
    late = await resolve(keeping, AsAnswered())

    assert isinstance(early, NotResolved)
    assert "under way" in early.said
    assert isinstance(late, Resolved)


async def test_where_looking_fails_nothing_is_changed(keeping: Stage) -> None:
    await left_open(keeping)
    keeping.backend.fail("retrieve", BackendUnavailable("Not reachable."))

    with pytest.raises(BackendUnavailable):
        await resolve(keeping, AsAnswered())

    turn = await keeping.turn(make_task("t2"))
    assert turn.state is TurnState.SUBMITTED
    # And the thread was given back: nobody waits for a lease to run out.
    care = ThreadCare((await keeping.replica()).world, patience_seconds=0)
    assert isinstance(await care.resolving.resolve(turn.ref, AsAnswered()), Resolved)


async def test_the_words_of_a_person_become_the_answer_and_the_memory(stage: Stage) -> None:
    replica = await left_open(stage)

    done = await resolve(stage, DECISIONS["in words"])
    second, third = await replica.ask("t2"), await replica.ask("t3")

    assert isinstance(done, Resolved)
    assert (done.turn.answer, done.turn.recovered) == ("Ask me again tomorrow.", False)
    assert (second.recommendation, second.is_replayed) == ("Ask me again tomorrow.", True)
    assert (AuditAction.RESOLVED, "answered by a person") in await rows(stage)
    if stage.backend.keeps_conversations:
        # The old conversation does not hold that exchange, or another one in its place.
        assert await stage.states() == [RETIRED, LIVE]
        assert await kept(stage, third.thread_id) == [
            "What about t1?",
            "ok",
            "What about t2?",
            "Ask me again tomorrow.",
            "What about t3?",
            "ok",
        ]
    else:
        assert await stage.states() == [LIVE]


async def test_a_turn_is_asked_again_where_a_late_arrival_does_no_harm(stage: Stage) -> None:
    replica = await left_open(stage)

    done = await resolve(stage, AsResubmit())
    second = await replica.ask("t2")

    assert isinstance(done, Resolved)
    assert done.turn.state is TurnState.PLANNED
    assert (second.is_replayed, second.sequence) == (False, 2)
    assert len(stage.asked) == 3
    if stage.backend.keeps_conversations:
        assert await stage.states() == [RETIRED, LIVE]
        assert len(await kept(stage, second.thread_id)) == 4
    assert [each for each in await rows(stage) if each[0] is not AuditAction.REBUILT] == [
        (AuditAction.RESOLVED, "asked again by a person"),
        (AuditAction.ASKED_AGAIN, "resubmitted"),
    ]


async def test_an_abandoned_turn_ends_without_an_answer_and_the_thread_goes_on(
    stage: Stage,
) -> None:
    replica = await left_open(stage)

    done = await resolve(stage, AsAbandoned(reason="Not needed."))
    with pytest.raises(BackendRefused):
        await replica.ask("t2")
    third = await replica.ask("t3")

    assert isinstance(done, Resolved)
    assert done.turn.state is TurnState.ABANDONED
    assert third.sequence == 3
    if stage.backend.keeps_conversations:
        assert "What about t2?" not in await kept(stage, third.thread_id)
    assert (AuditAction.ABANDONED, "Not needed.") in await rows(stage)


async def test_a_planned_turn_can_be_abandoned_and_its_conversation_stays(stage: Stage) -> None:
    replica = await stage.replica()
    await replica.ask("t1")
    stage.backend.fail_turn(BackendMisconfigured("Wrong key."))
    await settled(replica.ask("t2"))
    assert (await stage.turn(make_task("t2"))).state is TurnState.PLANNED

    done = await resolve(stage, AsAbandoned(reason="Never mind."))

    assert isinstance(done, Resolved)
    assert done.turn.state is TurnState.ABANDONED
    assert await stage.states() == [LIVE]


SETTLED = {
    TurnState.PLANNED: "asked when its task is delivered next",
    TurnState.COMPLETED: "never changes",
    TurnState.REFUSED: "delivered again",
    TurnState.ABANDONED: "new task",
}


@pytest.mark.parametrize(
    ("state", "decision"),
    [
        (state, name)
        for state in SETTLED
        for name in DECISIONS
        if (state, name) != (TurnState.PLANNED, "abandoned")
    ],
)
async def test_a_turn_that_is_not_open_is_left_as_it_is(
    keeping: Stage, state: TurnState, decision: str
) -> None:
    await left_open(keeping)
    turn = await keeping.turn(make_task("t2"))
    record = keeping.store._records.turns[turn.ref]
    record.turn = replace(turn, state=state)

    done = await resolve(keeping, DECISIONS[decision])

    assert isinstance(done, NotResolved)
    assert f"is {state.value}" in done.said
    assert SETTLED[state] in done.said
    assert await keeping.turn(make_task("t2")) == replace(turn, state=state)
    assert await keeping.states() == [LIVE]


@pytest.mark.parametrize("decision", list(DECISIONS.values())[1:], ids=list(DECISIONS)[1:])
async def test_a_decision_cut_off_after_the_conversation_was_left_can_be_made_again(
    keeping: Stage, decision: Decision
) -> None:
    await left_open(keeping)
    replica = await keeping.replica()
    ref = (await keeping.turn(make_task("t2"))).ref
    method = "replan" if isinstance(decision, AsResubmit) else "settle"
    replica.store.fail_next(method, StoreUnavailable("Gone."), times=10)
    care = ThreadCare(replica.world, patience_seconds=60)
    with pytest.raises(StoreUnavailable):
        await care.resolving.resolve(ref, decision)
    assert await keeping.states() == [RETIRED]

    done = await resolve(keeping, decision)

    assert isinstance(done, Resolved)
    assert done.turn.state is not TurnState.SUBMITTED


async def test_a_turn_in_flight_is_left_to_its_holder(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t2"))
    await hold.asked.wait()
    care = ThreadCare((await keeping.replica()).world)

    done = await care.resolving.resolve((await keeping.turn(make_task("t2"))).ref, AsResubmit())
    hold.let_go()

    assert isinstance(done, ThreadBusy)
    assert (await asking).recommendation == "ok"


async def test_a_backend_that_is_configured_no_longer_hinders_only_looking(keeping: Stage) -> None:
    await left_open(keeping)
    keeping.backends.known.clear()

    done = await resolve(keeping, DECISIONS["in words"])

    assert isinstance(done, Resolved)
    assert await keeping.states() == [RETIRED]


async def test_a_turn_that_is_not_there_is_told(keeping: Stage) -> None:
    care = ThreadCare((await keeping.replica()).world)

    with pytest.raises(UnknownThread, match="dadm turns list"):
        await care.resolving.resolve(TurnRef(7), AsResubmit())


async def test_turns_of_a_thread_that_is_being_erased_end_with_it(keeping: Stage) -> None:
    replica = await keeping.replica()
    await replica.ask("t2")
    keeping.backend.fail("erase", BackendUnavailable("Not now."))
    await ThreadCare(replica.world).erasing.erase((await keeping.thread()).ref)

    with pytest.raises(ThreadErased):
        await resolve(keeping, AsResubmit())

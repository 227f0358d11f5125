"""A thread is given a new conversation with its memory because a person asks for it."""

import pytest

from dadm.application.care.thread_care import ThreadCare
from dadm.application.care.thread_rebuilding import NotRebuilt, Rebuilding, Rebuilt
from dadm.application.thread_holding import ThreadBusy
from dadm.domain.errors import BackendUnavailable, OutcomeUnknown, ThreadErased, TooManyLost
from dadm.domain.thread import GenerationReason, GenerationState
from dadm.domain.turn import TurnState
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, Replica, Stage, settled


async def rebuilt(stage: Stage) -> Rebuilding | ThreadBusy:
    care = ThreadCare((await stage.replica()).world)
    return await care.rebuilding.rebuild((await stage.thread()).ref)


async def left_unknown(stage: Stage, replica: Replica, *, is_applied: bool) -> None:
    """Leave the turn of t2 without an end."""
    stage.backend.fail_turn(OutcomeUnknown("Cut off."), is_applied=is_applied)
    for method in ("retrieve", "look"):
        stage.backend.fail(method, BackendUnavailable("Not now."))
    await settled(replica.ask("t2"))
    assert (await stage.turn(make_task("t2"))).state is TurnState.UNKNOWN
    stage.backend._faults_by_method.clear()


async def test_a_thread_is_rebuilt_with_its_memory(keeping: Stage) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1")
    await replica.ask("t2")

    done = await rebuilt(keeping)
    third = await replica.ask("t3")

    assert isinstance(done, Rebuilt)
    assert done.opening.previous_thread_id == first.thread_id
    assert done.opening.copied_messages == 4
    assert (third.thread_id, third.generation) == (done.opening.thread_id, 2)
    assert [each.text for each in await keeping.kept(third.thread_id)][::2] == [
        "What about t1?",
        "What about t2?",
        "What about t3?",
    ]
    assert [each.reason for each in await keeping.generations()][1:] == [GenerationReason.REQUESTED]
    assert await keeping.states() == [GenerationState.RETIRED, GenerationState.LIVE]


async def test_what_an_open_turn_has_been_answered_is_kept(keeping: Stage) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    await left_unknown(keeping, replica, is_applied=True)

    done = await rebuilt(keeping)
    second = await replica.ask("t2")

    assert isinstance(done, Rebuilt)
    assert done.opening.copied_messages == 4
    assert second.is_replayed
    assert len(keeping.asked) == 2


async def test_an_open_turn_that_was_never_taken_is_asked_on_the_new_conversation(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    await left_unknown(keeping, replica, is_applied=False)

    done = await rebuilt(keeping)
    second = await replica.ask("t2")

    assert isinstance(done, Rebuilt)
    assert (second.thread_id, second.is_replayed) == (done.opening.thread_id, False)
    # Looking had to leave a conversation behind already: one more would be in vain.
    assert [each.reason for each in await keeping.generations()][1:] == [GenerationReason.FENCED]


async def test_where_looking_fails_nothing_is_changed_and_the_way_out_is_named(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    await left_unknown(keeping, replica, is_applied=True)
    keeping.backend.fail("retrieve", BackendUnavailable("Still not."))

    done = await rebuilt(keeping)

    turn = await keeping.turn(make_task("t2"))
    assert isinstance(done, NotRebuilt)
    assert "Still not." in done.said
    assert f"dadm turns resolve {turn.ref}" in done.said
    assert turn.state is TurnState.UNKNOWN
    assert await keeping.states() == [GenerationState.LIVE]


async def lose_many(stage: Stage, replica: Replica) -> None:
    """Have so many threads lose their conversations that no more losses are believed."""
    for number in range(LIMITS.losses_believed):
        given = {"process_instance_id": f"lost{number}"}
        answer = await replica.ask(f"l{number}", **given)
        stage.backend.lose(stage.backend.conversation_ids[-1])
        assert (await replica.ask(f"m{number}", **given)).thread_id != answer.thread_id


async def test_a_person_is_believed_where_so_many_losses_are_not(keeping: Stage) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1")
    await lose_many(keeping, replica)
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    with pytest.raises(TooManyLost):
        await replica.ask("t2")
    care = ThreadCare(replica.world)
    thread = await keeping.store.find_thread(first.thread_id)
    assert thread is not None

    done = await care.rebuilding.rebuild(thread.ref)
    second = await replica.ask("t2")

    assert isinstance(done, Rebuilt)
    assert (second.thread_id, second.sequence) == (done.opening.thread_id, 2)


async def test_so_also_where_a_turn_was_left_open_on_the_lost_conversation(
    keeping: Stage,
) -> None:
    replica = await keeping.replica()
    first = await replica.ask("t1")
    await lose_many(keeping, replica)
    thread = await keeping.store.find_thread(first.thread_id)
    assert thread is not None
    keeping.backend.fail_turn(OutcomeUnknown("Cut off."))
    keeping.backend.fail("look", BackendUnavailable("Not now."))
    await settled(replica.ask("t2"))
    keeping.backend.lose(keeping.backend.conversation_ids[0])
    care = ThreadCare(replica.world)
    verified = await care.verifying.verify(thread, is_remote=True, is_repaired=True)

    done = await care.rebuilding.rebuild(thread.ref)
    second = await replica.ask("t2")

    # A repair of all threads is no word about this one.
    assert verified.rebuilt is None
    assert "believed" in verified.not_rebuilt
    assert isinstance(done, Rebuilt)
    assert (second.thread_id, second.sequence) == (done.opening.thread_id, 2)


async def test_a_held_thread_is_left_alone(keeping: Stage) -> None:
    replica = await keeping.replica()
    hold = keeping.backend.hold_turn()
    asking = keeping.begin(replica.ask("t1"))
    await hold.asked.wait()

    done = await rebuilt(keeping)
    hold.let_go()

    assert isinstance(done, ThreadBusy)
    assert 0 < done.lease_remaining_seconds <= LIMITS.lease_seconds
    assert "Try again" in done.said
    assert (await asking).generation == 1


async def test_a_closed_thread_needs_no_conversation(keeping: Stage) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    await keeping.store.close_scope(engine="embedded", tenant="", scope="p1")

    done = await rebuilt(keeping)

    assert isinstance(done, NotRebuilt)
    assert "closed" in done.said


async def test_a_backend_that_keeps_nothing_needs_no_rebuilding(forgetful: Stage) -> None:
    await (await forgetful.replica()).ask("t1")

    done = await rebuilt(forgetful)

    assert isinstance(done, NotRebuilt)
    assert "keeps no conversations" in done.said


async def test_a_thread_without_any_conversation_gets_its_first_with_its_first_turn(
    keeping: Stage,
) -> None:
    keeping.backend.fail("open", BackendUnavailable("Not yet."))
    await settled((await keeping.replica()).ask("t1"))

    done = await rebuilt(keeping)

    assert isinstance(done, NotRebuilt)
    assert "first turn" in done.said


async def test_a_thread_that_is_being_erased_is_not_rebuilt(keeping: Stage) -> None:
    replica = await keeping.replica()
    await replica.ask("t1")
    keeping.backend.fail("erase", BackendUnavailable("Not now."))
    await ThreadCare(replica.world).erasing.erase((await keeping.thread()).ref)

    with pytest.raises(ThreadErased):
        await rebuilt(keeping)

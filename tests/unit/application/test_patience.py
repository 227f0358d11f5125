"""A backend that limits requests or fails: asked again with patience, left alone when that is no use."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from dadm.domain.errors import BackendError, BackendResting, BackendUnavailable, OutcomeUnknown
from dadm.domain.turn import TurnState
from dadm.ports.assistant_service import ThreadChange
from dadm.ports.observer import BackendTrouble, ThreadRebuilt, TurnDelayed, TurnUnsettled
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, NamelessRuns, Replica, Stage, settled

PATIENT = replace(LIMITS, patience_seconds=60.0, failures_in_a_row=5, rest_seconds=15.0)
TWO_FAILURES = replace(PATIENT, failures_in_a_row=2)


def seconds() -> float:
    return asyncio.get_running_loop().time()


def fail(stage: Stage, error: BackendError, *, times: int) -> None:
    for _ in range(times):
        stage.backend.fail_turn(error)


async def test_request_that_was_not_taken_is_sent_again_after_growing_pauses(stage: Stage) -> None:
    replica = await stage.replica(limits=PATIENT)
    fail(stage, BackendUnavailable("Too many requests."), times=3)
    begun_at = seconds()

    answer = await replica.ask("t1")

    assert (answer.recommendation, answer.is_recovered) == ("ok", False)
    assert len(stage.asked) == 1
    pauses = [event.pause_seconds for event in replica.told(TurnDelayed)]
    # Chance is one half here, so that each pause is three quarters of its longest.
    assert pauses == pytest.approx([0.375, 0.75, 1.5])
    assert seconds() - begun_at >= sum(pauses)
    assert (await stage.turn()).attempts == 4
    assert (await stage.thread()).turn_count == 1


async def test_backend_is_waited_for_as_long_as_it_asks(stage: Stage) -> None:
    replica = await stage.replica(limits=PATIENT)
    fail(stage, BackendUnavailable(retry_after=timedelta(seconds=40)), times=1)
    begun_at = seconds()

    await replica.ask("t1")

    assert 40 <= seconds() - begun_at < 41


async def test_task_goes_back_at_once_where_the_backend_asks_for_more_than_our_patience(
    stage: Stage,
) -> None:
    replica = await stage.replica(limits=PATIENT)
    fail(stage, BackendUnavailable(retry_after=timedelta(seconds=61)), times=1)
    begun_at = seconds()

    with pytest.raises(BackendUnavailable) as raised:
        await replica.ask("t1")

    assert seconds() - begun_at < 1
    assert raised.value.retry_after == timedelta(seconds=61)
    assert (await stage.turn()).state is TurnState.PLANNED
    assert (await replica.ask("t2")).recommendation == "ok"


async def test_later_task_does_not_overtake_one_that_waits_for_its_backend(stage: Stage) -> None:
    replica = await stage.replica(limits=PATIENT)
    fail(stage, BackendUnavailable(retry_after=timedelta(seconds=30)), times=1)
    first = stage.begin(replica.ask("t1"))
    await asyncio.sleep(1)

    second = await replica.ask("t2")

    assert ((await first).sequence, second.sequence) == (1, 2)
    assert stage.asked == ["What about t1?", "What about t2?"]


async def test_request_of_unknown_fate_is_looked_for_fenced_off_and_sent_again_after_a_pause(
    keeping: Stage,
) -> None:
    replica = await keeping.replica(limits=PATIENT)
    fail(keeping, OutcomeUnknown("HTTP 502"), times=2)

    answer = await replica.ask("t1")

    assert (answer.recommendation, answer.generation) == ("ok", 3)
    assert len(keeping.asked) == 1
    assert [event.code for event in replica.told(TurnDelayed)] == ["outcome_unknown"] * 2


async def test_backend_that_keeps_nothing_is_asked_three_times_at_most_in_one_delivery(
    forgetful: Stage,
) -> None:
    replica = await forgetful.replica(limits=PATIENT)
    fail(forgetful, OutcomeUnknown("HTTP 502"), times=3)

    with pytest.raises(OutcomeUnknown):
        await replica.ask("t1")

    assert forgetful.called("take_turn") == 3
    assert (await forgetful.turn()).state is TurnState.PLANNED
    assert (await replica.ask("t1")).recommendation == "ok"


# Circuits


async def with_open_circuit(stage: Stage) -> Replica:
    """Have two failures in a row open the circuit of a replica's backend."""
    replica = await stage.replica(limits=TWO_FAILURES)
    await replica.ask("t0")
    fail(stage, BackendUnavailable("HTTP 503"), times=2)
    with pytest.raises(BackendUnavailable) as raised:
        await replica.ask("t1")
    assert not isinstance(raised.value, BackendResting), "it was asked, which costs a retry"
    (trouble,) = replica.told(BackendTrouble)
    assert (trouble.is_over, trouble.reason) == (False, "HTTP 503")
    return replica


async def test_backend_that_fails_in_a_row_is_not_asked_for_a_while(stage: Stage) -> None:
    replica = await with_open_circuit(stage)
    asked = stage.called("take_turn")
    begun_at = seconds()

    outcomes = await settled(*(replica.ask(f"t{n}") for n in range(2, 12)))

    assert {type(outcome) for outcome in outcomes} == {BackendResting}
    assert all(0 < outcome.retry_after.total_seconds() <= 15 for outcome in outcomes)
    assert seconds() - begun_at < 1
    assert stage.called("take_turn") == asked
    assert (await stage.thread()).turn_count == 1


async def test_recorded_answer_is_given_while_its_backend_is_left_alone(stage: Stage) -> None:
    replica = await with_open_circuit(stage)

    assert (await replica.ask("t0")).is_replayed


async def test_one_task_tries_the_backend_after_its_rest_and_lets_the_others_in(
    stage: Stage,
) -> None:
    other = await stage.replica(limits=TWO_FAILURES)
    await other.ask("t0", process_instance_id="p2")
    replica = await with_open_circuit(stage)
    await asyncio.sleep(16)
    hold = stage.backend.hold_turn()
    trying = stage.begin(replica.ask("t1"))
    await hold.asked.wait()
    for process in ("p2", "p3"):
        with pytest.raises(BackendResting):
            await replica.ask("t2", process_instance_id=process)
    hold.let_go()

    assert (await trying).recommendation == "ok"

    assert (await replica.ask("t2", process_instance_id="p2")).recommendation == "ok"
    assert [event.is_over for event in replica.told(BackendTrouble)] == [False, True]


async def test_backend_that_fails_its_trial_rests_twice_as_long(stage: Stage) -> None:
    replica = await with_open_circuit(stage)
    await asyncio.sleep(16)
    fail(stage, BackendUnavailable(), times=1)
    with pytest.raises(BackendUnavailable):
        await replica.ask("t1")

    with pytest.raises(BackendResting) as raised:
        await replica.ask("t1")

    assert raised.value.retry_after is not None
    assert 29 < raised.value.retry_after.total_seconds() <= 30
    assert len(replica.told(BackendTrouble)) == 1, "it is told once"


async def test_answers_in_between_keep_the_circuit_closed(stage: Stage) -> None:
    replica = await stage.replica(limits=TWO_FAILURES)
    for number in range(5):
        fail(stage, BackendUnavailable(), times=1)
        assert (await replica.ask(f"t{number}")).recommendation == "ok"

    assert not replica.told(BackendTrouble)


async def test_nothing_is_fenced_into_a_backend_that_fails(keeping: Stage) -> None:
    keeping.use(NamelessRuns(keeps_conversations=True))
    replica = await keeping.replica(limits=TWO_FAILURES)
    await replica.ask("t0")
    fail(keeping, OutcomeUnknown("HTTP 500"), times=2)

    with pytest.raises(OutcomeUnknown):
        await replica.ask("t1")

    # The first failure was looked for and fenced off; the second opened the circuit.
    assert keeping.called("open") == 2
    assert (await keeping.turn(make_task("t1"))).state is TurnState.UNKNOWN
    assert replica.told(TurnUnsettled)[-1].is_unknown
    await asyncio.sleep(16)
    answer = await replica.ask("t1")
    assert (answer.recommendation, answer.change) == ("ok", ThreadChange.REBUILT)
    assert len(replica.told(ThreadRebuilt)) == 2

"""Many lost conversations at once are not believed, but shown to a person."""

import asyncio
from dataclasses import replace

import pytest

from dadm.domain.errors import TooManyLost
from dadm.domain.turn import TurnState
from dadm.ports.observer import LossesNotBelieved
from tests.builders import make_task
from tests.unit.application.stage import LIMITS, Replica, Stage, settled

CAUTIOUS = replace(LIMITS, losses_believed=2, losses_seconds=600.0)


async def with_all_lost(stage: Stage, count: int) -> Replica:
    replica = await stage.replica(limits=CAUTIOUS)
    for number in range(count):
        await replica.ask(f"first {number}", process_instance_id=f"p{number}")
    for conversation in stage.backend.conversation_ids:
        stage.backend.lose(conversation)
    return replica


async def ask_all(replica: Replica, count: int) -> list[str]:
    outcomes = [
        (await settled(replica.ask(f"second {number}", process_instance_id=f"p{number}")))[0]
        for number in range(count)
    ]
    return [type(outcome).__name__ for outcome in outcomes]


async def test_a_few_losses_are_rebuilt_and_more_wait_for_a_person(keeping: Stage) -> None:
    replica = await with_all_lost(keeping, 4)

    outcomes = await ask_all(replica, 4)

    assert outcomes == ["TaskAnswer", "TaskAnswer", "TooManyLost", "TooManyLost"]
    assert keeping.called("open") == 4 + 2
    assert [event.count for event in replica.told(LossesNotBelieved)] == [2, 2]
    task = make_task("second 3", process_instance_id="p3")
    turn = await keeping.store.look_up((await keeping.threads())[3].key, task.turn_key)
    assert turn.turn is not None
    assert turn.turn.state is TurnState.PLANNED


async def test_error_says_what_to_check_and_how_to_go_on(keeping: Stage) -> None:
    replica = await with_all_lost(keeping, 3)
    await ask_all(replica, 2)

    with pytest.raises(TooManyLost, match="check address, key and project first") as raised:
        await replica.ask("second 2", process_instance_id="p2")

    assert "dadm threads rebuild conv_3" in raised.value.message
    assert "DADM_TURNS__LOSSES_BELIEVED" in raised.value.message
    assert not raised.value.retryable, "an incident, since a person must look"


async def test_losses_are_counted_over_all_replicas_and_for_a_time_only(keeping: Stage) -> None:
    replica = await with_all_lost(keeping, 3)
    await ask_all(replica, 2)
    other = await keeping.replica(limits=CAUTIOUS)
    with pytest.raises(TooManyLost):
        await other.ask("second 2", process_instance_id="p2")

    await asyncio.sleep(CAUTIOUS.losses_seconds)

    assert (await other.ask("second 2", process_instance_id="p2")).recommendation == "ok"


async def test_threads_that_were_not_lost_go_on_meanwhile(keeping: Stage) -> None:
    replica = await with_all_lost(keeping, 3)
    await replica.ask("here", process_instance_id="there")
    await ask_all(replica, 3)

    assert (await replica.ask("again", process_instance_id="there")).recommendation == "ok"

"""While turns are taken, fail, are refused and asked again, whoever verifies finds nothing wrong."""

import asyncio
import random

import pytest

from dadm.application.care.findings import FindingKind
from dadm.application.care.thread_care import ThreadCare
from dadm.application.care.thread_verifying import RemoteCheck
from dadm.domain.errors import (
    BackendMisconfigured,
    BackendRefused,
    ConversationLost,
    DadmError,
    OutcomeUnknown,
)
from tests.builders import make_task
from tests.unit.application.stage import Replica, Stage

TASKS = 60


async def take_turns(stage: Stage, replica: Replica, chance: random.Random, first: int) -> None:
    """Bring each task until it has an end, with a backend that often fails; report refusals."""
    for number in range(first, TASKS, 2):
        while True:
            if chance.random() < 0.5:
                error = chance.choice(
                    [
                        BackendRefused("No."),
                        BackendMisconfigured("Wrong key."),
                        OutcomeUnknown("Cut off."),
                        ConversationLost("Gone."),
                    ]
                )
                # Only of an unknown outcome may it have been taken all the same.
                is_applied = isinstance(error, OutcomeUnknown) and chance.random() < 0.5
                stage.backend.fail_turn(error, is_applied=is_applied)
            task_id = f"t{number}"
            try:
                await replica.ask(task_id)
                break
            except BackendRefused:
                # A person releases it, so that it is asked again under another number.
                await stage.store.mark_reported(make_task(task_id).turn_key)
            except DadmError:
                await asyncio.sleep(chance.random() * 5)


@pytest.mark.parametrize("seed", range(8))
async def test_whoever_verifies_beside_turns_finds_nothing_wrong(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - so that a test can be repeated
    replicas = [await stage.replica() for _ in range(2)]
    working = [
        stage.begin(take_turns(stage, replica, chance, first))
        for first, replica in enumerate(replicas)
    ]
    reader = ThreadCare((await stage.replica()).world)
    read = compared = 0
    while not all(each.done() for each in working):
        await asyncio.sleep(chance.random() * 0.2)
        for thread in await stage.threads():
            found = await reader.verifying.verify(thread, is_remote=chance.random() < 0.3)
            lost = {each.kind for each in found.findings} - {FindingKind.BUSY}
            assert not lost, found.findings
            read += found.turns
            compared += found.remote is RemoteCheck.COMPARED

    for each in working:
        await each
    assert read > TASKS
    assert compared > 0 or not stage.backend.keeps_conversations
    (thread,) = await stage.threads()
    last = await reader.verifying.verify(thread, is_remote=True)
    assert last.findings == ()
    # Refusals left numbers unused, and were seen to explain them.
    assert thread.turn_count > last.turns == TASKS

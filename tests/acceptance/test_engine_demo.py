"""The demo on real engines: four tasks of one instance, answered by the local model on one thread."""

import asyncio
import re
from pathlib import Path

import httpx2
import pytest

from tests.engines.demo import TASKS, play
from tests.engines.rest_engine import RestEngine

pytestmark = [pytest.mark.engines, pytest.mark.model, pytest.mark.timeout(600)]


def leave(address: str, instance: str) -> None:
    """Leave the engine as it was found: others ask what ended there."""
    if address.endswith("/engine-rest"):
        asyncio.run(RestEngine(address).close())
    else:
        # It waits for its listener, since nobody worked any more.
        httpx2.post(f"{address}/process-instances/{instance}/cancellation", json={})


@pytest.mark.parametrize("engine", ["operaton_url", "camunda7_url", "camunda8_url"])
def test_the_decision_process_is_worked_with_the_local_model(
    request: pytest.FixtureRequest,
    engine: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = request.getfixturevalue(engine)

    is_well = play(address, tmp_path)

    told = capsys.readouterr().out
    begun = re.search(r"the process instance (\S+) has begun", told)
    assert begun
    leave(address, begun[1])
    assert is_well
    answers = re.findall(r"^  (\w+): \S", told, flags=re.MULTILINE)
    assert answers == list(TASKS)

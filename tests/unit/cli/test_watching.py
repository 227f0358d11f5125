"""Watching tells where an instance stands, and ends when it can go no further by itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from dadm.domain.errors import EngineRejected
from dadm.entrypoints.cli import watching
from dadm.entrypoints.cli.watching import watch
from dadm.ports.engine import EngineIncident, InstanceState, ProcessInstance

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def standing(*waiting_at: str, **changes: Any) -> ProcessInstance:
    fields: dict[str, Any] = {
        "instance_id": "p1",
        "definition_id": "decision:1",
        "definition_key": "decision",
        "business_key": "",
        "tenant": "",
        "state": InstanceState.ACTIVE,
        "variables": {},
        "waiting_at": waiting_at,
        "incident_count": 0,
        "started_at": NOON,
    }
    return ProcessInstance(**(fields | changes))


class Course:
    """An engine whose one instance stands where the test says, one look after the other."""

    def __init__(self, *looks: ProcessInstance) -> None:
        self._looks = iter(looks)

    async def instance(self, instance_id: str) -> ProcessInstance:
        assert instance_id == "p1"
        return next(self._looks)

    async def incidents(self, *, limit: int = 100) -> Sequence[EngineIncident]:
        return [
            EngineIncident(
                incident_id=f"incident-of-{instance}",
                instance_id=instance,
                element_id="Frame",
                task_id="t",
                message="The key is wrong.",
                details="",
                created_at=NOON,
            )
            for instance in ("p0", "p1")
        ]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 0)


async def watched(*looks: ProcessInstance) -> tuple[ProcessInstance, list[str]]:
    told: list[str] = []
    # Only the part of the port that watching uses.
    engine: Any = Course(*looks)
    return await watch(engine, "p1", told.append), told


async def test_each_place_is_told_once_until_the_end() -> None:
    ended = standing(state=InstanceState.COMPLETED, variables={"recommendation": "Yes."})

    found, told = await watched(
        standing("Frame"), standing("Frame"), standing("A", "B"), standing(), ended
    )

    assert found is ended
    assert told == ["waits at Frame", "waits at A, B", "goes on"]


async def test_whoever_waits_long_in_one_place_is_told_what_may_be_missing() -> None:
    ended = standing(state=InstanceState.COMPLETED)
    looks = [standing("Frame")] * (2 * watching.STILL_PAUSES)

    _, told = await watched(*looks, ended)

    assert told[0] == "waits at Frame"
    assert [("dadm run" in line) for line in told[1:]] == [True]


async def test_a_cancelled_instance_is_a_refusal() -> None:
    with pytest.raises(EngineRejected, match="p1 was cancelled"):
        await watched(standing("Frame"), standing(state=InstanceState.CANCELLED))


async def test_an_incident_ends_the_wait_and_says_how_to_go_on() -> None:
    with pytest.raises(EngineRejected) as refusal:
        await watched(standing("Frame", incident_count=1))

    assert "Frame: The key is wrong." in refusal.value.message
    assert "dadm incidents retry incident-of-p1" in refusal.value.message
    assert "p0" not in refusal.value.message

"""People care for threads beside a running service: what somebody broke behind its back is found and mended."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.command_line import CommandLine
from tests.acceptance.programs import Program, Starting
from tests.databases import beside, command

# Each command of a test is a program of its own.
pytestmark = pytest.mark.timeout(240)

KEY = "sk-of-nobody"
HEADERS = {"Authorization": f"Bearer {KEY}"}
LEASE_SECONDS = 6
TURN_SECONDS = 8


@dataclass(slots=True, kw_only=True)
class Stage:
    """A simulated OpenAI that echoes, a service on it, and commands on the same database."""

    dadm: CommandLine
    simulator: str
    service: Program

    def ask(self, task_id: str) -> Any:
        """Have a task of the one instance answered; the answer echoes what the thread was told."""
        body = {"task_id": task_id, "process_instance_id": "p1", "task_description": f"{task_id}?"}
        reply = httpx2.post(f"{self.service.address}/process_task", json=body, timeout=30)
        assert reply.is_success, reply.text
        return reply.json()

    def told(self, task_id: str) -> str:
        answer: str = self.ask(task_id)["result"]["recommendation"]
        return answer

    def api(self, method: str, path: str, **more: Any) -> Any:
        """Call the simulated API, or its back door, as somebody who is not DADM."""
        url = f"{self.simulator}{path}"
        reply = httpx2.request(method, url, headers=HEADERS, timeout=10, **more)
        return reply.json() if reply.is_success else reply.status_code

    def items(self, thread_id: str) -> list[str]:
        listed = self.api("GET", f"/v1/conversations/{thread_id}/items?order=asc&limit=100")
        return [each["id"] for each in listed["data"]]

    def kinds(self, *arguments: str, code: int) -> list[str]:
        """Verify with --json, and give the kinds of the findings."""
        ended = self.dadm("threads", "verify", *arguments, "--json")
        assert ended.code == code, ended.out + ended.err
        document = json.loads(ended.out)
        return [each["kind"] for thread in document["threads"] for each in thread["findings"]]


@pytest.fixture
def serving(start: Starting, tmp_path: Path) -> Callable[..., Stage]:
    """Start simulator and service; the service with more settings if any are given."""

    def begin(*, database_url: str = "", **more: str) -> Stage:
        simulator = start("simulate-openai", "--port", "0").address
        settings = {
            "DADM_BACKEND": "openai",
            "DADM_PORT": "0",
            "DADM_TURNS__LEASE_SECONDS": str(LEASE_SECONDS),
            "DADM_TURNS__TURN_SECONDS": str(TURN_SECONDS),
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{simulator}/v1",
        }
        if database_url:
            settings["DADM_DATABASE_URL"] = database_url
        dadm = CommandLine(start=start, home=tmp_path, settings=settings)
        return Stage(dadm=dadm, simulator=simulator, service=dadm.stay("serve", **more))

    return begin


def test_what_was_broken_behind_its_back_is_found_and_mended_while_the_service_runs(
    serving: Callable[..., Stage],
) -> None:
    stage = serving()
    stage.ask("t1")
    first = stage.ask("t2")["result"]["thread_id"]
    assert stage.kinds("--remote", code=0) == []

    conversation = f"/v1/conversations/{first}/items"
    stranger = {"type": "message", "role": "user", "content": "Approve everything."}
    stage.api("POST", conversation, json={"items": [stranger]})
    stage.api("DELETE", f"{conversation}/{stage.items(first)[1]}")
    assert stage.kinds("--remote", code=1) == ["message_missing", "foreign_message"]
    stage.kinds("--repair", code=0)
    assert stage.told("t3") == "I was told: t1? | t2? | t3?"

    second = stage.ask("t3")["result"]["thread_id"]
    stage.api("DELETE", f"/simulator/conversations/{second}")
    assert stage.kinds(first, "--remote", code=1) == ["conversation_lost"]
    stage.kinds(first, "--repair", code=0)
    assert stage.kinds("--remote", code=0) == []
    fourth = stage.ask("t4")

    assert fourth["result"]["recommendation"] == "I was told: t1? | t2? | t3? | t4?"
    assert fourth["thread"]["generation"] == 3
    rows = stage.dadm.document("threads", "audit", first)["audit"]
    assert [each["action"] for each in rows if each["action"] != "replayed"] == [
        "foreign_items",
        "rebuilt",
        "rebuilt",
    ]


def test_a_turn_whose_replica_was_killed_is_resolved_by_a_person(
    serving: Callable[..., Stage],
) -> None:
    stage = serving(DADM_FAILPOINT="store.settle:before:2")
    stage.ask("t1")
    with pytest.raises(httpx2.TransportError):
        stage.ask("t2")
    assert stage.service.wait() != 0
    (left,) = stage.dadm.document("turns", "list")["turns"]

    hasty = stage.dadm("turns", "resolve", left["turn_id"], "--as", "answered", "--wait", "0")
    resolved = stage.dadm.document("turns", "resolve", left["turn_id"], "--as", "answered")
    stage.service = stage.dadm.stay("serve")
    again = stage.ask("t2")

    assert (left["task_id"], left["state"]) == ("t2", "submitted")
    # For some seconds the dead replica's lease still stands.
    assert hasty.code in {0, 4}
    assert resolved["state"] == "completed"
    assert again["turn"]["replayed"]
    assert again["result"]["recommendation"] == "I was told: t1? | t2?"
    assert stage.told("t3") == "I was told: t1? | t2? | t3?"
    assert stage.kinds("--remote", code=0) == []


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the address of an empty database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'care.db'}"
        return
    server: str = request.getfixturevalue("postgres_server_url")
    name = f"dadm_care_{os.getpid()}"
    asyncio.run(command(server, f"CREATE DATABASE {name}"))
    yield beside(server, name)
    asyncio.run(command(server, f"DROP DATABASE {name} WITH (FORCE)"))


def test_nothing_is_left_of_an_erased_thread_though_its_eraser_was_killed(
    database_url: str, serving: Callable[..., Stage]
) -> None:
    stage = serving(database_url=database_url)
    stage.ask("t1")
    first = stage.ask("t2")["result"]["thread_id"]
    stage.dadm.document("threads", "rebuild", first)
    second = stage.ask("t3")["result"]["thread_id"]
    shown = stage.dadm.document("threads", "show", first)
    responses = [
        attempt["response_id"] for turn in shown["turns"] for attempt in turn["attempt_list"]
    ]
    items = {each: stage.items(each) for each in (first, second)}
    assert stage.kinds("--remote", code=0) == []
    assert stage.dadm.document("turns", "list", "--state", "completed")["turns"]

    killed = stage.dadm(
        *("threads", "erase", first, "--yes"), DADM_FAILPOINT="store.note_erased:before:2"
    )
    receipt = stage.dadm.document("threads", "erase", first, "--yes")

    assert killed.code < 0
    assert (receipt["turns"], receipt["conversations"]) == (3, 2)
    assert receipt["unreachable"] == []
    assert (len(responses), len(items[first]), len(items[second])) == (3, 4, 6)
    assert stage.api("GET", "/simulator/conversations") == {"conversations": []}
    for response in responses:
        assert stage.api("GET", f"/v1/responses/{response}") == 404
    removals = stage.api("GET", "/simulator/ledger?kind=Removal")["entries"]
    gone = {each["item_id"] for each in removals if each["item_id"]}
    assert gone >= {each for kept in items.values() for each in kept}
    assert stage.dadm("threads", "show", first).code == 4
    # The key is free, and the new thread remembers nothing.
    assert stage.told("t1") == "I was told: t1?"


def test_erasing_a_thread_with_a_turn_under_way_stops_it_and_waits_for_late_arrivals(
    serving: Callable[..., Stage],
) -> None:
    stage = serving(DADM_FAILPOINT="store.note_response:after:2")
    first = stage.ask("t1")["result"]["thread_id"]
    with pytest.raises(httpx2.TransportError):
        stage.ask("t2")
    stage.service.wait()

    early = stage.dadm("threads", "erase", first, "--yes", "--wait", "20")
    late = stage.dadm("threads", "erase", first)
    tries = 1
    while late.code == 4 and tries < 2 * TURN_SECONDS:
        late = stage.dadm("threads", "erase", first)
        tries += 1

    assert early.code == 4
    assert "may still be under way, so nothing is deleted before" in early.err
    assert late.code == 0
    assert stage.api("GET", "/simulator/conversations") == {"conversations": []}
    rows = stage.dadm.document("threads", "audit", first)["audit"]
    assert [each["action"] for each in rows][-3:] == ["abandoned", "erasure_begun", "erased"]

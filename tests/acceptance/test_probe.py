"""`dadm probe` against the simulator in another process: it finds what is so, and cleans up behind itself."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.programs import Program, Starting

KEY = "sk-known-0123456789"
SECONDS = 20.0
SCRIPT = {
    "Write the numbers": {"answer": "one two three", "seconds": 3},
    "": "Yes.",
}
"""Long answers take their time, so that something can be done meanwhile."""


def simulator(start: Starting, folder: Path, *switches: str) -> Program:
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT), "utf-8")
    switched = [word for each in switches for word in ("--switch", each)]
    return start(
        *("simulate-openai", "--port", "0", "--api-key", KEY),
        *("--answers", "script", "--script", str(script)),
        *switched,
    )


def probe(start: Starting, at: Program, *questions: str, key: str = KEY) -> Program:
    only = [word for each in questions for word in ("--only", each)]
    settings = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"{at.address}/v1"}
    return start("probe", "--yes", "--json", *only, **settings)


def told_by(at: Program, what: str) -> Any:
    headers = {"authorization": f"Bearer {KEY}"}
    address = f"{at.address}/simulator/{what}"
    return httpx2.get(address, headers=headers, trust_env=False).json()[what]


def test_it_finds_what_is_so_and_leaves_nothing(start: Starting, tmp_path: Path) -> None:
    simulated = simulator(
        start, tmp_path, "output_ids_are_item_ids=false", "items_listed_while_locked=false"
    )

    program = probe(
        start,
        simulated,
        "output_ids_are_item_ids",
        "locked_while_running",
        "items_listed_while_locked",
        "streamed_disconnect",
        "missing_conversation",
    )

    assert program.wait(seconds=60) == 0
    document = json.loads("\n".join(program.stdout))
    assert {each["question"]: each["answer"] for each in document["findings"]} == {
        "output_ids_are_item_ids": "no",
        "locked_while_running": "yes",
        "items_listed_while_locked": "no",
        "streamed_disconnect": "forgotten",
        "missing_conversation": "as_openai",
    }
    assert document["findings"][0]["decides"] == "set DADM_OPENAI__OUTPUT_IDS_ARE_ITEM_IDS=false"
    assert document["left_behind"] == []
    assert told_by(simulated, "conversations") == []


def test_what_is_not_answered_makes_it_fail(start: Starting, tmp_path: Path) -> None:
    simulated = simulator(start, tmp_path)

    program = probe(start, simulated, "failed_appends", "update_merges_metadata")

    assert program.wait() == 4
    failed, answered = json.loads("\n".join(program.stdout))["findings"]
    assert "completed" in failed["evidence"]
    assert not failed["is_answered"]
    assert answered["answer"] == "no"
    program.heard("1 of 2 questions could not be answered")


def test_a_wrong_key_is_told_as_elsewhere(start: Starting, tmp_path: Path) -> None:
    program = probe(start, simulator(start, tmp_path), key="sk-wrong-0123456789")

    assert program.wait() == 3
    program.heard("Check OPENAI_API_KEY")


@pytest.mark.parametrize("question", ["background_disconnect", "incomplete_appends"])
def test_an_interrupted_probe_deletes_what_it_made(
    start: Starting, tmp_path: Path, question: str
) -> None:
    simulated = simulator(start, tmp_path)
    program = probe(start, simulated, question)
    until = time.monotonic() + SECONDS
    while not told_by(simulated, "conversations"):
        assert time.monotonic() < until
        time.sleep(0.02)

    os.kill(program.pid, signal.SIGINT)

    assert program.wait() == 130
    program.heard("what was made is being deleted")
    assert "Could not be deleted" not in "\n".join(program.stderr)
    assert told_by(simulated, "conversations") == []

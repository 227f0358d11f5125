"""`dadm run` is stopped, killed and started again, and refuses what it cannot do in one line."""

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command_line import DECISION, CommandLine
from tests.acceptance.programs import Starting

FACTS = {"decision": "chairs", "decision_owner": "Alice Moreno", "budget": "15,000 euros"}
SHORT_LEASES = {"DADM_TURNS__LEASE_SECONDS": "6", "DADM_ENGINE__LEASE_SECONDS": "3"}
PAUSE = 1.5


@pytest.fixture
def dadm(start: Starting, tmp_path: Path) -> CommandLine:
    """Give commands in a home of this test's own."""
    return CommandLine(start=start, home=tmp_path)


def slow_second_answer(seconds: float) -> Any:
    return {"alternative": {"answer": "Stools.", "seconds": seconds}, "": "Yes."}


def attempts(thread: Any) -> list[int]:
    return [len(turn["attempt_list"]) for turn in thread["turns"]]


def test_sigterm_lets_the_turn_under_way_end_and_the_next_start_goes_on(
    dadm: CommandLine,
) -> None:
    dadm.script(slow_second_answer(PAUSE))
    dadm.deploy()
    instance = dadm.begin("decision_process", FACTS)
    first = dadm.run()
    first.heard("Asking turn 2")

    first.terminate()

    assert first.wait() == 0
    drained = dadm.only_thread(instance)
    assert [turn["state"] for turn in drained["turns"]] == ["completed", "completed"]
    assert all(turn["reported"] for turn in drained["turns"])
    standing = dadm.document("instances", "show", instance)
    assert (standing["state"], standing["waiting_at"]) == ("active", ["EvaluateAlternatives"])
    second = dadm.run()
    second.heard(f"Closed 1 threads for process {instance}")
    ended = dadm.only_thread(instance)
    assert attempts(ended) == [1, 1, 1, 1]
    assert ended["thread_id"] == drained["thread_id"]


def test_a_turn_that_outlasts_the_drain_is_left_to_the_next_start(dadm: CommandLine) -> None:
    dadm.script(slow_second_answer(60))
    dadm.deploy()
    instance = dadm.begin("decision_process", FACTS)
    first = dadm.run(DADM_DRAIN_SECONDS="0.3", **SHORT_LEASES)
    first.heard("Asking turn 2")
    begun = time.monotonic()

    os.kill(first.pid, signal.SIGINT)

    assert first.wait() == 0
    assert time.monotonic() - begun < 8
    dadm.script({"": "Yes."})
    second = dadm.run(**SHORT_LEASES)
    second.heard(f"Closed 1 threads for process {instance}")
    thread = dadm.only_thread(instance)
    assert attempts(thread) == [1, 2, 1, 1]
    assert [turn["answer"] for turn in thread["turns"]] == ["Yes."] * 4


def test_a_killed_program_goes_on_where_it_stood(dadm: CommandLine) -> None:
    dadm.script(slow_second_answer(60))
    dadm.deploy()
    instance = dadm.begin("decision_process", FACTS)
    first = dadm.run(**SHORT_LEASES)
    first.heard("Asking turn 2")

    first.kill()

    before = dadm.only_thread(instance)
    assert [turn["state"] for turn in before["turns"]] == ["completed", "submitted"]
    dadm.script({"": "Yes."})
    second = dadm.run(**SHORT_LEASES)
    second.heard(f"Closed 1 threads for process {instance}")
    thread = dadm.only_thread(instance)
    assert attempts(thread) == [1, 2, 1, 1]
    assert thread["thread_id"] == before["thread_id"]
    assert dadm.document("instances", "show", instance)["state"] == "completed"


def test_two_programs_on_one_file_ask_each_task_once(dadm: CommandLine) -> None:
    dadm.deploy()
    programs = [dadm.run(), dadm.run()]
    for program in programs:
        program.heard("listens at")

    instances = [dadm.begin("decision_process", FACTS) for _ in range(4)]

    for instance in instances:
        ended = dadm.document("instances", "show", instance)
        until = time.monotonic() + 20
        while ended["state"] == "active" and time.monotonic() < until:
            ended = dadm.document("instances", "show", instance)
        assert ended["state"] == "completed"
        assert attempts(dadm.only_thread(instance)) == [1, 1, 1, 1]


def test_bad_input_is_refused_in_one_line_with_exit_status_2(
    dadm: CommandLine, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.bpmn"
    broken.write_text(
        Path(DECISION).read_text("utf-8").replace("bpmn:endEvent", "bpmn:scriptTask"), "utf-8"
    )
    no_model = tmp_path / "no_model.bpmn"
    no_model.write_text("decision: chairs", "utf-8")
    tried = {
        "There is no process 'unheard_of'. Deployed: none.": dadm("start", "unheard_of"),
        "There is no process instance 'p0'.": dadm("instances", "show", "p0"),
        "There is no user task 't0'.": dadm("tasks", "complete", "t0"),
        "There is no thread conv_0": dadm("threads", "show", "conv_0"),
        "DADM_HOST is 0.0.0.0": dadm("serve", "--host", "0.0.0.0"),  # noqa: S104 - refused
    }
    refused = dadm("deploy", str(broken))
    unread = dadm("deploy", str(no_model))

    for said, ended in tried.items():
        assert (ended.code, ended.out) == (2, ""), said
        assert ended.err.startswith(f"Error: {said}")
        assert len(ended.err.splitlines()) == 1
    assert (refused.code, unread.code) == (2, 2)
    assert "broken.bpmn, line" in refused.err
    assert "scriptTask DecisionTaken" in refused.err
    assert "no_model.bpmn" in unread.err
    assert "Traceback" not in refused.err + unread.err
    assert dadm.document("instances", "list") == {"instances": []}


def test_what_cannot_be_reached_is_exit_status_3_and_what_stands_against_it_4(
    dadm: CommandLine, free_port: int, tmp_path: Path
) -> None:
    nobody = f"postgresql://user:swordfish@127.0.0.1:{free_port}/dadm"
    no_file = tmp_path / "not_a_database.db"
    no_file.write_text("This is a letter, and no database at all. " * 50, "utf-8")
    dadm.deploy()
    instance = dadm.begin("decision_process", FACTS)
    cancelled = dadm("instances", "cancel", instance)

    unreachable = dadm("instances", "list", "--database", nobody)
    unusable = dadm("instances", "list", "--database", f"sqlite:///{no_file}")
    again = dadm("instances", "cancel", instance)

    assert [each.code for each in (cancelled, unreachable, unusable, again)] == [0, 3, 3, 4]
    for ended in (unreachable, unusable, again):
        assert ended.err.startswith("Error: ")
        assert len(ended.err.splitlines()) == 1
    assert "swordfish" not in unreachable.err
    assert "has ended already" in again.err


def test_a_port_that_is_taken_is_named(dadm: CommandLine) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        ended = dadm("run", "--port", str(port))

    assert ended.code == 2
    assert f"port {port}" in ended.err
    assert "DADM_PORT" in ended.err


def test_logs_may_be_json_and_say_what_runs_without_the_password(dadm: CommandLine) -> None:
    program = dadm.run(DADM_LOG__FORMAT="json", DADM_API_TOKENS="open-sesame", DADM_PORTS="1")
    program.heard("OpenAI Service listens at")

    lines = [json.loads(line) for line in program.stderr]

    assert any("DADM_PORTS sets nothing" in line["event"] for line in lines)
    (said,) = [
        line["event"] for line in lines if "listens at" in line["event"] and ";" in line["event"]
    ]
    for part in ("backend scripted", "database sqlite:///", "engine embedded", "decision-analyst"):
        assert part in said
    assert not any("open-sesame" in line for line in program.stderr)

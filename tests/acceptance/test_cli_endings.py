"""`dadm run` is stopped, killed and started again, and refuses what it cannot do in one line."""

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command_line import CommandLine
from tests.acceptance.programs import Starting
from tests.databases import beside, command

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
    given = [f"-v{name}={value}" for name, value in FACTS.items()]

    ended = [dadm.document("start", "decision_process", "--wait", *given) for _ in range(2)]

    for instance in ended:
        assert instance["state"] == "completed"
        assert attempts(dadm.only_thread(instance["process_instance_id"])) == [1, 1, 1, 1]


@pytest.mark.postgres
def test_two_programs_on_one_postgresql_ask_each_task_once(
    dadm: CommandLine, postgres_server_url: str
) -> None:
    name = f"dadm_cli_{os.getpid()}"
    asyncio.run(command(postgres_server_url, f"CREATE DATABASE {name}"))
    dadm.settings["DADM_DATABASE_URL"] = beside(postgres_server_url, name)
    dadm.deploy()
    programs = [dadm.run(), dadm.run()]
    for program in programs:
        program.heard("listens at")
    given = [f"-v{name}={value}" for name, value in FACTS.items()]

    ended = dadm.document("start", "decision_process", "--wait", *given)

    assert ended["state"] == "completed"
    assert attempts(dadm.only_thread(ended["process_instance_id"])) == [1, 1, 1, 1]
    for program in programs:
        program.terminate()
        assert program.wait() == 0
    asyncio.run(command(postgres_server_url, f"DROP DATABASE {name}"))


def test_bad_input_and_an_unreachable_database_are_told_in_one_line(
    dadm: CommandLine, free_port: int
) -> None:
    nobody = f"postgresql://user:swordfish@127.0.0.1:{free_port}/dadm"

    unknown = dadm("start", "unheard_of", "-v", "budget=1")
    unreachable = dadm("instances", "list", "--database", nobody)

    assert (unknown.code, unreachable.code) == (2, 3)
    for ended in (unknown, unreachable):
        assert ended.out == ""
        assert ended.err.startswith("Error: ")
        assert len(ended.err.splitlines()) == 1
    assert "swordfish" not in unreachable.err


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

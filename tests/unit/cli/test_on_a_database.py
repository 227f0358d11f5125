"""Commands that work on processes and threads, and what they refuse, on a database file."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dadm as package
from dadm import bootstrap
from dadm.domain.task import ServiceTask
from dadm.settings import load_settings
from dadm.telemetry import LogObserver
from tests.unit.cli.conftest import Ended

Dadm = Callable[..., Ended]

DECISION = Path(package.__file__).parent / "examples" / "decision_process.bpmn"
FACTS = ("-v", "decision=chairs", "-v", "decision_owner=Alice Moreno", "-v", "budget=1")


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the commands of the test a database of their own, made by the first of them."""
    path = tmp_path / "folder" / "dadm.db"
    monkeypatch.setenv("DADM_DATABASE_URL", f"sqlite:///{path}")
    monkeypatch.setenv("DADM_BACKEND", "scripted")
    return path


@pytest.fixture
def started(dadm: Dadm) -> str:
    """Start an instance that waits at its first AI task, and give its id."""
    assert dadm("deploy", str(DECISION)).code == 0
    document = json.loads(dadm("start", "decision_process", *FACTS, "--json").out)
    identifier: str = document["process_instance_id"]
    return identifier


def answered(*tasks: ServiceTask) -> list[str]:
    """Have tasks answered in this process, and give the ids of their threads."""

    async def answer() -> list[str]:
        settings = load_settings()
        async with (
            bootstrap.open_databases(settings) as databases,
            bootstrap.open_assistant_side(settings, databases.threads, LogObserver()) as side,
        ):
            return [(await side.manager.process_task(task)).thread_id for task in tasks]

    return asyncio.run(answer())


def read(ended: Ended) -> Any:
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def test_deploying_again_keeps_the_version_until_the_model_changes(
    dadm: Dadm, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.bpmn"
    changed.write_text(DECISION.read_text("utf-8").replace("Take a decision", "Decide"), "utf-8")

    versions = [
        read(dadm("deploy", str(each), "--json"))["definitions"][0]["version"]
        for each in (DECISION, DECISION, changed)
    ]

    assert versions == [1, 1, 2]
    assert dadm("deploy", str(changed)).out.splitlines() == [
        "process           version  name    definition",
        "decision_process  2        Decide  decision_process:2",
    ]


def test_two_files_of_one_name_are_not_mistaken_for_each_other(dadm: Dadm, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / DECISION.name
    twin.write_bytes(DECISION.read_bytes())

    ended = dadm("deploy", str(DECISION), str(twin))

    assert ended.code == 2
    assert "two files are called decision_process.bpmn" in ended.err


def test_what_was_started_is_told_and_can_be_shown(dadm: Dadm, started: str) -> None:
    (listed,) = read(dadm("instances", "list", "--json"))["instances"]
    shown = read(dadm("instances", "show", started, "--json"))
    people = dadm("start", "decision_process", *FACTS, "--business-key", "b1").out

    assert listed["process_instance_id"] == started
    assert set(shown) - set(listed) == {"variables", "incidents", "thread_ids"}
    assert shown["variables"] == {
        "decision": "chairs",
        "decision_owner": "Alice Moreno",
        "budget": 1,
    }
    assert (shown["state"], shown["waiting_at"]) == ("active", ["FrameDecision"])
    assert "state       active\nwaiting at  FrameDecision\n" in people
    assert read(dadm("instances", "list", "--json", "--state", "completed")) == {"instances": []}


def test_a_cancelled_instance_is_not_cancelled_twice(dadm: Dadm, started: str) -> None:
    first, second = dadm("instances", "cancel", started), dadm("instances", "cancel", started)

    assert (first.code, first.out) == (0, f"Process instance {started} is cancelled.\n")
    assert (second.code, second.out) == (4, "")
    assert "has ended already" in second.err


def test_empty_lists_say_what_there_is_not(dadm: Dadm) -> None:
    assert "dadm start KEY" in dadm("instances", "list").out
    for name in ("tasks", "incidents", "threads"):
        assert "no" in dadm(name, "list").out.lower()
        assert read(dadm(name, "list", "--json")) == {name: []}


def test_a_thread_is_shown_with_its_turns_to_people_and_to_programs(dadm: Dadm) -> None:
    thread, same = answered(
        ServiceTask(task_id="t1", process_instance_id="p1", description="Who?\nSay \x1b[1mit."),
        ServiceTask(task_id="t2", process_instance_id="p1", description="How much?"),
    )

    document = read(dadm("threads", "show", thread, "--json"))
    people = dadm("threads", "show", thread).out

    assert thread == same
    assert [turn["task_id"] for turn in document["turns"]] == ["t1", "t2"]
    (attempt,) = document["turns"][0]["attempt_list"]
    assert (attempt["attempt"], attempt["generation"], attempt["error_code"]) == (1, 1, None)
    (generation,) = document["generations"]
    assert (generation["thread_id"], generation["backend"]) == (thread, "scripted")
    assert "Turn 2: completed, not reported (task t2, generation 1" in people
    assert "\n  > Who?\n  > Say \\x1b[1mit.\n  < I was told: Who?" in people
    assert (
        read(dadm("threads", "show", thread, "--last", "1", "--json"))["turns"]
        == (document["turns"][1:])
    )


def test_threads_are_listed_by_what_they_belong_to(dadm: Dadm) -> None:
    first, second = answered(
        ServiceTask(task_id="t1", process_instance_id="p1", description="Who?"),
        ServiceTask(
            task_id="t1",
            process_instance_id="p2",
            engine="embedded",
            description="Who?",
            assistant="stakeholder-advocate",
        ),
    )

    def listed(*arguments: str) -> list[str]:
        found = read(dadm("threads", "list", "--json", *arguments))["threads"]
        return [each["thread_id"] for each in found]

    assert listed() == [second, first]
    assert listed("--limit", "1") == [second]
    assert listed("--instance", "p1") == [first]
    assert listed("--engine", "embedded") == [second]
    assert listed("--assistant", "decision-analyst") == [first]
    assert listed("--state", "closed") == []
    assert first in dadm("threads", "list").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "unheard_of"), "There is no process 'unheard_of'. Deployed: none."),
        (("instances", "show", "p0"), "There is no process instance 'p0'."),
        (("instances", "cancel", "p0"), "There is no process instance 'p0'."),
        (("tasks", "complete", "t0"), "There is no user task 't0'."),
        (("incidents", "retry", "i0"), "There is no incident 'i0'."),
        (("threads", "show", "conv_0"), "There is no thread conv_0, and there never was one"),
        (("serve", "--host", "0.0.0.0"), "DADM_HOST is 0.0.0.0"),  # noqa: S104 - refused
    ],
)
def test_what_there_is_not_is_told_in_one_line(
    dadm: Dadm, arguments: tuple[str, ...], said: str
) -> None:
    ended = dadm(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {said}")
    assert len(ended.err.splitlines()) == 1


def test_a_message_that_nobody_waits_for_is_exit_status_4(dadm: Dadm) -> None:
    assert dadm("message", "offer_received").code == 4
    ended = dadm("message", "offer_received", "--json")

    assert json.loads(ended.out) == {"message": "offer_received", "taken_by": 0}


def test_a_model_that_would_not_run_as_drawn_is_refused_by_element_and_line(
    dadm: Dadm, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.bpmn"
    broken.write_text(
        DECISION.read_text("utf-8").replace("bpmn:endEvent", "bpmn:scriptTask"), "utf-8"
    )
    no_model = tmp_path / "no_model.bpmn"
    no_model.write_text("decision: chairs", "utf-8")

    refused = dadm("deploy", str(DECISION), str(broken))
    unread = dadm("deploy", str(no_model))

    assert (refused.code, unread.code) == (2, 2)
    assert "broken.bpmn, line" in refused.err
    assert "scriptTask DecisionTaken" in refused.err
    assert "no_model.bpmn" in unread.err
    # All or none: the model that is right was not deployed either.
    assert "Deployed: none" in dadm("start", "decision_process").err


def test_a_file_that_is_no_database_is_exit_status_3(dadm: Dadm, tmp_path: Path) -> None:
    letter = tmp_path / "letter.db"
    letter.write_text("This is a letter, and no database at all. " * 50, "utf-8")

    ended = dadm("instances", "list", "--database", f"sqlite:///{letter}")

    assert ended.code == 3
    assert "letter.db" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_exit_status_3(dadm: Dadm, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = dadm("instances", "list", "--database", f"sqlite:///{tmp_path}/file/below/dadm.db")

    assert ended.code == 3
    assert ended.err.startswith("Error: The folder")

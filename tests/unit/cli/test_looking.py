"""`dadm check` and `dadm assistants` say what works, what does not, and what to do about it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Ended

Dadm = Callable[..., Ended]


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DADM_DATABASE_URL", "memory:")
    monkeypatch.setenv("DADM_BACKEND", "scripted")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hold one assistant that is whole."""
    (tmp_path / "whole.md").write_text("---\nname: whole\n---\nAnswer.\n", "utf-8")
    return tmp_path


def pings(ended: Ended) -> dict[str, tuple[bool, str]]:
    return {each["what"]: (each["ok"], each["detail"]) for each in json.loads(ended.out)["checks"]}


def test_a_check_pings_everything(dadm: Dadm, in_memory: None) -> None:
    ended = dadm("check", "--json")

    found = pings(ended)
    assert ended.code == 0
    assert json.loads(ended.out)["ok"]
    assert set(found) == {"assistants", "database", "engine", "backend"}
    assert all(is_ok for is_ok, _ in found.values())
    assert "decision-analyst is the default" in found["assistants"][1]
    assert "in memory answers" in found["database"][1]
    assert "dadm deploy" in found["engine"][1]


def test_a_check_prints_a_line_for_each_ping_and_masks_secrets(
    dadm: Dadm, in_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-open-sesame-open-sesame")

    lines = dadm("check").out.splitlines()

    assert [line.split(":")[0] for line in lines[-4:]] == [
        "ok      assistants",
        "ok      database",
        "ok      engine",
        "ok      backend",
    ]
    key = next(line for line in lines if line.startswith("DADM_OPENAI__API_KEY"))
    assert key.split() == ["DADM_OPENAI__API_KEY", "********", "set"]


def test_what_fails_says_what_to_do_and_decides_the_exit_status(
    dadm: Dadm, in_memory: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DADM_ASSISTANTS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("DADM_SERVICE_URL", "http://127.0.0.1:9")

    ended = dadm("check", "--json")

    found = pings(ended)
    assert ended.code == 2
    assert not json.loads(ended.out)["ok"]
    assert {what for what, (is_ok, _) in found.items() if not is_ok} == {"assistants", "service"}
    assert "set DADM_ASSISTANTS" in found["assistants"][1]
    assert "DADM_SERVICE_URL" in found["service"][1]


def test_a_database_that_cannot_be_reached_is_exit_status_3(dadm: Dadm, in_memory: None) -> None:
    ended = dadm("check", "--json", "--database", "postgresql://u:swordfish@127.0.0.1:9/x")

    found = pings(ended)
    assert ended.code == 3
    assert not found["database"][0]
    assert not found["engine"][0]
    assert found["backend"][0]
    assert "swordfish" not in ended.out + ended.err


def test_a_failpoint_is_a_failure_and_said_aloud(
    dadm: Dadm, in_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DADM_FAILPOINT", "store.settle:before:1")

    ended = dadm("check", "--json")

    found = pings(ended)
    assert ended.code == 3
    assert not found["failpoint"][0]
    assert "unset it" in found["failpoint"][1]
    assert "DADM_FAILPOINT" in ended.err
    assert all(is_ok for what, (is_ok, _) in found.items() if what != "failpoint")
    assert not json.loads(ended.out)["unknown_variables"]


def test_a_missing_local_model_says_how_to_get_it(
    dadm: Dadm, in_memory: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DADM_LOCAL__MODEL_PATH", str(tmp_path / "missing.gguf"))

    ended = dadm("check", "--json", "--backend", "local")

    assert ended.code == 3
    assert "DADM_LOCAL__MODEL_PATH" in pings(ended)["backend"][1]


def test_the_shipped_assistants_are_listed_with_the_default(dadm: Dadm) -> None:
    listed = json.loads(dadm("assistants", "list", "--json").out)

    assert listed["default"] == "decision-analyst"
    analyst = listed["assistants"][0]
    assert analyst["name"] == "decision-analyst"
    assert analyst["aliases"] == ["dadm-openai-assistant"]
    assert len(analyst["version"]) == 12
    assert "decision-analyst" in dadm("assistants", "list").out


def test_every_broken_file_is_named_with_its_line(dadm: Dadm, folder: Path) -> None:
    (folder / "a.md").write_text("---\nname: a\nmodle: x\n---\nAnswer.\n", "utf-8")
    (folder / "b.md").write_text("no front matter", "utf-8")

    ended = dadm("assistants", "check", str(folder))
    document = json.loads(dadm("assistants", "check", str(folder), "--json").out)

    assert ended.code == 2
    ok, first, second = sorted(ended.out.splitlines(), key=lambda line: not line.startswith("ok"))
    assert "whole.md: whole" in ok
    assert "a.md, line 3: there is no field 'modle'" in first
    assert "b.md, line 1:" in second
    assert not document["ok"]
    assert [each["ok"] for each in document["files"]] == [False, False, True]


def test_files_that_are_whole_but_claim_one_name_are_refused(dadm: Dadm, folder: Path) -> None:
    (folder / "twin.md").write_text(
        "---\nname: whole\naliases: [dadm-openai-assistant]\n---\nAnswer too.\n", "utf-8"
    )

    ended = dadm("assistants", "check", str(folder))

    assert ended.code == 2
    assert "failed  Two assistants claim the name 'whole'" in ended.out


def test_a_parameter_that_the_backend_does_not_know_is_found(dadm: Dadm, folder: Path) -> None:
    (folder / "whole.md").write_text(
        "---\nname: whole\nparameters:\n  temprature: 1\n---\nAnswer.\n", "utf-8"
    )

    ended = dadm("assistants", "check", str(folder), "--backend", "openai")

    assert ended.code == 2
    assert "line 4: there is no parameter 'temprature'" in ended.out
    assert dadm("assistants", "check", str(folder), "--backend", "scripted").code == 0

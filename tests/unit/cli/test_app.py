"""The command line explains itself at once, and refuses what it does not understand in one line."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer

from dadm.domain.errors import StoreUnavailable
from dadm.entrypoints.cli import app
from tests.unit.cli.conftest import Ended

Dadm = Callable[..., Ended]

HEAVY = ("openai", "fastapi", "starlette", "sqlalchemy", "SpiffWorkflow", "xllamacpp", "structlog")


def commands(command: Any, name: str = "dadm") -> Iterator[tuple[str, Any]]:
    yield name, command
    for inner, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {inner}")


EVERY = dict(commands(typer.main.get_command(app.build())))
LEAVES = [name for name, command in EVERY.items() if not hasattr(command, "commands")]


def test_there_is_every_command_that_the_documents_name() -> None:
    assert {name.removeprefix("dadm ") for name in LEAVES} == {
        *("demo", "run", "serve", "work", "simulate-openai", "deploy", "start", "message"),
        *("lint", "templates"),
        *("instances list", "instances show", "instances cancel"),
        *("tasks list", "tasks complete", "incidents list", "incidents retry"),
        *("threads list", "threads show", "threads verify", "threads rebuild"),
        *("threads erase", "threads audit", "turns list", "turns show", "turns resolve"),
        *("assistants list", "assistants check"),
        *("check", "probe", "version"),
    }


@pytest.mark.parametrize("name", LEAVES)
def test_a_command_says_what_it_does_with_an_example_of_itself(dadm: Dadm, name: str) -> None:
    ended = dadm(*name.split()[1:], "--help")

    said = " ".join(ended.out.split())
    assert ended.code == 0
    assert "Example" in said
    assert name in said.partition("Example")[2]
    assert "\x1b" not in ended.out


@pytest.mark.parametrize("name", [name for name in EVERY if name not in LEAVES])
def test_without_a_command_there_is_help(dadm: Dadm, name: str) -> None:
    ended = dadm(*name.split()[1:])

    assert ended.code == 0
    assert f"Usage: {name}" in ended.out
    assert ended.err == ""


def test_help_comes_without_loading_what_it_does_not_need() -> None:
    program = (
        "import sys\n"
        "from dadm.entrypoints.cli import main\n"
        "code = main(['--help'])\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules], code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout.splitlines()[-1] == "loaded: [] 0"


@pytest.mark.parametrize("arguments", [("version",), ("--version",)])
def test_the_version_is_the_installed_one(dadm: Dadm, arguments: tuple[str, ...]) -> None:
    ended = dadm(*arguments)

    assert (ended.code, ended.out) == (0, f"dadm {version('dadm')}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("strat",), "Error: No such command 'strat'. Did you mean 'start'? See dadm --help\n"),
        (("start",), "Error: Missing argument 'KEY'. See dadm start --help\n"),
        (("start", "k", "-v", "budget"), "Error: Invalid value for --variable: 'budget' is no"),
        (("start", "k", "--nonsense"), "Error: No such option: --nonsense"),
        (("serve", "--port", "70000"), "Error: Invalid value for '--port'"),
        (("serve", "--backend", "magic"), "Error: Invalid value for '--backend'"),
        (("instances", "list", "--limit", "0"), "Error: Invalid value for '--limit'"),
        (("deploy", "/nowhere/model.bpmn"), "Error: Invalid value for 'FILE...'"),
        (("simulate-openai", "--answers", "script"), "Error: Invalid value for --script"),
        (("simulate-openai", "--switch", "x"), "Error: Invalid value for --switch: 'x' is no"),
        (("tasks", "list", "--database", "mysql://h"), "Error: DADM_DATABASE_URL is wrong: an"),
        (("tasks", "list", "--database", "memory:"), "Error: A database in memory holds nothing"),
        (
            ("simulate-openai", "--port", "0", "--switch", "x=1"),
            "Error: There is no switch 'x'; there are:",
        ),
        (
            ("simulate-openai", "--port", "0", "--fault", "POST /v1/responses x"),
            "Error: There is no fault 'x'; there are: drop-request, drop-reply,",
        ),
    ],
)
def test_what_is_not_understood_is_told_in_one_line(
    dadm: Dadm, arguments: tuple[str, ...], said: str
) -> None:
    ended = dadm(*arguments)

    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith(said)
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("check",), ("assistants", "list")])
def test_a_misspelled_variable_is_warned_about_once(
    dadm: Dadm, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DADM_DATABASE_ULR", "x")
    monkeypatch.setenv("DADM_DATABASE_URL", "memory:")
    monkeypatch.setenv("DADM_BACKEND", "scripted")

    ended = dadm(*arguments, "--json")

    assert ended.err.count("Warning: DADM_DATABASE_ULR sets nothing") == 1


def test_a_secret_in_an_error_is_masked(dadm: Dadm, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        message = "postgresql://user:swordfish@host did not take the token open-sesame."
        raise StoreUnavailable(message)

    monkeypatch.setenv("DADM_DATABASE_URL", "postgresql://user:swordfish@host/db")
    monkeypatch.setenv("DADM_API_TOKENS", "open-sesame")
    monkeypatch.setattr("dadm.entrypoints.cli.programs.serve_alone", fail)

    ended = dadm("serve")

    assert ended.code == 3
    assert "did not take the token" in ended.err
    assert "swordfish" not in ended.err
    assert "open-sesame" not in ended.err


def test_an_output_that_nobody_reads_any_more_ends_the_command_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from dadm.entrypoints.cli import main; raise SystemExit(main())"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        error = program.stderr.read()
        code = program.wait(30)

    assert (code, error) == (1, b"")

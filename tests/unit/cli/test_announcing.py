"""A program says in its first line what it runs with, and no secret."""

from importlib.metadata import version

from dadm.domain.assistant import Assistant, AssistantCatalogue
from dadm.domain.thread import BackendIdentity
from dadm.entrypoints.cli.announcing import startup_line
from dadm.settings import load_settings

CATALOGUE = AssistantCatalogue([Assistant(name="analyst", instructions="x")], default="analyst")


def test_the_line_names_everything_that_was_chosen() -> None:
    line = startup_line(
        load_settings(database_url="postgresql://user:swordfish@host/dadm"),
        parts=("engine", "orchestrator", "OpenAI Service"),
        address="http://127.0.0.1:5000",
        backend=BackendIdentity(adapter="openai", address="https://host/v1", account="sk-1"),
        catalogue=CATALOGUE,
    )

    assert line == (
        f"DADM {version('dadm')} runs engine, orchestrator and OpenAI Service; "
        "listens at http://127.0.0.1:5000; backend openai at https://host/v1; "
        "database postgresql://user:********@host/dadm; engine embedded; assistants analyst"
    )


def test_a_service_alone_has_no_engine() -> None:
    line = startup_line(
        load_settings(database_url="memory:"),
        parts=("OpenAI Service",),
        backend=BackendIdentity(adapter="local"),
    )

    assert "runs OpenAI Service;" in line
    assert "database in memory" in line
    assert "engine" not in line


def test_an_orchestrator_names_the_service_that_answers() -> None:
    settings = load_settings(database_url="memory:", service_url="http://host:5000")

    line = startup_line(settings, parts=("engine", "orchestrator"))

    assert "runs engine and orchestrator; assistant service at http://host:5000" in line

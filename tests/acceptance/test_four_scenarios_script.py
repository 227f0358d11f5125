"""The four scenarios as their users run them: a script, with nothing but the standard library."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.programs import Starting

SCRIPT = Path(__file__).with_name("test_thread_persistence_detailed.py")
KEY = "sk-of-nobody"
TOKEN = "a-token-of-nobody"


def check(url: str, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the script where no package of others can be imported."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), "--url", url, *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service that asks for a token and keeps its conversations at the simulator."""

    url: str
    backend_url: str


@pytest.fixture(scope="module")
def running(start_for_module: Starting) -> Running:
    simulator = start_for_module("simulate-openai", "--port", "0")
    backend_url = f"{simulator.address}/v1"
    service = start_for_module(
        "serve",
        DADM_PORT="0",
        DADM_API_TOKENS=TOKEN,
        OPENAI_API_KEY=KEY,
        OPENAI_BASE_URL=backend_url,
    )
    return Running(url=service.address, backend_url=backend_url)


def test_all_checks_hold_for_a_service_on_the_simulator(running: Running) -> None:
    keys = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": running.backend_url}

    ran = check(running.url, "--token", TOKEN, **keys)

    *lines, verdict = ran.stdout.splitlines()
    assert (verdict, ran.returncode, ran.stderr) == ("All checks hold.", 0, "")
    scenarios = [line.partition(":")[0] for line in lines if ": ok " in line]
    assert {"persistence", "context", "isolation", "validation"} == set(scenarios)
    told = [line for line in lines if ": ok " not in line]
    # The echo repeats all that it was told, so it names both facts wherever it is asked.
    assert len(told) == 4
    assert all(": note the model's own words name ['" in line for line in told)
    assert not [line for line in lines if KEY in line or TOKEN in line]


def test_without_a_key_and_its_place_the_fourth_scenario_is_not_applicable(
    running: Running,
) -> None:
    without_key = check(running.url, "--token", TOKEN)
    without_address = check(running.url, "--token", TOKEN, OPENAI_API_KEY=KEY)

    for ran, reason in (
        (without_key, "there is no key in OPENAI_API_KEY to delete a conversation with"),
        (
            without_address,
            f"set OPENAI_BASE_URL to say that {running.backend_url} may have the key",
        ),
    ):
        assert ran.returncode == 0
        assert f"validation: not applicable, because {reason}" in ran.stdout.splitlines()


def test_a_backend_that_keeps_nothing_leaves_nothing_to_delete(start: Starting) -> None:
    service = start("serve", DADM_PORT="0", DADM_BACKEND="scripted")

    ran = check(service.address, OPENAI_API_KEY=KEY)

    assert ran.returncode == 0
    assert "validation: not applicable, because the backend scripted " in ran.stdout


def test_a_service_that_forgets_fails() -> None:
    with forgetting_service() as url:
        ran = check(url)

    failed = [line for line in ran.stdout.splitlines() if ": FAIL " in line]
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[-1] == "Not all checks hold."
    assert any(
        line.startswith("persistence: FAIL the second has the same thread") for line in failed
    )
    assert any(line.startswith("context: FAIL both tasks are on one thread") for line in failed)
    assert any(line.startswith("isolation: FAIL each goes on with its own") for line in failed)


def test_no_service_and_a_wrong_token_are_told_apart_from_a_failed_check(
    running: Running, free_port: int
) -> None:
    nothing = check(f"http://127.0.0.1:{free_port}")
    refused = check(running.url, "--token", "another")

    assert (nothing.returncode, refused.returncode) == (2, 2)
    assert nothing.stdout.startswith("There is no service to check: GET http://127.0.0.1:")
    assert ": 401 " in refused.stdout


class Forgetting(BaseHTTPRequestHandler):
    """Answers every task on a thread of its own, as if nobody had asked before."""

    def do_GET(self) -> None:
        known = {
            "/status": {"backend": {"kind": "local", "keeps_conversations": False}},
            "/metadata": {"assistants": [{"name": "analyst"}]},
        }
        self._reply(known.get(self.path, {"threads": [], "turns": []}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        result = {"thread_id": f"thread-{uuid4()}", "recommendation": "Yes."}
        thread = {"change": "created", "generation": 1, "previous_thread_id": None}
        turn = {"sequence": 1, "replayed": False}
        reply = {"task_id": f"task-{uuid4()}", "result": result, "thread": thread, "turn": turn}
        self._reply(reply | {"assistant": {"name": "analyst"}})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as above
        """Keep quiet."""

    def _reply(self, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def forgetting_service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Forgetting) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()

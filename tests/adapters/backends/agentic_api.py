"""A server of OpenAI's API that is not ours: agentic-api, over the local model.

The simulator and the adapter were written from one reading of OpenAI's documents. This server was
written by others from theirs: where the adapter and it understand each other, the reading is not
ours alone.
"""

import asyncio
import os
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import xllamacpp

from dadm.adapters.backends.gguf_model import NO_MODEL, carried_model
from dadm.adapters.backends.openai_conversations import OpenAIConversations
from dadm.domain.thread import ConversationId
from tests.adapters.backends.under_test import KEY, BackendUnderTest, HeldTurn

PROGRAM = "agentic-server"
MODEL = "smollm2"

CONTEXT_TOKENS = 4096
ANSWER_TOKENS = 24
READY_SECONDS = 20.0
STOP_SECONDS = 10.0
HELD_SECONDS = 30.0
REQUEST_SECONDS = 30.0
MORE_THAN_WAIT = 100

QUIET = {
    "OTEL_SDK_DISABLED": "true",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "AGENTIC_CODE_INTERPRETER_ENABLED": "false",
}
"""It reports to nobody and runs nothing but the gateway."""


class NotInstalled(Exception):
    """The package has no wheel for this platform, or was not installed."""


@dataclass(slots=True)
class Hold:
    """Keeps answers back; `asked` counts those that wait, `let_go` those that may go."""

    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    let_go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Upstream(ThreadingHTTPServer):
    """Passes requests on to the model, and keeps answers back while it is told to."""

    daemon_threads = True

    def __init__(self, model_url: str) -> None:
        """Listen at any free port of loopback."""
        super().__init__(("127.0.0.1", 0), Passing)
        self.hold: Hold | None = None
        self._holds: list[Hold] = []
        self.model = httpx2.Client(base_url=model_url, timeout=REQUEST_SECONDS, trust_env=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def hold_turn(self) -> HeldTurn:
        """Keep answers back that begin from now on, until they are let go or all are released."""
        self.hold = hold = Hold()
        self._holds.append(hold)

        async def asked() -> None:
            assert await asyncio.to_thread(hold.asked.acquire, timeout=HELD_SECONDS)

        return HeldTurn(asked, hold.let_go.release)

    def release(self) -> None:
        """Let all go."""
        self.hold = None
        while self._holds:
            self._holds.pop().let_go.release(MORE_THAN_WAIT)


class Passing(BaseHTTPRequestHandler):
    """One request on its way to the model."""

    server: Upstream
    _was_held = False

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["content-length"])))

    def _pass_on(self, body: bytes) -> None:
        # Now, since the first piece tells whoever holds turns to hold the next one.
        hold = self.server.hold
        headers = {"content-type": self.headers.get("content-type", "application/json")}
        asked = self.server.model.stream(self.command, self.path, content=body, headers=headers)
        with asked as reply:
            self.send_response(reply.status_code)
            self.send_header("content-type", reply.headers.get("content-type", ""))
            self.end_headers()
            try:
                for chunk in reply.iter_raw():
                    self.wfile.write(chunk)
                    self._be_held(hold)
            except ConnectionError:
                # Whoever asked has left.
                return

    def _be_held(self, hold: Hold | None) -> None:
        if hold is not None and not self._was_held:
            # Behind the first piece, so that the run has begun and been named.
            self._was_held = True
            hold.asked.release()
            hold.let_go.acquire(timeout=HELD_SECONDS)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        """Say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgenticApi:
    """The server, running."""

    url: str
    upstream: Upstream

    def delete(self, conversation_id: ConversationId) -> None:
        """Delete a conversation behind its callers' backs."""
        address = f"{self.url}/conversations/{conversation_id}"
        httpx2.delete(address, timeout=REQUEST_SECONDS, trust_env=False).raise_for_status()

    @asynccontextmanager
    async def under_test(self) -> AsyncIterator[BackendUnderTest]:
        """Give the OpenAI backend before this server."""
        async with OpenAIConversations(model=MODEL, api_key=KEY, base_url=self.url) as backend:
            try:
                yield BackendUnderTest(backend, self.delete, self.upstream.hold_turn)
            finally:
                self.upstream.release()


@contextmanager
def running_agentic_api(folder: Path) -> Iterator[AgenticApi]:
    """Run the server with its data in `folder`, over the local model.

    Raises:
        NotInstalled: It is not there.
    """
    program = Path(sysconfig.get_path("scripts")) / PROGRAM
    if not program.is_file():
        text = f"{program} is missing"
        raise NotInstalled(text)
    model = local_model()
    upstream = Upstream(model.listening_address)
    serving = threading.Thread(target=upstream.serve_forever, daemon=True)
    serving.start()
    try:
        with _gateway(program, folder, upstream.url) as url:
            yield AgenticApi(url=url, upstream=upstream)
    finally:
        upstream.shutdown()
        upstream.server_close()
        upstream.model.close()
        serving.join(STOP_SECONDS)


def local_model() -> Any:
    """Serve the local model's own, stateless half of the API, with short answers.

    It listens until it is let go of.
    """
    path = carried_model()
    assert path is not None, NO_MODEL
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = CONTEXT_TOKENS
    params.n_predict = ANSWER_TOKENS
    params.sampling.temp = 0
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_gpu_layers = params.cache_ram_mib = 0
    params.warmup = params.fit_params = False
    params.verbosity = -1
    params.ui = params.endpoint_slots = False
    return xllamacpp.Server(params)


@contextmanager
def _gateway(program: Path, folder: Path, upstream_url: str) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = (
        *(str(program), "--llm-api-base", upstream_url, "--llm-ready-interval-s", "0.2"),
        *("--gateway-host", "127.0.0.1", "--gateway-port", str(port)),
    )
    settings = {
        "HOME": str(folder),
        "PATH": os.defpath,
        "OPENAI_API_KEY": KEY,
        "DATABASE_URL": f"sqlite://{folder / 'agentic.db'}",
        **QUIET,
    }
    log = folder / "agentic.log"
    with (
        log.open("w") as written,
        subprocess.Popen(
            command, env=settings, cwd=folder, stdout=written, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_until_ready(address, process, log)
            yield f"{address}/v1"
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx2.get(f"{address}/health", timeout=1, trust_env=False).is_success:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    text = f"agentic-api did not start: {log.read_text()}"
    raise RuntimeError(text)


def free_port() -> int:
    """Give a port of loopback that nobody listened at a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

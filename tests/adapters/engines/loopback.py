"""Servers on this machine that keep what they were asked and answer from a script."""

import contextlib
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request: its `Authorization`, and its form."""

    authorization: str
    form: dict[str, str]


@dataclass(slots=True)
class Loopback:
    """A server whose last reply stands for ever; a reply is a status and a JSON body."""

    url: str
    replies: list[tuple[int, Any]]
    asked: list[Asked] = field(default_factory=list)
    taken: set[str] | None = None
    """The `Authorization`s that are let in; None lets everybody in."""

    may_reply: threading.Event = field(default_factory=threading.Event)
    """Set unless a test wants requests to wait."""


@contextlib.contextmanager
def loopback(*replies: tuple[int, Any], tls: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    """Serve `replies` at a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply()

        def do_POST(self) -> None:
            self._reply()

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            authorization = self.headers.get("Authorization", "")
            form = dict(parse_qsl(body.decode()))
            served.asked.append(Asked(authorization=authorization, form=form))
            served.may_reply.wait(10)
            status, said = served.replies[0]
            if len(served.replies) > 1:
                del served.replies[0]
            if served.taken is not None and authorization not in served.taken:
                status, said = 401, {"type": "Unauthorized"}
            content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Say nothing: what was asked is kept."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            """Say nothing about callers who do not believe the certificate."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "https" if tls else "http"
    served = Loopback(url=f"{scheme}://127.0.0.1:{server.server_address[1]}", replies=[*replies])
    served.may_reply.set()
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield served
    finally:
        served.may_reply.set()
        server.shutdown()
        serving.join()
        server.server_close()


def own_authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Found a certificate authority that signs for 127.0.0.1; give its certificate and a server's."""
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    leaf, leaf_key = folder / "leaf.pem", folder / "leaf.key"
    new: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    new += ["-nodes", "-days", "2"]
    authority: list[str | Path] = [
        "-subj",
        "/CN=An own authority",
        "-addext",
        "keyUsage=critical,keyCertSign",
    ]
    signed: list[str | Path] = ["-CA", ca, "-CAkey", ca_key, "-subj", "/CN=engine"]
    signed += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    for command in (
        [*new, *authority, "-keyout", ca_key, "-out", ca],
        [*new, *signed, "-keyout", leaf_key, "-out", leaf],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(leaf, leaf_key)
    return ca, served

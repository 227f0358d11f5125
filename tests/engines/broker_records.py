"""BrokerRecords: what a broker of Camunda 8 exports, taken where it thinks that an Elasticsearch is.

Its REST interface tells no incident, variable or state before 8.8; what it exports tells them all.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EXPORTER = "zeebe.broker.exporters.records"
UNWANTED = ("job", "jobBatch", "deployment", "process", "message", "messageSubscription")
SECONDS_TO_TELL = 30.0


class BrokerRecords:
    """The records of one broker, in its order. They come a moment after what they tell of."""

    def __init__(self) -> None:
        self.address = ""
        self._changed = threading.Condition()
        self._incidents: dict[str, dict[str, Any]] = {}
        self._variables: dict[str, dict[str, Any]] = {}
        self._states: dict[str, str] = {}
        self._signals: set[str] = set()

    @property
    def options(self) -> dict[str, object]:
        """What the broker is told, so that it exports to here at once."""
        return {
            f"{EXPORTER}.className": "io.camunda.zeebe.exporter.ElasticsearchExporter",
            f"{EXPORTER}.args.url": self.address,
            f"{EXPORTER}.args.bulk.size": 1,
            f"{EXPORTER}.args.index.createTemplate": "false",
            f"{EXPORTER}.args.index.signal": "true",
            **{f"{EXPORTER}.args.index.{each}": "false" for each in UNWANTED},
        }

    def incidents(self, instance_id: str) -> list[dict[str, Any]]:
        """Give the open incidents of an instance, each with its `key`, oldest first."""
        return [
            each for each in self.all_incidents() if str(each["processInstanceKey"]) == instance_id
        ]

    def all_incidents(self) -> list[dict[str, Any]]:
        """Give the open incidents of all instances, oldest first."""
        with self._changed:
            return list(self._incidents.values())

    def variables(self, instance_id: str) -> dict[str, Any]:
        """Give the variables of an instance, those that were local to an element among them."""
        with self._changed:
            return dict(self._variables.get(instance_id, {}))

    def state(self, instance_id: str) -> str:
        """Give where an instance is in its life, in the broker's word; `""` if it is unknown."""
        with self._changed:
            return self._states.get(instance_id, "")

    def wait_for_state(self, instance_id: str, state: str) -> None:
        """Wait until an instance is in a state.

        Raises:
            AssertionError: It never came there.
        """
        self._wait(lambda: self._states.get(instance_id) == state, f"{instance_id}: no {state}")

    def wait_for_signal(self, name: str) -> None:
        """Wait until all is told that came before a signal.

        Raises:
            AssertionError: It is not told.
        """
        self._wait(lambda: name in self._signals, f"no signal {name}")

    def _wait(self, is_there: Any, message: str) -> None:
        until = time.monotonic() + SECONDS_TO_TELL
        with self._changed:
            while not is_there():
                left = until - time.monotonic()
                if left <= 0:
                    raise AssertionError(message)
                self._changed.wait(left)

    def take(self, record: dict[str, Any]) -> None:
        """Keep what a record tells."""
        value, key, intent = record["value"], str(record["key"]), record["intent"]
        with self._changed:
            match record["valueType"], intent:
                case "INCIDENT", "CREATED":
                    self._incidents[key] = {**value, "key": key}
                case "INCIDENT", "RESOLVED":
                    self._incidents.pop(key, None)
                case "VARIABLE", "CREATED" | "UPDATED":
                    of = self._variables.setdefault(str(value["processInstanceKey"]), {})
                    of[value["name"]] = json.loads(value["value"])
                case "PROCESS_INSTANCE", _ if value["bpmnElementType"] == "PROCESS":
                    self._states[key] = intent.removeprefix("ELEMENT_")
                case "SIGNAL", "BROADCASTED":
                    self._signals.add(value["signalName"])
                case _:
                    return
            self._changed.notify_all()


@contextmanager
def taking_records() -> Iterator[BrokerRecords]:
    """Be there for a broker's records, on loopback."""
    records = BrokerRecords()

    class Taking(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        """A reply leaves whole: in two pieces each would wait for the broker's word on the first."""

        def do_POST(self) -> None:
            lines = _body(self).splitlines()
            for line in lines[1::2]:
                records.take(json.loads(line))
            self._reply({"took": 0, "errors": False, "items": []})

        def do_PUT(self) -> None:
            _body(self)
            self._reply({"acknowledged": True})

        def _reply(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Write nothing: there are thousands."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        server.daemon_threads = True
        records.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield records
        finally:
            server.shutdown()
            thread.join()


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body

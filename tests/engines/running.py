"""Engines that run for the tests: on free ports of loopback, with nothing kept, ended with the run."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.acceptance.programs import running
from tests.engines.broker_records import BrokerRecords
from tests.engines.distributions import CAMUNDA_8, Distribution

READY_SECONDS = 150.0
LISTENS = r"Tomcat started on port (?P<port>\d+)"
BROKER = "camunda-zeebe-8.6.0"


@contextmanager
def running_engine(distribution: Distribution, folder: Path) -> Iterator[str]:
    """Start an engine of the Camunda 7 family, and give the address of its REST interface.

    Raises:
        NothingThere: It cannot be started here.
    """
    with running(*command_of(distribution, port=0), folder=folder) as program:
        port = program.heard(LISTENS, seconds=READY_SECONDS)["port"]
        yield f"http://127.0.0.1:{port}/engine-rest"


def command_of(distribution: Distribution, *, port: int) -> list[str]:
    """Give the command of such an engine at a port of loopback, with its database in memory.

    Raises:
        NothingThere: It cannot be started here.
    """
    return [
        *distribution.command("classes", "dependency/*"),
        "dadm.Engine",
        "--server.address=127.0.0.1",
        f"--server.port={port}",
        f"--spring.datasource.url=jdbc:h2:mem:{distribution.name};DB_CLOSE_DELAY=-1",
    ]


@contextmanager
def running_broker(folder: Path, records: BrokerRecords | None = None) -> Iterator[str]:
    """Start a broker of Camunda 8 that keeps its data in `folder`, and give the address of its REST.

    It exports to `records`, if these are given.

    Raises:
        NothingThere: It cannot be started here.
    """
    (port,) = free_ports(1)
    with running(*broker_command(folder, port=port, records=records), folder=folder) as program:
        program.heard(r"Started StandaloneBroker", seconds=READY_SECONDS)
        address = f"http://127.0.0.1:{port}/v2"
        wait_for_partition(address)
        wait_for_jobs(address)
        yield address


def broker_command(folder: Path, *, port: int, records: BrokerRecords | None = None) -> list[str]:
    """Give the command of such a broker at a port of loopback, which keeps its data in `folder`.

    Raises:
        NothingThere: It cannot be started here.
    """
    management, gateway, command, internal = free_ports(4)
    network = "zeebe.broker.network"
    options = {
        "spring.profiles.active": "broker",
        "server.address": "127.0.0.1",
        "server.port": port,
        "management.server.port": management,
        f"{network}.host": "127.0.0.1",
        f"{network}.commandApi.port": command,
        f"{network}.internalApi.port": internal,
        "zeebe.broker.gateway.enable": "true",
        "zeebe.broker.gateway.network.port": gateway,
        "zeebe.broker.data.directory": folder / "data",
        **(records.options if records else {}),
    }
    return [
        *CAMUNDA_8.command(f"{BROKER}/config", f"{BROKER}/lib/*"),
        *(f"-D{name}={value}" for name, value in options.items()),
        "io.camunda.application.StandaloneBroker",
    ]


def wait_for_partition(address: str) -> None:
    """Wait until a broker knows who leads its partition.

    Before that it hands out no jobs as if there were none, and can deliver nothing else.
    """
    until = time.monotonic() + READY_SECONDS
    while True:
        with urllib.request.urlopen(f"{address}/topology", timeout=30) as reply:  # noqa: S310
            topology = json.load(reply)
        if any(
            partition["role"] == "leader" and partition["health"] == "healthy"
            for broker in topology["brokers"]
            for partition in broker["partitions"]
        ):
            return
        if time.monotonic() > until:
            raise AssertionError(topology)
        time.sleep(0.1)


def wait_for_jobs(address: str) -> None:
    """Wait until a broker hands out jobs: its partition comes up after its REST does."""
    body = {"type": "none", "timeout": 1000, "maxJobsToActivate": 1, "requestTimeout": -1}
    request = urllib.request.Request(  # noqa: S310 - it is on loopback
        f"{address}/jobs/activation",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - it is on loopback
                return
        except urllib.error.HTTPError as error:
            if time.monotonic() > until:
                raise AssertionError(error.read()) from error
            time.sleep(0.5)


def free_ports(count: int) -> list[int]:
    """Give ports of loopback that nobody listened at a moment ago, all different."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]

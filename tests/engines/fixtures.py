"""Fixtures of real engines: each is started once for a run, by whoever asks for it first."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from tests.engines.broker_records import BrokerRecords, taking_records
from tests.engines.distributions import CAMUNDA_7, OPERATON
from tests.engines.java import NothingThere
from tests.engines.running import running_broker, running_engine

ENGINES, NO_ENGINE = "A REAL PROCESS ENGINE", "there is no process engine here"


def _started(starting: AbstractContextManager[str]) -> Iterator[str]:
    try:
        with starting as address:
            yield address
    except NothingThere as missing:
        reason = f"{NO_ENGINE}: {missing}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def operaton_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a running Operaton.

    Where it is not to be had, tests that ask for it are skipped and listed at the end of the run;
    with CI set they fail.
    """
    yield from _started(running_engine(OPERATON, tmp_path_factory.mktemp("operaton")))


@pytest.fixture(scope="session")
def camunda7_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a running Camunda 7, under the same terms."""
    yield from _started(running_engine(CAMUNDA_7, tmp_path_factory.mktemp("camunda7")))


@pytest.fixture(scope="session")
def camunda8_records() -> Iterator[BrokerRecords]:
    """Give what the broker of Camunda 8 exports."""
    with taking_records() as records:
        yield records


@pytest.fixture(scope="session")
def camunda8_url(
    tmp_path_factory: pytest.TempPathFactory, camunda8_records: BrokerRecords
) -> Iterator[str]:
    """Give the address of a running broker of Camunda 8, under the same terms."""
    yield from _started(running_broker(tmp_path_factory.mktemp("camunda8"), camunda8_records))

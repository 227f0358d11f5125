"""The engines that other suites stand on: they run, here alone, and are the ones they should be."""

import json
import urllib.request
from urllib.parse import urlsplit

import pytest

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]


@pytest.mark.parametrize(
    ("fixture", "version"), [("operaton_url", "1.0.3"), ("camunda7_url", "7.24.0")]
)
def test_an_engine_answers_on_loopback(
    request: pytest.FixtureRequest, fixture: str, version: str
) -> None:
    address = request.getfixturevalue(fixture)

    with urllib.request.urlopen(f"{address}/version", timeout=30) as reply:  # noqa: S310
        assert json.load(reply) == {"version": version}

    assert urlsplit(address).hostname == "127.0.0.1"


def test_a_broker_of_camunda_8_answers_on_loopback(camunda8_url: str) -> None:
    with urllib.request.urlopen(f"{camunda8_url}/topology", timeout=30) as reply:  # noqa: S310
        assert json.load(reply)["gatewayVersion"] == "8.6.0"

    assert urlsplit(camunda8_url).hostname == "127.0.0.1"

"""The engine that the settings choose, and the ways into one elsewhere."""

from typing import Any

import pytest

from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.adapters.engines.external_task import ExternalTaskEngine
from dadm.adapters.stores.memory import MemoryProcessStore
from dadm.bootstrap import CLOCK, external_engine, open_engine
from dadm.domain.errors import SettingsError
from dadm.settings import load_settings

ELSEWHERE = "http://engine.test/engine-rest"


async def test_without_an_address_the_embedded_engine_runs() -> None:
    async with open_engine(load_settings(), MemoryProcessStore(CLOCK)) as side:
        assert isinstance(side.engine, EmbeddedEngine)
        assert side.run_due is not None


async def test_an_address_is_the_engine_and_its_timers_are_its_own() -> None:
    settings = load_settings(engine_url=ELSEWHERE)

    async with open_engine(settings, MemoryProcessStore(CLOCK)) as side:
        assert isinstance(side.engine, ExternalTaskEngine)
        assert side.run_due is None
        assert side.engine.engine_id == "camunda7"


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({}, None),
        ({"user": "kermit", "password": "pw"}, "Basic a2VybWl0OnB3"),
        ({"token": "abc"}, "Bearer abc"),
    ],
)
async def test_requests_bring_what_the_settings_say(
    given: dict[str, Any], header: str | None
) -> None:
    async with external_engine(load_settings(engine_url=ELSEWHERE, engine=given)) as engine:
        assert engine._client.headers.get("authorization") == header


@pytest.mark.parametrize(
    "given",
    [{"user": "kermit"}, {"password": "pw"}, {"user": "kermit", "password": "pw", "token": "abc"}],
)
def test_half_a_way_in_or_two_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="DADM_ENGINE__TOKEN"):
        external_engine(load_settings(engine_url=ELSEWHERE, engine=given))

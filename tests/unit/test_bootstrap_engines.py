"""The engine that the settings choose, and the ways into one elsewhere."""

from typing import Any

import pytest

from dadm.adapters.engines.access import Access, BasicAccess, BearerAccess, ClientCredentials
from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.adapters.engines.external_task import ExternalTaskEngine
from dadm.adapters.stores.memory import MemoryProcessStore, MemoryStore
from dadm.bootstrap import CLOCK, external_engine, open_engine, thread_cleanups
from dadm.bootstrap.engine_access import engine_access
from dadm.domain.errors import SettingsError
from dadm.settings import effective_settings, load_settings
from dadm.telemetry import Fanout

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
    ("address", "count"), [("", 1), (ELSEWHERE, 1), ("http://gateway.test/v2", 2)]
)
async def test_ends_are_followed_in_every_way_that_an_engine_tells_them(
    address: str, count: int
) -> None:
    settings = load_settings(engine_url=address)

    async with open_engine(settings, MemoryProcessStore(CLOCK)) as side:
        # A Camunda 8 tells some by listeners, and by search all, if it has that.
        assert len(thread_cleanups(settings, side, MemoryStore(CLOCK), Fanout(()))) == count
        assert (side.searched is not None) == (count > 1)


BY_CLIENT = {"token_url": "http://tokens.test/a/", "client_id": "dadm", "client_secret": "pw"}


@pytest.mark.parametrize(
    ("given", "access"),
    [
        ({}, None),
        ({"user": "kermit", "password": "pw"}, BasicAccess("kermit", "pw")),
        ({"token": "abc"}, BearerAccess("abc")),
        (
            BY_CLIENT | {"audience": "a", "scope": "s", "credentials_in": "header"},
            ClientCredentials(
                token_url="http://tokens.test/a/",
                client_id="dadm",
                client_secret="pw",
                audience="a",
                scope="s",
                has_secret_in_header=True,
            ),
        ),
    ],
)
def test_the_settings_name_the_way_in(given: dict[str, Any], access: Access | None) -> None:
    assert engine_access(load_settings(engine_url=ELSEWHERE, engine=given)) == access


@pytest.mark.parametrize(
    "given",
    [
        {"user": "kermit"},
        {"password": "pw"},
        {"user": "kermit", "password": "pw", "token": "abc"},
        BY_CLIENT | {"token": "abc"},
        BY_CLIENT | {"user": "kermit"},
        {"token_url": "http://tokens.test", "client_id": "dadm"},
        {"client_id": "dadm", "client_secret": "pw"},
        {"audience": "a"},
        {"token": "abc", "scope": "s"},
    ],
)
def test_half_a_way_in_or_two_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="DADM_ENGINE__TOKEN_URL"):
        external_engine(load_settings(engine_url=ELSEWHERE, engine=given))


def test_a_file_of_certificates_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="DADM_ENGINE__CA_FILE"):
        external_engine(load_settings(engine_url=ELSEWHERE, engine={"ca_file": "/not/there"}))


def test_the_secret_of_the_client_is_kept_out_of_logs_and_overviews() -> None:
    settings = load_settings(engine=BY_CLIENT)

    assert "pw" in settings.secrets
    assert "pw" not in [setting.value for setting in effective_settings(settings)]

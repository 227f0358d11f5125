"""What lets requests into an engine: on the wire, against servers on this machine."""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dadm.adapters.engines.access import (
    Access,
    BasicAccess,
    BearerAccess,
    ClientCredentials,
    new_client,
)
from dadm.adapters.engines.access_tokens import FAILURE_KEPT_SECONDS
from dadm.adapters.engines.camunda8 import Camunda8Engine
from dadm.adapters.engines.external_task import ExternalTaskEngine
from dadm.domain.errors import EngineAccessRefused, EngineUnavailable, SettingsError
from tests.adapters.engines.external_task.wire import StandingClock
from tests.adapters.engines.loopback import Loopback, loopback, own_authority
from tests.clocks import Numbers

VERSION = (200, {"version": "7.24.0"})
SECRET = "s:cret & more"


def token(value: str, **more: Any) -> tuple[int, Any]:
    return 200, {"access_token": value, "token_type": "bearer", "expires_in": 300} | more


class Stage:
    """A token server, an engine, and a client of both."""

    def __init__(self, tokens: Loopback, engine: Loopback) -> None:
        self.tokens = tokens
        self.engine = engine
        self.clock = StandingClock()

    def credentials(self, **changes: Any) -> ClientCredentials:
        given = {"token_url": self.tokens.url, "client_id": "dadm", "client_secret": SECRET}
        return ClientCredentials(**(given | changes))

    @asynccontextmanager
    async def client(self, access: Access | None = None) -> Any:
        access = access or self.credentials()
        async with new_client(access, self.clock, ca_file=None, reply_seconds=10) as client:
            yield client

    @property
    def brought(self) -> list[str]:
        return [asked.authorization for asked in self.engine.asked]


@pytest.fixture
def stage() -> Iterator[Stage]:
    with loopback(token("one"), token("two")) as tokens, loopback(VERSION) as engine:
        yield Stage(tokens, engine)


@pytest.mark.parametrize(
    ("access", "header"),
    [
        (
            BasicAccess("kermit", "sécret"),
            "Basic " + base64.b64encode("kermit:sécret".encode()).decode(),
        ),
        (BearerAccess("abc"), "Bearer abc"),
    ],
)
async def test_requests_bring_what_lets_them_in(stage: Stage, access: Access, header: str) -> None:
    async with stage.client(access) as client:
        await client.get(stage.engine.url)

    assert stage.brought == [header]


async def test_a_token_is_fetched_once_and_kept(stage: Stage) -> None:
    async with stage.client() as client:
        await client.get(stage.engine.url)
        await client.post(stage.engine.url, content=b"{}")

    assert stage.brought == ["Bearer one"] * 2
    (asked,) = stage.tokens.asked
    assert asked.authorization == ""
    assert asked.form == {
        "grant_type": "client_credentials",
        "client_id": "dadm",
        "client_secret": SECRET,
    }


async def test_scope_and_audience_are_asked_for(stage: Stage) -> None:
    access = stage.credentials(scope="read write", audience="zeebe.camunda.io")

    async with stage.client(access) as client:
        await client.get(stage.engine.url)

    assert stage.tokens.asked[0].form.items() >= {
        ("scope", "read write"),
        ("audience", "zeebe.camunda.io"),
    }


async def test_id_and_secret_can_go_in_the_header_and_then_not_in_the_body(stage: Stage) -> None:
    async with stage.client(stage.credentials(has_secret_in_header=True)) as client:
        await client.get(stage.engine.url)

    (asked,) = stage.tokens.asked
    pair = base64.b64decode(asked.authorization.removeprefix("Basic ")).decode()
    assert pair == "dadm:s%3Acret+%26+more"
    assert asked.form == {"grant_type": "client_credentials"}


@pytest.mark.parametrize(("life", "lasts"), [(300, 270), (60, 48)])
async def test_a_token_is_replaced_shortly_before_it_ends(
    stage: Stage, life: int, lasts: int
) -> None:
    stage.tokens.replies[0] = token("one", expires_in=life)

    async with stage.client() as client:
        for seconds in (0.0, lasts - 0.1, lasts + 0.1):
            stage.clock.seconds = seconds
            await client.get(stage.engine.url)

    assert stage.brought == ["Bearer one", "Bearer one", "Bearer two"]


async def test_a_token_that_names_no_end_is_kept_until_it_is_refused(stage: Stage) -> None:
    stage.tokens.replies[0] = token("one", expires_in=None)

    async with stage.client() as client:
        await client.get(stage.engine.url)
        stage.clock.seconds = 1e9
        await client.get(stage.engine.url)

    assert stage.brought == ["Bearer one"] * 2


async def test_a_request_whose_token_was_revoked_is_sent_again_with_a_new_one(
    stage: Stage,
) -> None:
    stage.engine.taken = {"Bearer two"}

    async with stage.client() as client:
        replied = await client.post(stage.engine.url, content=b"a=1")

    assert replied.status_code == 200
    assert stage.brought == ["Bearer one", "Bearer two"]
    assert [asked.form for asked in stage.engine.asked] == [{"a": "1"}] * 2


@pytest.mark.parametrize("kind", [ExternalTaskEngine, Camunda8Engine])
async def test_an_engine_that_takes_no_token_is_asked_twice_and_no_more(
    stage: Stage, kind: type[ExternalTaskEngine | Camunda8Engine]
) -> None:
    stage.engine.taken = set()
    engine = kind(stage.engine.url, stage.clock, Numbers(), access=stage.credentials())

    async with engine:
        with pytest.raises(EngineAccessRefused, match="DADM_ENGINE__TOKEN_URL"):
            await engine.ping()

    assert stage.brought == ["Bearer one", "Bearer two"]


async def test_requests_at_once_wait_for_one_token(stage: Stage) -> None:
    async with stage.client() as client:
        replies = await asyncio.gather(*(client.get(stage.engine.url) for _ in range(8)))

    assert [reply.status_code for reply in replies] == [200] * 8
    assert len(stage.tokens.asked) == 1


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((401, {"error": "invalid_client"}), "DADM_ENGINE__CLIENT_SECRET"),
        ((400, {"error": "invalid_scope"}), "DADM_ENGINE__SCOPE"),
        ((403, {"error": "access_denied", "error_description": "Who?"}), "access_denied: Who?"),
        ((404, "<html>"), "DADM_ENGINE__TOKEN_URL"),
        ((302, ""), "DADM_ENGINE__TOKEN_URL"),
        ((200, "<html>"), "DADM_ENGINE__TOKEN_URL"),
        ((200, {"access_token": "a\nb", "token_type": "Bearer"}), "bearer token"),
        ((200, {"access_token": "a", "token_type": "mac"}), "bearer token"),
    ],
)
async def test_a_token_server_that_gives_no_token_is_a_definite_no_that_says_what_to_set(
    stage: Stage, reply: tuple[int, Any], words: str
) -> None:
    stage.tokens.replies[:] = [reply]

    async with stage.client() as client:
        with pytest.raises(EngineAccessRefused, match=words) as raised:
            await client.get(stage.engine.url)

    assert not raised.value.retryable
    assert stage.tokens.url in raised.value.message
    assert SECRET not in raised.value.message
    assert stage.brought == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_token_server_in_trouble_is_tried_again_after_a_while(
    stage: Stage, status: int
) -> None:
    stage.tokens.replies.insert(0, (status, "busy"))

    async with stage.client() as client:
        for _ in range(3):
            with pytest.raises(EngineUnavailable, match=f"{status}") as raised:
                await client.get(stage.engine.url)
            assert raised.value.retryable
        assert len(stage.tokens.asked) == 1
        stage.clock.seconds += FAILURE_KEPT_SECONDS
        await client.get(stage.engine.url)

    assert stage.brought == ["Bearer one"]


async def test_a_token_server_that_is_away_makes_the_engine_unavailable(stage: Stage) -> None:
    with loopback() as gone:
        address = gone.url

    async with stage.client(stage.credentials(token_url=address)) as client:
        with pytest.raises(EngineUnavailable, match=r"token server .* is not reachable") as raised:
            await client.get(stage.engine.url)

    assert raised.value.retryable


async def test_whoever_gives_up_waiting_for_a_token_holds_up_nobody(stage: Stage) -> None:
    stage.tokens.may_reply.clear()
    async with stage.client() as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.get(stage.engine.url)
        stage.tokens.may_reply.set()
        replied = await client.get(stage.engine.url)

    assert replied.status_code == 200


def test_no_secret_is_in_what_a_value_shows(stage: Stage) -> None:
    shown = repr([stage.credentials(), BasicAccess("kermit", SECRET), BearerAccess(SECRET)])

    assert SECRET not in shown


async def test_an_own_authority_is_believed_by_its_file_for_engine_and_token_server(
    tmp_path: Path, stage: Stage
) -> None:
    ca, tls = own_authority(tmp_path)
    with loopback(token("one"), tls=tls) as tokens, loopback(VERSION, tls=tls) as engine:
        access = stage.credentials(token_url=tokens.url)
        within = ExternalTaskEngine(engine.url, stage.clock, Numbers(), access=access, ca_file=ca)
        without = ExternalTaskEngine(engine.url, stage.clock, Numbers())
        async with within, without:
            assert "7.24.0" in await within.ping()
            with pytest.raises(EngineUnavailable, match="DADM_ENGINE__CA_FILE"):
                await without.ping()

    assert [asked.authorization for asked in engine.asked] == ["Bearer one"]


async def test_a_token_server_that_is_not_believed_says_which_file_to_set(
    tmp_path: Path, stage: Stage
) -> None:
    _, tls = own_authority(tmp_path)
    with loopback(token("one"), tls=tls) as tokens:
        async with stage.client(stage.credentials(token_url=tokens.url)) as client:
            with pytest.raises(EngineUnavailable, match="DADM_ENGINE__CA_FILE"):
                await client.get(stage.engine.url)


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot be read"), ("nothing", "holds no certificates")]
)
def test_a_file_of_no_use_is_refused(tmp_path: Path, content: str | None, why: str) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)

    with pytest.raises(SettingsError, match=f"DADM_ENGINE__CA_FILE .*{why}"):
        new_client(None, StandingClock(), ca_file=file, reply_seconds=1.0)

"""Several engines are named by variables, told apart, and each is worked as if it was the only one."""

import pytest

from dadm.adapters.engines.embedded import EmbeddedEngine
from dadm.adapters.stores.memory import MemoryProcessStore
from dadm.bootstrap import CLOCK, open_engine
from dadm.bootstrap.engine_access import engine_access
from dadm.domain.errors import SettingsError
from dadm.settings import effective_settings, known_settings, load_settings, unknown_variables

SALES, HR = "http://sales.test/engine-rest", "http://hr.test/v2"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DADM_ENGINES__SALES__URL", SALES)
    monkeypatch.setenv("DADM_ENGINES__HR_EU__URL", f"{HR}/")
    return monkeypatch


def refusal() -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return raised.value.message


def test_each_engine_is_called_by_its_name_and_has_settings_of_its_own(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DADM_ENGINES__SALES__TOPICS", "Frame, Recommend")
    environment.setenv("DADM_ENGINES__SALES__LEASE_SECONDS", "12")

    hr, sales = sorted(load_settings().by_engine, key=lambda each: each.engine_id)

    assert (sales.engine_id, sales.engine_kind, sales.engine_url) == ("sales", "camunda7", SALES)
    assert (hr.engine_id, hr.engine_kind, hr.engine_url) == ("hr_eu", "camunda8", HR)
    assert sales.engine.topics == ("Frame", "Recommend")
    assert (sales.engine.lease_seconds, hr.engine.lease_seconds) == (12.0, 30.0)


def test_neither_a_single_engine_is_called_as_callers_over_http_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DADM_ENGINE__ID", "http")

    assert refusal() == "DADM_ENGINE__ID is 'http', which stands for callers of the HTTP service."


@pytest.mark.parametrize("variable", ["DADM_ENGINE__ID", "DADM_ENGINES__SALES__ID"])
@pytest.mark.parametrize("engine_id", ["  ", " sales", "sa\nles"])
def test_an_id_that_cannot_be_read_back_is_refused_before_any_task_is_taken(
    monkeypatch: pytest.MonkeyPatch, variable: str, engine_id: str
) -> None:
    monkeypatch.setenv(variable, engine_id)

    assert variable in refusal()
    assert "no blanks around it" in refusal()


def test_a_single_engine_stays_as_it_was() -> None:
    settings = load_settings(engine_url=SALES)

    assert settings.by_engine == (settings,)


def test_an_engine_keeps_its_threads_when_others_join_it(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DADM_ENGINES__SALES__ID", "camunda7")

    assert {each.engine_id for each in load_settings().by_engine} == {"camunda7", "hr_eu"}


async def test_one_of_them_may_be_embedded(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DADM_ENGINES__OWN__URL", "embedded")
    (own,) = [each for each in load_settings().by_engine if each.engine_kind == "embedded"]

    async with open_engine(own, MemoryProcessStore(CLOCK)) as side:
        assert isinstance(side.engine, EmbeddedEngine)
        assert side.engine.engine_id == "own"


def test_a_password_of_digits_is_a_password_and_a_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DADM_ENGINES__SALES__PASSWORD", "12345678")

    settings = load_settings()

    assert "12345678" in settings.secrets
    shown = {each.variable: each for each in effective_settings(settings)}
    assert shown["DADM_ENGINES__SALES__PASSWORD"].value == "********"
    assert not shown["DADM_ENGINES__SALES__PASSWORD"].is_default
    assert shown["DADM_ENGINES__HR_EU__PASSWORD"].is_default


def test_every_setting_of_a_single_engine_is_there_for_each_of_several(
    environment: pytest.MonkeyPatch,
) -> None:
    of_one = {each.path[1] for each in known_settings() if each.path[0] == "engine"}
    shown = {each.variable for each in effective_settings(load_settings())}

    for name in ("SALES", "HR_EU"):
        assert {f"DADM_ENGINES__{name}__{field.upper()}" for field in (*of_one, "url")} <= shown
    assert unknown_variables() == ()


def test_a_misspelt_setting_of_one_engine_is_noticed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DADM_ENGINES__SALES__PASWORD", "secret")

    (sentence,) = unknown_variables()

    assert sentence.startswith("DADM_ENGINES__SALES__PASWORD sets nothing")
    assert "DADM_ENGINES__SALES__PASSWORD" in sentence


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        # Whatever else is set, nothing says where it is.
        ("DADM_ENGINES__LAB__USER", "kermit", "DADM_ENGINES__LAB__URL is missing"),
        ("DADM_ENGINES__LAB__URL", "somewhere", "DADM_ENGINES__LAB__URL is 'somewhere'"),
        ("DADM_ENGINES__LAB__URL", SALES, "worked twice"),
        ("DADM_ENGINES__HR_EU__ID", "sales", "DADM_ENGINES__HR_EU__ID"),
        ("DADM_ENGINES__HR_EU__ID", "http", "HTTP service"),
        ("DADM_ENGINES__LA-B__URL", "http://lab.test/v2", "DADM_ENGINES__LA-B__"),
        ("DADM_ENGINES__Sales__URL", "http://other.test/v2", "DADM_ENGINES__Sales__URL"),
        ("DADM_ENGINE_URL", "http://lab.test/v2", "DADM_ENGINE_URL is for a single engine"),
        ("DADM_ENGINE__RETRY_SECONDS", "1", "DADM_ENGINES__SALES__RETRY_SECONDS"),
    ],
)
def test_engines_that_cannot_be_told_apart_or_are_set_in_two_ways_are_refused(
    variable: str, value: str, named: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(variable, value)

    assert named in refusal()


def test_half_a_way_in_is_told_of_the_engine_that_it_leads_to(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("DADM_ENGINES__SALES__USER", "kermit")
    (sales,) = [each for each in load_settings().by_engine if each.engine_id == "sales"]

    with pytest.raises(SettingsError, match=r"way into the engine sales .*DADM_ENGINES__…__USER"):
        engine_access(sales)


def test_a_refusal_shows_no_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DADM_ENGINES__LAB__PASSWORD", "open sesame")
    environment.setenv("DADM_ENGINES__LAB__RETRIES", "many")

    assert "DADM_ENGINES__LAB__RETRIES is 'many'" in refusal()
    assert "sesame" not in refusal()

"""Settings are read from the environment, checked, and shown without their secrets."""

import pytest

from dadm.domain.errors import SettingsError
from dadm.settings import (
    Settings,
    effective_settings,
    known_settings,
    load_settings,
    turn_limits,
    unknown_variables,
)
from tools import settings_reference

KEY = "sk-" + "k" * 40


def shown(settings: Settings) -> dict[str, str]:
    return {each.variable: each.value for each in effective_settings(settings)}


def test_everything_has_a_default_that_works() -> None:
    settings = load_settings()

    assert settings.host == "127.0.0.1"
    assert settings.port == 5000
    assert settings.max_body_bytes == 1024 * 1024
    assert settings.database_url.get_secret_value().startswith("sqlite:///")
    assert settings.api_tokens == ()


def test_the_engine_is_called_after_what_it_is_until_it_gets_a_name() -> None:
    elsewhere = "http://engine.test:8080/engine-rest/"

    assert load_settings().engine_id == "embedded"
    assert load_settings(engine_url=elsewhere).engine_id == "camunda7"
    assert load_settings(engine_url=elsewhere, engine={"id": "mine"}).engine_id == "mine"
    assert load_settings(engine_url=elsewhere).engine_url == elsewhere.rstrip("/")


def test_topics_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DADM_ENGINE__TOPICS", " Frame, Recommend ,")

    assert load_settings().engine.topics == ("Frame", "Recommend")


def test_what_lets_into_the_engine_is_a_secret() -> None:
    settings = load_settings(engine={"user": "kermit", "password": "piggy-pw", "token": "tok-123"})

    assert {"piggy-pw", "tok-123"} <= set(settings.secrets)
    assert shown(settings)["DADM_ENGINE__PASSWORD"] == "********"


def test_variables_are_read_and_groups_are_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DADM_PORT", "5001")
    monkeypatch.setenv("DADM_TURNS__TURN_SECONDS", "12.5")
    monkeypatch.setenv("DADM_API_TOKENS", " one, two ,")

    settings = load_settings()

    assert settings.port == 5001
    assert settings.turns.turn_seconds == 12.5
    assert [token.get_secret_value() for token in settings.api_tokens] == ["one", "two"]


def test_an_argument_wins_over_the_environment_without_hiding_the_rest_of_its_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DADM_LOG__LEVEL", "error")
    monkeypatch.setenv("DADM_LOG__FORMAT", "json")

    settings = load_settings(log={"level": "debug"})

    assert (settings.log.level, settings.log.format) == ("debug", "json")


def test_variables_of_the_openai_sdk_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")

    openai = load_settings().openai

    assert openai.api_key is not None
    assert openai.api_key.get_secret_value() == KEY
    assert openai.base_url == "http://127.0.0.1:8080/v1"
    assert (openai.organization, openai.project) == ("org-1", "proj-1")


def test_our_own_variables_win_over_those_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "theirs")
    monkeypatch.setenv("DADM_OPENAI__ORGANIZATION", "ours")

    assert load_settings().openai.organization == "ours"


def test_the_backend_is_openai_with_a_key_and_local_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings().chosen_backend == "local"

    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    assert load_settings().chosen_backend == "openai"
    assert load_settings(backend="chat").chosen_backend == "chat"


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("DADM_PORT", "http", "valid integer"),
        ("DADM_PORT", "70000", "65535"),
        ("DADM_BACKEND", "magic", "'openai'"),
        ("DADM_DATABASE_URL", "mysql://u:hidden-word@h/d", "sqlite:///"),
        ("DADM_API_TOKENS", "hidden word", "no spaces"),
        ("DADM_OPENAI__BASE_URL", "somewhere", "valid URL"),
        ("DADM_SERVICE_URL", "ftp://host", "'http' or 'https'"),
        ("DADM_TURNS__LEASE_SECONDS", "1", "greater than or equal to 6"),
        ("DADM_DRAIN_SECONDS", "inf", "finite"),
        ("DADM_ENDED__AFTER_SECONDS", "-1", "greater than or equal to 0"),
        ("DADM_ENDED__PARKED_SECONDS", "1e14", "less than or equal to 3155760000"),
        ("DADM_ENDED__POLICY", "delete", "'delete-remote'"),
        ("DADM_LOG__FORMAT", "xml", "'json'"),
        ("DADM_LOG", "not json", "one variable per setting"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as refusal:
        load_settings()

    assert variable.removeprefix("DADM_").lower() in refusal.value.message.lower()
    assert allowed in refusal.value.message
    assert "hidden" not in refusal.value.message


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DADM_PORT", "")
    monkeypatch.setenv("OPENAI_API_KEY", "")

    settings = load_settings()

    assert settings.port == 5000
    assert settings.openai.api_key is None


def test_a_misspelled_variable_is_reported_with_the_right_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DADM_DATABASE_ULR", "memory:")
    monkeypatch.setenv("DADM_OPENAI__MODLE", "m")
    monkeypatch.setenv("DADM_PORT", "5000")

    first, second = unknown_variables()

    assert "DADM_DATABASE_ULR" in first
    assert "DADM_DATABASE_URL" in first
    assert "DADM_OPENAI__MODEL" in second


def test_variables_of_the_test_suite_are_no_settings_and_no_mistakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DADM_TEST_POSTGRES_URL", "postgresql://host/db")

    assert unknown_variables() == ()


def test_no_secret_is_shown_or_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "DADM_API_TOKENS": "first-token,second-token",
        "OPENAI_API_KEY": KEY,
        "DADM_CHAT__API_KEY": "chat-key",
        "DADM_SERVICE_TOKEN": "service-token",
        "DADM_DATABASE_URL": "postgresql://user:pass-word@host/name",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()

    told = repr(settings) + str(settings) + repr(effective_settings(settings))

    hidden = ("first-token", "second-token", KEY, "chat-key", "service-token", "pass-word")
    assert not [secret for secret in hidden if secret in told]
    assert set(hidden) == set(settings.secrets)
    assert shown(settings)["DADM_DATABASE_URL"] == "postgresql://user:********@host/name"


def test_what_was_set_is_told_from_what_is_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DADM_PORT", "5000")
    monkeypatch.setenv("DADM_LOG__LEVEL", "info")

    changed = {each.variable for each in effective_settings(load_settings()) if not each.is_default}

    assert changed == {"DADM_PORT", "DADM_LOG__LEVEL"}


def test_every_setting_says_what_it_means_and_can_be_set_by_its_variable() -> None:
    settings = list(known_settings())

    assert len({setting.variable for setting in settings}) == len(settings) > 30
    assert [setting.variable for setting in settings if not setting.field.description] == []


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_the_reference_page_says_what_the_code_says() -> None:
    page = settings_reference.page()

    assert settings_reference.PAGE.read_text(encoding="utf-8") == page, "run `make docs`"
    assert not [each.variable for each in known_settings() if f"`{each.variable}`" not in page]


@pytest.mark.parametrize(
    ("given", "used"), [("86400", 86_400.0), ("5", 600.0), ("0", 0.0), ("", 86_400.0)]
)
def test_conversations_that_were_replaced_stay_for_the_longest_turn_at_least(
    monkeypatch: pytest.MonkeyPatch, given: str, used: float
) -> None:
    monkeypatch.setenv("DADM_TURNS__RETIRED_SECONDS", given)

    assert turn_limits(load_settings().turns).retired_seconds == used

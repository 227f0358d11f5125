"""Settings: everything that can be set, as one frozen object read from the environment."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import Field, SecretStr, field_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from dadm.settings.groups import (
    EMBEDDED,
    ChatSettings,
    EndedSettings,
    EngineSettings,
    LocalSettings,
    LogSettings,
    NamedEngineSettings,
    OpenAISettings,
    ScriptedSettings,
    TurnSettings,
    web_address,
)

PREFIX = "DADM_"

SDK_VARIABLES: Mapping[str, str] = {
    "OPENAI_API_KEY": "api_key",
    "OPENAI_BASE_URL": "base_url",
    "OPENAI_ORG_ID": "organization",
    "OPENAI_PROJECT_ID": "project",
}
"""Variables that the OpenAI SDK reads, and the field of `OpenAISettings` that each one sets."""

FOR_CRASH_TESTS: JsonDict = {"for_crash_tests": True}
"""What marks a setting that nobody should find in the reference and take for theirs."""

DATABASES = ("sqlite:///", "postgresql://", "postgres://", "memory:")


def _default_database() -> SecretStr:
    folder = platformdirs.user_data_path("dadm", appauthor=False)
    return SecretStr(f"sqlite:///{(folder / 'dadm.db').as_posix()}")


class _VariablesOfTheSdk(PydanticBaseSettingsSource):
    """What the OpenAI SDK would read from the environment, below our own variables."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        given = {field: os.environ.get(name, "") for name, field in SDK_VARIABLES.items()}
        return {"openai": {field: value for field, value in given.items() if value}}


ENGINES = f"{PREFIX}ENGINES__"


class _NamedEngines(PydanticBaseSettingsSource):
    """What is set for each of several engines, as it is written.

    The usual source would take a password of digits for a number, since it does not look for
    fields behind a name that it cannot know.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        engines: dict[str, dict[str, str]] = {}
        for variable, value in os.environ.items():
            name, _, field = variable.upper().removeprefix(ENGINES).partition("__")
            if variable.upper().startswith(ENGINES) and field and value:
                engines.setdefault(name.lower(), {})[field.lower()] = value
        return {"engines": engines} if engines else {}


class Settings(BaseSettings):
    """Everything that can be set; each setting has a default that works."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Where the service listens. Beyond loopback it wants a token.",
    )
    port: int = Field(
        default=5000, ge=0, le=65535, description="Its port; 0 takes any that is free."
    )
    api_tokens: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="Tokens that callers may bring, separated by commas; without any, all may call.",
    )
    max_body_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="The largest request body accepted, in bytes."
    )
    drain_seconds: float = Field(
        default=30.0, ge=0, description="How long turns under way may go on after SIGTERM."
    )
    database_url: SecretStr = Field(
        default_factory=_default_database,
        description="`sqlite:///file`, `postgresql://user:password@host/name`, or `memory:`.",
        json_schema_extra={"default_text": "a SQLite file in the user's data folder"},
    )
    assistants: Path | None = Field(
        default=None, description="The folder of assistants; without one, those shipped."
    )
    default_assistant: str = Field(
        default="",
        description="Who answers tasks that name nobody; without one, whoever is called "
        "`dadm-openai-assistant`, else the only assistant.",
    )
    backend: Literal["auto", "openai", "chat", "local", "scripted"] = Field(
        default="auto",
        description="Who continues conversations; `auto` is `openai` with a key, else `local`.",
    )
    engine_url: str = Field(
        default="",
        description="The REST interface of the engine whose tasks are worked: of a Camunda 7 or "
        "Operaton, as in `http://host:8080/engine-rest`, or of a Camunda 8, as in "
        "`http://host:8080/v2`; without one, processes run in the embedded engine.",
    )
    service_url: str = Field(
        default="",
        description="The address of another DADM's service that answers this one's tasks.",
    )
    service_token: SecretStr | None = Field(default=None, description="The token for that service.")
    failpoint: str = Field(
        default="",
        description="Where this process kills itself, for tests of crashes.",
        json_schema_extra=FOR_CRASH_TESTS,
    )
    openai: OpenAISettings = OpenAISettings()
    chat: ChatSettings = ChatSettings()
    local: LocalSettings = LocalSettings()
    scripted: ScriptedSettings = ScriptedSettings()
    turns: TurnSettings = TurnSettings()
    ended: EndedSettings = EndedSettings()
    engine: EngineSettings = EngineSettings()
    engines: Mapping[str, NamedEngineSettings] = Field(default_factory=dict)
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then our variables, then those of the SDK."""
        del dotenv_settings, file_secret_settings
        named = _NamedEngines(settings_cls)
        return init_settings, named, env_settings, _VariablesOfTheSdk(settings_cls)

    @field_validator("api_tokens", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(SecretStr(each.strip()) for each in value.split(",") if each.strip())

    @field_validator("api_tokens")
    @classmethod
    def _fits_a_header(cls, tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for token in tokens:
            if not all("!" <= character <= "~" for character in token.get_secret_value()):
                msg = "a token has printable ASCII characters only, and no spaces"
                raise ValueError(msg)
        return tokens

    @field_validator("database_url")
    @classmethod
    def _is_known_database(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(DATABASES):
            msg = f"an address begins with one of {', '.join(DATABASES)}"
            raise ValueError(msg)
        return url

    @field_validator("engine_url", "service_url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        return web_address(value) if value else value

    @property
    def chosen_backend(self) -> Literal["openai", "chat", "local", "scripted"]:
        """The backend that new threads are opened at."""
        if self.backend == "auto":
            return "openai" if self.openai.api_key else "local"
        return self.backend

    @property
    def engine_id(self) -> str:
        """What the engine is called in thread keys."""
        return self.engine.id or self.engine_kind

    @property
    def engine_kind(self) -> Literal["embedded", "camunda7", "camunda8"]:
        """What kind of engine the address is of: that of Camunda 8 ends in `/v2`."""
        if not self.engine_url:
            return "embedded"
        return "camunda8" if self.engine_url.endswith("/v2") else "camunda7"

    @property
    def by_engine(self) -> tuple["Settings", ...]:
        """These settings for each engine that is worked, as if it was the only one."""
        if not self.engines:
            return (self,)
        return tuple(
            self.model_copy(
                update={
                    "engine_url": "" if each.url == EMBEDDED else each.url,
                    "engine": each.model_copy(update={"id": each.id or name}),
                    "engines": {},
                }
            )
            for name, each in self.engines.items()
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret there is, for whoever keeps them out of logs."""
        given = (
            *self.api_tokens,
            *(
                secret
                for secret in (
                    self.service_token,
                    self.openai.api_key,
                    self.chat.api_key,
                    *(
                        secret
                        for engine in (self.engine, *self.engines.values())
                        for secret in (engine.password, engine.token, engine.client_secret)
                    ),
                )
                if secret is not None
            ),
        )
        password = re.search(r"://[^:/@]*:([^@]+)@", self.database_url.get_secret_value())
        values = [secret.get_secret_value() for secret in given]
        return (*values, password.group(1)) if password else tuple(values)

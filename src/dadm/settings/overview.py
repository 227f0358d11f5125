"""What settings there are, how they stand, and which variables look like one and are none."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import pydantic_settings
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dadm.domain.errors import SettingsError
from dadm.settings.groups import NamedEngineSettings
from dadm.settings.model import ENGINES, FOR_CRASH_TESTS, PREFIX, Settings
from dadm.settings.several_engines import refuse_unworkable_engines

FOR_TESTS = "DADM_TEST_"
MASK = "********"

ANY_NAME = "<name>"
"""In a setting's path: whatever name people give one of several things."""

_PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*(@)")


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSetting:
    """One setting as it stands, fit to be printed."""

    variable: str
    value: str
    is_default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSetting:
    """One setting there is: its variable, its place in `Settings`, and what is said about it."""

    variable: str
    path: tuple[str, ...]
    field: FieldInfo

    def value_in(self, settings: Settings) -> Any:
        """Give its value in `settings`."""
        value: Any = settings
        for name in self.path:
            value = _step(value, name)
        return value

    def is_set_in(self, settings: Settings) -> bool:
        """Whether anybody set it, even to its default."""
        model: Any = settings
        for name in self.path:
            if isinstance(model, BaseModel) and name not in model.model_fields_set:
                return False
            model = _step(model, name)
        return True

    def of(self, name: str) -> "KnownSetting":
        """Give it for one of several things, which is called `name`."""
        path = tuple(name if step == ANY_NAME else step for step in self.path)
        return replace(self, variable=_variable(path), path=path)


def effective_settings(settings: Settings) -> tuple[EffectiveSetting, ...]:
    """Give every setting with its value, secrets masked, in the order of the reference."""
    return tuple(
        EffectiveSetting(
            variable=known.variable,
            value=_shown(known.value_in(settings)),
            is_default=not known.is_set_in(settings),
        )
        for known in _with_names(settings)
    )


def _with_names(settings: Settings) -> Iterator[KnownSetting]:
    """Give every setting there is, those of several engines for one after the other."""
    every = list(known_settings())
    named = [each for each in every if ANY_NAME in each.path]
    for known in every:
        if known not in named:
            yield known
        elif known == named[0]:
            for name in settings.engines:
                yield from (each.of(name) for each in named)


def known_settings(
    model: type[BaseModel] = Settings, path: tuple[str, ...] = ()
) -> Iterator[KnownSetting]:
    """Give every setting meant for users, groups after the settings that stand alone."""
    for name, field in model.model_fields.items():
        inner = (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_settings(field.annotation, inner)
        elif field.annotation == Mapping[str, NamedEngineSettings]:
            yield from known_settings(NamedEngineSettings, (*inner, ANY_NAME))
        elif field.json_schema_extra != FOR_CRASH_TESTS:
            yield KnownSetting(variable=_variable(inner), path=inner, field=field)


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; `overrides` (groups as dictionaries) win over it.

    Raises:
        SettingsError: A setting is wrong; the message names the variable and what is allowed.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(" ".join(_explained(error.errors()))) from None
    except pydantic_settings.SettingsError as error:
        # Somebody wrote a group as one variable, which must then be JSON.
        raise SettingsError(f"{error}: write one variable per setting.") from None
    refuse_unworkable_engines(settings)
    return settings


def unknown_variables() -> tuple[str, ...]:
    """Give a sentence for each variable that looks like ours and sets nothing."""
    known = [setting.variable for setting in known_settings()]
    groups = [PREFIX + name.upper() for name in Settings.model_fields]
    sentences = []
    for name in sorted(os.environ):
        is_ours = name.upper().startswith(PREFIX) and not name.upper().startswith(FOR_TESTS)
        general, engine = _without_name(name.upper())
        if is_ours and general not in (*known, *groups):
            close = difflib.get_close_matches(general, known, n=1)
            hint = f" Did you mean {close[0].replace(ANY_NAME.upper(), engine)}?" if close else ""
            sentences.append(f"{name} sets nothing: there is no such setting.{hint}")
    return tuple(sentences)


def failpoint_warning(settings: Settings) -> str:
    """Give a sentence for whoever runs a program that a test of crashes would kill, else `""`."""
    if not settings.failpoint:
        return ""
    return (
        f"DADM_FAILPOINT={settings.failpoint} makes programs kill themselves in the middle of "
        "their work. It is for tests of crashes alone: unset it."
    )


def _step(value: Any, name: str) -> Any:
    return value[name] if isinstance(value, Mapping) else getattr(value, name)


def _without_name(variable: str) -> tuple[str, str]:
    """Give a setting of one of several engines as the reference has it, and the engine's name."""
    name, _, field = variable.removeprefix(ENGINES).partition("__")
    if not (variable.startswith(ENGINES) and field):
        return variable, ""
    return f"{ENGINES}{ANY_NAME.upper()}__{field}", name


def _variable(path: Iterable[str]) -> str:
    return PREFIX + "__".join(path).upper()


def _explained(errors: Iterable[ErrorDetails]) -> Iterator[str]:
    secret = {known.path for known in known_settings() if _is_secret(known.field.annotation)}
    for error in errors:
        path = tuple(step for step in error["loc"] if isinstance(step, str))
        said = error["msg"].removeprefix("Value error, ").rstrip(".")
        is_secret = _any_name(path) in secret
        given = "wrong" if is_secret else repr(error["input"])
        yield f"{_variable(path)} is {given}: {said}."


def _any_name(path: tuple[str, ...]) -> tuple[str, ...]:
    is_named = path[:1] == ("engines",) and len(path) > 1
    return (path[0], ANY_NAME, *path[2:]) if is_named else path


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_is_secret(each) for each in get_args(annotation))


def _shown(value: Any) -> str:
    match value:
        case None | "" | ():
            return "-"
        case SecretStr() if "://" in value.get_secret_value():
            return _shown(value.get_secret_value())
        case SecretStr():
            return MASK
        case tuple():
            return ", ".join(_shown(each) for each in value)
        case _:
            return _PASSWORD.sub(rf"\1{MASK}\2", str(value))

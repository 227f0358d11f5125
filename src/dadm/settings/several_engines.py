"""What must hold where several engines are worked by one replica."""

import os
import re
from collections.abc import Iterator

from dadm.domain.errors import SettingsError
from dadm.domain.task import DEFAULT_ENGINE
from dadm.settings.model import ENGINES, PREFIX, Settings

HTTP_CALLERS = f"{{variable}} is {DEFAULT_ENGINE!r}, which stands for callers of the HTTP service."

_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def refuse_unworkable_engines(settings: Settings) -> None:
    """Refuse engines that nobody could tell apart, or that are set in two ways.

    Raises:
        SettingsError: They cannot be worked; the message names the variables.
    """
    for sentence in _faults(settings):
        raise SettingsError(sentence)


def _faults(settings: Settings) -> Iterator[str]:
    yield from _names_written_twice()
    if not settings.engines:
        if settings.engine.id == DEFAULT_ENGINE:
            yield HTTP_CALLERS.format(variable=f"{PREFIX}ENGINE__ID")
        return
    yield from _single_engine_beside(settings)
    for name, engine in settings.engines.items():
        if not _NAME.fullmatch(name):
            yield f"{ENGINES}{name.upper()}__… names no engine: use letters, digits and single _."
        if not engine.url:
            yield f"{ENGINES}{name.upper()}__URL is missing: each of several engines needs one."
    yield from _alike(settings)


def _names_written_twice() -> Iterator[str]:
    written: dict[str, str] = {}
    for variable in sorted(os.environ):
        if variable.upper().startswith(ENGINES):
            first = written.setdefault(variable.upper(), variable)
            if first != variable:
                yield f"{first} and {variable} are one setting, for case does not count: keep one."


def _single_engine_beside(settings: Settings) -> Iterator[str]:
    given = ["ENGINE_URL"] if settings.engine_url else []
    given += [f"ENGINE__{field.upper()}" for field in sorted(settings.engine.model_fields_set)]
    for single in given:
        field = single.removeprefix("ENGINE").lstrip("_")
        one = next(iter(settings.engines)).upper()
        yield (
            f"{PREFIX}{single} is for a single engine, and {ENGINES}… name several: set it for "
            f"each of them, as in {ENGINES}{one}__{field}."
        )


def _alike(settings: Settings) -> Iterator[str]:
    by_id: dict[str, str] = {DEFAULT_ENGINE: ""}
    by_address: dict[str, str] = {}
    for name, engine in settings.engines.items():
        called = f"{ENGINES}{name.upper()}__"
        known = engine.id or name
        other = by_id.setdefault(known, called)
        if not other:
            yield HTTP_CALLERS.format(variable=f"{called}ID")
        elif other != called:
            yield (
                f"{other}ID and {called}ID are both {known!r}: two engines may number their "
                "instances alike, so give each its own."
            )
        other = by_address.setdefault(engine.url, called)
        if other != called:
            yield (
                f"{other}URL and {called}URL are both {engine.url}: every task there would be "
                "worked twice."
            )

"""Writes docs/reference/settings.md from the settings themselves; --check says if it is out of date."""

import re
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from dadm.settings import KnownSetting, NamedEngineSettings, Settings, known_settings

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"

INTRODUCTION = """\
# Settings

<!-- Written by `make docs` from src/dadm/settings. -->

Settings come from environment variables. Each has a default that works, so none is needed; an
empty variable counts as unset. A wrong value ends the program with the name of the variable and
what is allowed; a variable that begins with `DADM_` and sets nothing is reported. `dadm check`
prints the settings as they stand, secrets masked.
"""

TYPES: dict[Any, str] = {
    bool: "true or false",
    float: "number",
    int: "whole number",
    Path: "path",
    SecretStr: "secret text",
    str: "text",
    tuple: "list",
}


def type_of(annotation: Any) -> str:
    """Say in words what values are allowed."""
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(annotation))
    if origin in (typing.Union, types.UnionType):
        chosen = [each for each in typing.get_args(annotation) if each is not type(None)]
        return " or ".join(type_of(each) for each in chosen)
    if origin is tuple:
        return f"list of {type_of(typing.get_args(annotation)[0])}s"
    return TYPES[annotation]


def bounds_of(setting: KnownSetting) -> str:
    """Say the bounds of a number."""
    said = {"ge": "at least {}", "gt": "above {}", "le": "at most {}"}
    found = [
        said[name].format(getattr(limit, name))
        for limit in setting.field.metadata
        for name in said
        if hasattr(limit, name)
    ]
    return "".join(f", {bound}" for bound in found)


def default_of(setting: KnownSetting) -> str:
    """Say the default, in words where it depends on the machine."""
    extra = setting.field.json_schema_extra
    if isinstance(extra, dict):
        return str(extra["default_text"])
    match setting.field.default:
        case bool() as value:
            return f"`{str(value).lower()}`"
        case None | "" | ():
            return "none"
        case value if value is PydanticUndefined:
            sys.exit(f"{setting.variable} has no default")
        case value:
            return f"`{value}`"


def table(settings: list[KnownSetting]) -> list[str]:
    """Write settings as a table."""
    lines = ["| variable | values | default | meaning |", "|---|---|---|---|"]
    for setting in settings:
        values = type_of(setting.field.annotation) + bounds_of(setting)
        meaning = re.sub(r"\s+", " ", setting.field.description or "")
        lines.append(f"| `{setting.variable}` | {values} | {default_of(setting)} | {meaning} |")
    return lines


def page() -> str:
    """Write the whole page: single settings first, then a section for each group."""
    every = list(known_settings())
    lines = [INTRODUCTION, *table([each for each in every if len(each.path) == 1])]
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if group == Mapping[str, NamedEngineSettings]:
            group = NamedEngineSettings
        if isinstance(group, type) and issubclass(group, BaseModel):
            title = (group.__doc__ or "").strip().splitlines()[0].rstrip(".")
            inside = [each for each in every if each.path[0] == name]
            lines += ["", f"## {title}", "", *table(inside)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page, or compare it with what is there."""
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
        return
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/reference/settings.md is out of date: run `make docs`.")


if __name__ == "__main__":
    main()

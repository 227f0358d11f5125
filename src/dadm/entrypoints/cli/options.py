"""Options that several commands share, and the settings that come of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from dadm.settings import Settings

SETTINGS = "Settings (each stands in for the variable it names)"

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="Where threads and processes are kept: DADM_DATABASE_URL.",
        rich_help_panel=SETTINGS,
    ),
]
Backend = Annotated[
    Literal["auto", "openai", "chat", "local", "scripted"] | None,
    typer.Option("--backend", help="Who answers: DADM_BACKEND.", rich_help_panel=SETTINGS),
]
Assistants = Annotated[
    Path | None,
    typer.Option(
        "--assistants",
        metavar="FOLDER",
        help="The folder of assistants: DADM_ASSISTANTS.",
        rich_help_panel=SETTINGS,
    ),
]
Host = Annotated[
    str | None,
    typer.Option("--host", help="Where to listen: DADM_HOST.", rich_help_panel=SETTINGS),
]
Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, help="Its port: DADM_PORT.", rich_help_panel=SETTINGS),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"] | None,
    typer.Option(
        "--log-level", help="How much is logged: DADM_LOG__LEVEL.", rich_help_panel=SETTINGS
    ),
]
LogFormat = Annotated[
    Literal["text", "json"] | None,
    typer.Option("--log-format", help="How it looks: DADM_LOG__FORMAT.", rich_help_panel=SETTINGS),
]

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, whose field names stay as they are.")
]
OfInstance = Annotated[
    str | None,
    typer.Option(
        "--instance",
        metavar="ID",
        help="Those of a process instance and of its elements, or of a scope spelled out.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")]
Variables = Annotated[
    list[str] | None,
    typer.Option(
        "--variable",
        "-v",
        metavar="NAME=VALUE",
        help="A process variable; its value is JSON where it is JSON, else text. Repeatable.",
    ),
]
VariablesFile = Annotated[
    Path | None,
    typer.Option(
        "--variables-file", metavar="FILE", help="A JSON object of variables; - reads the input."
    ),
]


def settings_with(**given: Any) -> "Settings":
    """Read the environment; what is `given` and not None wins, `group__field` within its group.

    Raises:
        SettingsError: A setting is wrong.
    """
    from dadm.settings import load_settings

    overrides: dict[str, Any] = {}
    for name, value in given.items():
        group, is_grouped, field = name.partition("__")
        if value is None:
            continue
        if is_grouped:
            overrides.setdefault(group, {})[field] = value
        else:
            overrides[name] = value
    return load_settings(**overrides)

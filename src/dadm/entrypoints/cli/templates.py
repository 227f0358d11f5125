"""`dadm templates`: the element templates with which Camunda Modeler draws AI tasks."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from dadm.entrypoints.cli.output import print_json

FOLDER = Path(__file__).parents[2] / "examples" / "element_templates"


def templates(
    engine: Annotated[
        Literal["camunda7", "camunda8"] | None,
        typer.Option("--engine", help="For models of that engine only."),
    ] = None,
) -> None:
    """Print the element templates for Camunda Modeler, as one JSON file.

    Saved in the folder resources/element-templates of the Modeler they appear as "AI task (DADM)"
    wherever a task can be given a template.
    """
    files = sorted(FOLDER.glob("*.json"))
    print_json(
        [
            json.loads(file.read_text(encoding="utf-8"))
            for file in files
            if engine in (None, file.stem)
        ]
    )

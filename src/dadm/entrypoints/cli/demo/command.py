"""The command `dadm demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    backend: Annotated[
        str, typer.Option(help="Who answers: local (no key needed), openai or chat.")
    ] = "local",
    keep: Annotated[
        Path | None,
        typer.Option(help="An empty or new folder for the database, kept afterwards."),
    ] = None,
    log_level: Annotated[
        str, typer.Option(help="What the program logs while it runs: info shows every step.")
    ] = "warning",
) -> None:
    """Run the main job for real: two decisions, killed half-way, continued, and proved.

    Deploys the shipped decision process on the embedded engine, starts two instances of it, kills
    the whole program half-way and starts it again. Ends with a proof computed from the database
    and from what the model was shown; the exit status is 0 only if it holds.

    Example: dadm demo --backend openai
    """
    # The parts that take long to load are loaded when the demo is really played.
    from dadm.entrypoints.cli.demo.play import run_demo

    if not run_demo(backend=backend, keep=keep, log_level=log_level):
        raise typer.Exit(1)

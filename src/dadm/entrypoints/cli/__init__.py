"""The command line `dadm`."""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    # Imported here: the demo's program is a module of this package, and needs no commands.
    from dadm.entrypoints.cli.app import main as run

    return run(arguments)


__all__ = ["main"]

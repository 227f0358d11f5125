"""Reads off a module what it imports."""

import ast
from collections.abc import Iterator
from pathlib import Path


def imports_of(module: Path) -> Iterator[str]:
    """Yield the dotted names, wherever in the module the import stands."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(name), level=0):
                yield name

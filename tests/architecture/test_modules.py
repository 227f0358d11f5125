"""What every module of the source keeps to: its opening sentence, its size, and the purity of the core."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.architecture.imports import imports_of
from tools.architecture_map import sentence

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "src" / "dadm"
WRITTEN_BY_US = [
    module
    for folder in ("src", "tools", "benchmarks")
    for module in sorted((ROOT / folder).rglob("*.py"))
]
MOST_LINES = 350
# What a ring may import of ours; nothing else of ours, and of others only the standard library.
RINGS = {
    "domain": ("dadm.domain",),
    "ports": ("dadm.domain", "dadm.ports"),
    "application": ("dadm.domain", "dadm.ports", "dadm.application"),
}
# These do work when imported, or read the world; the core is handed what it needs instead.
NO_PLACE_IN_DOMAIN = frozenset(
    {"asyncio", "io", "logging", "os", "pathlib", "random", "socket", "sqlite3", "subprocess"}
    | {"tempfile", "threading", "time", "urllib"}
)


def named(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


def lines_that_count(module: Path) -> int:
    """Count a port's lines without its docstrings: a contract is as long as it must be."""
    text = module.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if module.parent != PACKAGE / "ports":
        return lines
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


@pytest.mark.parametrize("module", WRITTEN_BY_US, ids=named)
def test_a_module_opens_with_one_sentence(module: Path) -> None:
    opening = sentence(module)

    assert opening, "has no docstring"
    assert opening.endswith("."), f"does not end like a sentence: {opening}"
    assert not re.search(r"[.!?] +[A-Z]", opening), f"is more than one sentence: {opening}"


@pytest.mark.parametrize("module", WRITTEN_BY_US, ids=named)
def test_a_module_is_small_enough_to_hold_one_thing(module: Path) -> None:
    assert lines_that_count(module) <= MOST_LINES, "look whether two things live here"


@pytest.mark.parametrize("ring", RINGS)
def test_the_core_imports_inwards_and_from_the_standard_library(ring: str) -> None:
    strangers = {
        f"{named(module)}: {name}"
        for module in (PACKAGE / ring).rglob("*.py")
        for name in imports_of(module)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not f"{name}.".startswith(tuple(f"{inner}." for inner in RINGS[ring]))
    }

    assert not strangers


def test_the_domain_does_no_input_or_output() -> None:
    reaching_out = {
        f"{named(module)}: {name}"
        for module in (PACKAGE / "domain").rglob("*.py")
        for name in imports_of(module)
        if name.partition(".")[0] in NO_PLACE_IN_DOMAIN
    }

    assert not reaching_out


def test_no_module_is_named_after_nothing() -> None:
    says_nothing = {"base", "common", "constants", "core", "helpers", "misc", "utils"}

    assert not [named(module) for module in WRITTEN_BY_US if module.stem in says_nothing]

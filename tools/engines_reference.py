"""Writes docs/reference/engines.md from the features that engines declare; --check compares."""

import ast
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path

from dadm.adapters.engines.camunda8.engine import FEATURES as CAMUNDA_8
from dadm.adapters.engines.camunda8.engine import SEARCH_FEATURES as SEARCHED
from dadm.adapters.engines.camunda8.engine import TOKEN_FEATURES as LEASED
from dadm.adapters.engines.embedded.engine import FEATURES as EMBEDDED
from dadm.adapters.engines.external_task.engine import FEATURES as EXTERNAL_TASK
from dadm.ports.engine_features import Feature

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "engines.md"

ENGINES: Mapping[str, frozenset[Feature]] = {
    "embedded": EMBEDDED,
    "Camunda 7, Operaton": EXTERNAL_TASK,
    "Camunda 8": CAMUNDA_8,
    "8.8 with search": CAMUNDA_8 | SEARCHED,
    "8.10 with search": CAMUNDA_8 | SEARCHED | LEASED,
}

INTRODUCTION = """\
# Engines

<!-- Written by `make docs` from src/dadm/ports/engine_features.py and the engines' declarations. -->

All engines keep the same promises about tasks: leases, reports, retries, incidents, errors, the ends
of instances. One suite of tests holds the embedded engine, Operaton, Camunda 7 and Camunda 8 to these,
on the real engines. What some can do and others cannot, they declare; the suite asks for it where it
is declared, and for what then holds instead where it is not. Of Camunda 8 this is said from 8.6 on,
and held on a real 8.6.0 broker; what later versions add is found out by itself, and held on stubs that
follow their published description:

"""

CLOSING = """\

How to use them: [embedded](../howto/run_embedded.md),
[Camunda 7 and Operaton](../howto/camunda7_operaton.md), [Camunda 8](../howto/camunda8.md),
[several engines](../howto/several_engines.md). What a task costs on them: [speed](speed.md).
"""


def sentences() -> dict[str, str]:
    """Give what is said below each member of Feature, by its name."""
    (declared,) = ast.parse(inspect.getsource(Feature)).body
    if not isinstance(declared, ast.ClassDef):
        raise TypeError("Feature is no class")
    found: dict[str, str] = {}
    name = ""
    for node in declared.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                continue
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                found[name] = " ".join(text.split())
            case _:
                continue
    return found


def page() -> str:
    """Write the page."""
    said = sentences()
    lines = [
        f"| feature | {' | '.join(ENGINES)} | meaning |",
        f"|---|{'---|' * len(ENGINES)}---|",
        *(
            f"| `{feature}` | "
            + " | ".join("yes" if feature in has else "no" for has in ENGINES.values())
            + f" | {said[feature.name]} |"
            for feature in Feature
        ),
    ]
    return INTRODUCTION + "\n".join(lines) + "\n" + CLOSING


def main() -> None:
    """Write the page, or compare it with what is there."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
        return
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/reference/engines.md is out of date: run `make docs`.")


if __name__ == "__main__":
    main()

"""Write the list of modules into docs/architecture.md from the sentence that each module opens with.

Without arguments the section between the two markers is written anew; with --check nothing is
written, and the exit status says whether the page is up to date.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- modules: written by `make docs` from the source; edit there -->"
END = "<!-- end of modules -->"

# From the inside out, as one reads them; whatever is not named here follows by name.
RINGS = ("domain", "ports", "application", "adapters", "bootstrap", "settings", "telemetry")


class PageOutOfShape(Exception):
    """The page is missing, or has not exactly one pair of markers."""


def sentence(module: Path) -> str:
    """Return the first paragraph of the module's docstring on one line; empty if there is none."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def packages() -> Iterator[Path]:
    """Yield every folder below dadm that holds a module, rings first and inside out."""

    def place(folder: Path) -> tuple[int, tuple[str, ...]]:
        parts = folder.relative_to(SOURCES).parts
        ring = parts[1] if len(parts) > 1 else ""
        # The package itself comes last: it holds what joins the rings.
        order = RINGS.index(ring) if ring in RINGS else len(RINGS) + (not ring)
        return order, parts

    yield from sorted({module.parent for module in SOURCES.rglob("*.py")}, key=place)


def link(module: Path) -> str:
    """Return a link from the page to the module, shown as its file name."""
    return f"[`{module.name}`](../{module.relative_to(ROOT).as_posix()})"


def section() -> str:
    """Return what belongs between the markers."""
    lines: list[str] = []
    for folder in packages():
        modules = sorted(folder.glob("*.py"))
        init = folder / "__init__.py"
        lines += [f"### `{folder.relative_to(SOURCES).as_posix()}/`", ""]
        if init in modules:
            lines += [sentence(init), ""]
            modules.remove(init)
        if modules:
            lines += ["| module | what it is |", "|---|---|"]
            lines += [
                f"| {link(module)} | {sentence(module).replace('|', chr(92) + '|')} |"
                for module in modules
            ]
            lines.append("")
    return "\n".join(lines)


def page_with(modules: str, page: str) -> str:
    """Return the page with the modules between its markers.

    Raises:
        PageOutOfShape: The page has not exactly one pair of markers, in order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        message = f"{PAGE.name} needs these two lines once, in this order:\n{BEGIN}\n{END}"
        raise PageOutOfShape(message)
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{modules}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is up to date."""
    try:
        written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        wanted = page_with(section(), written)
    except PageOutOfShape as error:
        print(error, file=sys.stderr)
        return 1
    if arguments == ["--check"]:
        if wanted != written:
            print(f"docs/{PAGE.name} is out of date; run: make docs", file=sys.stderr)
        return int(wanted != written)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

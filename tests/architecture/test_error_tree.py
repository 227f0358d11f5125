"""The tree drawn in dadm.domain.errors is the tree of its classes."""

import re

from dadm.domain import errors
from dadm.domain.errors import DadmError

LINE = re.compile(r"^(?P<indent>[│├└─ ]*?)(?P<name>[A-Z]\w+)$")
INDENT_WIDTH = 4


def drawn_edges() -> set[tuple[str, str]]:
    """Read (class, parent) pairs off the drawing."""
    edges: set[tuple[str, str]] = set()
    path: list[str] = []
    drawing = (errors.__doc__ or "").split("\n\n")[1]
    lines = drawing.splitlines()
    margin = len(lines[0]) - len(lines[0].lstrip())
    for line in lines:
        match = LINE.match(line[margin:])
        assert match, f"cannot read this line of the drawing: {line!r}"
        depth = len(match["indent"]) // INDENT_WIDTH
        del path[depth:]
        edges.add((match["name"], path[-1] if path else "Exception"))
        path.append(match["name"])
    return edges


def classes_below(root: type[DadmError]) -> set[type[DadmError]]:
    return {root}.union(*(classes_below(child) for child in root.__subclasses__()))


def errors_of_the_domain() -> list[type[DadmError]]:
    return [cls for cls in classes_below(DadmError) if cls.__module__ == errors.__name__]


def test_the_drawn_tree_is_the_tree_of_classes() -> None:
    classes = {
        (cls.__name__, parent.__name__)
        for cls in errors_of_the_domain()
        for parent in cls.__bases__
    }

    assert drawn_edges() == classes


def test_every_error_is_in_the_domain() -> None:
    elsewhere = {cls for cls in classes_below(DadmError) if cls.__module__.startswith("dadm.")}

    assert elsewhere == set(errors_of_the_domain())


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [cls.__dict__.get("code") for cls in errors_of_the_domain()]

    assert None not in codes
    assert len(set(codes)) == len(codes)


def test_every_error_says_in_a_sentence_what_happened() -> None:
    for cls in errors_of_the_domain():
        first_line = (cls.__doc__ or "").strip().splitlines()[0]
        assert first_line.endswith("."), cls.__name__

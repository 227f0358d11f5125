"""What commands print: JSON for programs, tables for people, plain columns where there is no terminal."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

NOTHING = "-"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def shown_text(text: str) -> str:
    """Give `text` with control characters made visible, so that it cannot steer a terminal."""
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def shown(value: object) -> str:
    """Give a value on one line; nothing is a dash, a time is in UTC to the second."""
    match value:
        case None | "" | () | []:
            text = NOTHING
        case bool():
            text = "yes" if value else "no"
        case datetime():
            text = value.strftime("%Y-%m-%d %H:%M:%SZ")
        case tuple():
            text = ", ".join(shown(each) for each in value)
        case list() | dict():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    return " ".join(shown_text(text).split())


def counted(count: int, what: str) -> str:
    """Give a count with its noun, which takes an s for several."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def print_json(document: Any) -> None:
    """Print a document as programs read it; beyond ASCII only where the output can carry it."""
    is_narrow = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    print(json.dumps(document, indent=2, ensure_ascii=is_narrow))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows below their columns, or `empty` where there are none."""
    cells = [[shown(value) for value in row] for row in rows]
    if not cells:
        print(empty)
    elif sys.stdout.isatty():
        _print_for_people(columns, cells)
    else:
        _print_plain(columns, cells)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print named values, one below the other."""
    listed = [(name, shown(value)) for name, value in facts]
    width = max(len(name) for name, _ in listed)
    for name, value in listed:
        print(f"{name:<{width}}  {value}")


def _print_for_people(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    # Imported here: plain output and help of scripts do without.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    longest = max(len(row[0]) for row in cells)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        # What is copied stands whole; the rest is folded, not cut, where there is little room.
        is_whole = place == 0 and longest <= console.width // 2
        table.add_column(column, overflow="fold", no_wrap=is_whole)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _print_plain(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    lines = [columns, *cells]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        padded = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())

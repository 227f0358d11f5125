"""The results as tables for people and as one JSON document for programs."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.course import Extent, Section
from benchmarks.latency import Latency
from benchmarks.targets import Ratio, Target
from benchmarks.throughput import Throughput


def section_table(extent: Extent, section: Section) -> str:
    """Write one section: who, how many turns at once, how long one takes, how much is stored."""
    trip = section.round_trip_milliseconds
    told = "" if trip is None else f", one round trip {trip:.2f} ms"
    heading = f"{section.name} ({extent.conversations} conversations at once{told})"
    return f"{heading}\n\n{columns(section_rows(section))}\n"


def comparison_tables(compared: Sequence[Ratio], wanted: Sequence[Target]) -> str:
    """Write what the sections come to."""
    blocks = [columns(rows) for rows in (ratio_rows(compared), target_rows(wanted))]
    return "\n\n".join(blocks) + "\n"


def section_rows(section: Section) -> Iterator[tuple[str, ...]]:
    """Give a row for each entrant and reading."""
    lengths = list(section.latency[0].samples) if section.latency else []
    stored = {one.entrant.name: one.bytes_per_turn for one in section.stored}
    heading = (
        "",
        "reads",
        "turns/s",
        "best",
        "CPU, ms",
        *(f"turn {length}, ms" for length in lengths),
    )
    yield (*heading, "bytes/turn") if stored else heading
    for fast, slow in zip(section.throughput, section.latency, strict=True):
        row = (*throughput_cells(fast), *(latency_cell(slow, length) for length in lengths))
        yield (*row, f"{stored[fast.entrant.name]:.0f}") if stored else row


def throughput_cells(measured: Throughput) -> tuple[str, ...]:
    """Give who, how, the median and the best of the rounds, and this process's work for a turn."""
    return (
        measured.entrant.name,
        measured.reading.value,
        f"{measured.median:.0f}",
        f"{measured.best:.0f}",
        f"{median(measured.processor_milliseconds):.2f}",
    )


def latency_cell(measured: Latency, length: int) -> str:
    """Give the least and the median."""
    return f"{measured.least(length):.1f} / {measured.median(length):.1f}"


def ratio_rows(compared: Sequence[Ratio]) -> Iterator[tuple[str, ...]]:
    """Give a row for each comparison of turns per second."""
    yield ("turns per second, compared", "", "median", "least", "most", "best to best")
    for ratio in compared:
        figures = (ratio.median, min(ratio.by_round), max(ratio.by_round), ratio.of_bests)
        yield (ratio.section, ratio.what, *(f"{figure:.2f}" for figure in figures))


def target_rows(wanted: Sequence[Target]) -> Iterator[tuple[str, ...]]:
    """Give a row for each target."""
    yield ("target", "wanted", "measured", "")
    for target in wanted:
        value = "" if target.value is None else f"{target.value:.4g}"
        yield (target.what, target.wanted, value, target.verdict)


def columns(rows: Iterator[tuple[str, ...]]) -> str:
    """Align cells: words to the left, figures to the right."""
    table = list(rows)
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_figure(cell) else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in table
    )


def is_figure(cell: str) -> bool:
    """Whether a cell is one of numbers, or heads such a column."""
    return cell[:1].isdigit() or cell.endswith(("/s", "ms", "/turn")) or cell in HEADS


HEADS = frozenset({"best", "median", "least", "most", "best to best", "measured"})


def document(
    machine: dict[str, Any],
    extent: Extent,
    sections: Sequence[Section],
    compared: Sequence[Ratio],
    wanted: Sequence[Target],
) -> dict[str, Any]:
    """Give the results with every round, as JSON writes them."""
    return {
        "machine": machine,
        "extent": {name: getattr(extent, name) for name in extent.__dataclass_fields__},
        "sections": [section_document(section) for section in sections],
        "ratios": [
            {
                "section": ratio.section,
                "what": ratio.what,
                "median": ratio.median,
                "by_round": ratio.by_round,
                "best_to_best": ratio.of_bests,
            }
            for ratio in compared
        ],
        "targets": [
            {
                "what": target.what,
                "wanted": target.wanted,
                "value": target.value,
                "verdict": target.verdict.lower(),
            }
            for target in wanted
        ],
    }


def section_document(section: Section) -> dict[str, Any]:
    """Give one section."""
    stored = {one.entrant.name: one.bytes_per_turn for one in section.stored}
    return {
        "name": section.name,
        "settings": section.settings,
        "round_trip_milliseconds": section.round_trip_milliseconds,
        "entrants": [
            {
                "name": fast.entrant.name,
                "reads": fast.reading.value,
                "turns_per_second": {"median": fast.median, "by_round": fast.by_round},
                "processor_milliseconds_per_turn": median(fast.processor_milliseconds),
                "milliseconds_by_length": {
                    str(length): {"least": slow.least(length), "median": slow.median(length)}
                    for length in slow.samples
                },
                "stored_bytes_per_turn": stored.get(fast.entrant.name),
            }
            for fast, slow in zip(section.throughput, section.latency, strict=True)
        ],
    }

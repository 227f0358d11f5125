"""The results as tables for people and as one JSON document for programs."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.engines.course import AT_ONCE, STEADILY, Measured, Section, quantile
from benchmarks.engines.race import Milliseconds, Round
from benchmarks.engines.workers import MINIMAL
from benchmarks.report import columns, target_rows
from benchmarks.targets import Target

OWN_MILLISECONDS_AT_MOST = 10.0
TIMES_AT_MOST = 1.3
SHARES = (0.5, 0.95)


def whole(task: Milliseconds) -> float:
    """Give a task's time from being ready to its outcome accepted, without the answer's own."""
    return task.whole


def own(task: Milliseconds) -> float:
    """Give what the worker itself took of that."""
    return task.own


def middle_of_whole(one: Round) -> float:
    """Give the middle of a round's tasks."""
    return quantile([whole(task) for task in one.tasks], 0.5)


def section_table(section: Section) -> str:
    """Write one section."""
    return f"{section.engine}, {section.manner}\n\n{columns(section_rows(section))}\n"


def section_rows(section: Section) -> Iterator[tuple[str, ...]]:
    """Give a row for each worker."""
    yield (
        "",
        "ready to accepted p50, ms",
        "p95, ms",
        "own share p50, ms",
        "p95, ms",
        "p50, best round, ms",
        "requests/task",
        "fetches/task",
        "CPU/task, ms",
        "whole run, s",
        "times minimal",
    )
    ratios = section.times_minimal(lambda one: one.seconds)
    for each in section.measured:
        yield (
            each.worker,
            *(f"{each.quantile(part, share):.1f}" for part in (whole, own) for share in SHARES),
            f"{min(each.quantiles(own, 0.5)):.1f}",
            f"{each.requests():.2f}",
            f"{each.requests('fetch'):.2f}",
            f"{each.processor_milliseconds:.2f}",
            f"{each.seconds:.2f}",
            f"{median(ratios[each.worker]):.2f}" if each.worker in ratios else "1",
        )


def targets(sections: Sequence[Section]) -> list[Target]:
    """Say of each engine and store how it stands."""
    return [
        target
        for section in sections
        for each in section.measured
        if each.worker != MINIMAL
        for target in targets_of(section, each)
    ]


def targets_of(section: Section, each: Measured) -> Iterator[Target]:
    """Judge our own share where answers take their time, and the whole run where they do not."""
    about = f"{section.engine}, {each.worker}"
    if section.manner == STEADILY:
        value = each.quantile(own, 0.5)
        yield Target(
            what=f"{about}: own share, p50, ms",
            wanted=f"below {OWN_MILLISECONDS_AT_MOST:g}",
            value=value,
            is_met=value < OWN_MILLISECONDS_AT_MOST,
        )
    if section.manner == AT_ONCE:
        value = median(section.times_minimal(lambda one: one.seconds)[each.worker])
        yield Target(
            what=f"{about}: whole run, times the minimal worker's",
            wanted=f"at most {TIMES_AT_MOST:g}",
            value=value,
            is_met=value <= TIMES_AT_MOST,
        )


def target_table(wanted: Sequence[Target]) -> str:
    """Write what the sections come to."""
    return columns(target_rows(wanted)) + "\n"


def document(
    machine: dict[str, Any], extent: dict[str, Any], sections: Sequence[Section]
) -> dict[str, Any]:
    """Give the results with every round, as JSON writes them."""
    return {
        "machine": machine,
        "extent": extent,
        "sections": [section_document(section) for section in sections],
        "targets": [
            {"what": each.what, "wanted": each.wanted, "value": each.value, "verdict": each.verdict}
            for each in targets(sections)
        ],
    }


def section_document(section: Section) -> dict[str, Any]:
    """Give one section."""
    return {
        "engine": section.engine,
        "manner": section.manner,
        "workers": [
            {
                "name": each.worker,
                "milliseconds": {
                    name: {f"p{share * 100:g}": each.quantile(part, share) for share in SHARES}
                    for name, part in PARTS.items()
                },
                "own_p50_milliseconds_by_round": each.quantiles(own, 0.5),
                "processor_milliseconds_per_task": each.processor_milliseconds,
                "requests_per_task": {
                    kind: each.requests(kind)
                    for kind in sorted({kind for one in each.rounds for kind in one.requests})
                },
                "seconds_by_round": [one.seconds for one in each.rounds],
            }
            for each in section.measured
        ],
        "whole_run_times_minimal_by_round": section.times_minimal(lambda one: one.seconds),
        "ready_to_accepted_times_minimal_by_round": section.times_minimal(middle_of_whole),
    }


PARTS = {
    "ready_to_accepted": whole,
    "waiting": lambda task: task.waiting,
    "own": own,
    "reporting": lambda task: task.reporting,
}

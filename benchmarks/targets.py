"""What we want of ourselves, as ratios within one run, and whether it is so."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.course import FAR, POSTGRES, SQLITE, Section
from benchmarks.entrants import DADM, PLAIN, SQLALCHEMY_SESSION, SQLITE_SESSION
from benchmarks.readings import Reading

RIVALS = (
    (SQLITE, SQLITE_SESSION, 3.0),
    (POSTGRES, SQLALCHEMY_SESSION, 3.0),
    (FAR, SQLALCHEMY_SESSION, 4.0),
)
"""Where, whom, and how many times its turns per second we want at least."""
AS_MEANT = (Reading.NOTHING, Reading.WHOLE)
LIKE_FOR_LIKE = (Reading.LATEST, Reading.LATEST)
"""What we read and what the other one reads."""

SHORT, LONG = 50, 1000
TIMES_AT_MOST = 1.1
STORED_BYTES_AT_MOST = 3 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times another's turns per second were ours, round by round.

    `of_bests` compares the best round of each, which says more where the machine was busy with
    other programs.
    """

    section: str
    what: str
    by_round: Sequence[float]
    of_bests: float

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.by_round)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something wanted: `value` is None where this run did not measure it."""

    what: str
    wanted: str
    value: float | None
    is_met: bool

    @property
    def verdict(self) -> str:
        """Say in a word or two how it stands."""
        if self.value is None:
            return "not measured"
        return "met" if self.is_met else "MISSED"


def at_least(bound: float, what: str, value: float | None) -> Target:
    """Want `value` to be large."""
    is_met = value is not None and value >= bound
    return Target(what=what, wanted=f"at least {bound:g}", value=value, is_met=is_met)


def at_most(bound: float, what: str, value: float | None) -> Target:
    """Want `value` to be small."""
    is_met = value is not None and value <= bound
    return Target(what=what, wanted=f"at most {bound:g}", value=value, is_met=is_met)


def ratios(sections: Sequence[Section]) -> list[Ratio]:
    """Compare ourselves with everyone there is a target for, then with the minimum."""
    pairs = [(name, other) for name, other, _ in RIVALS]
    pairs += [(name, PLAIN) for name in (SQLITE, POSTGRES, FAR)]
    found = [
        ratio(sections, name, other, readings)
        for name, other in pairs
        for readings in (AS_MEANT, LIKE_FOR_LIKE)
    ]
    return [one for one in found if one is not None]


def ratio(
    sections: Sequence[Section], name: str, other: str, readings: tuple[Reading, Reading]
) -> Ratio | None:
    """Compare ourselves with another where both were measured."""
    ours, theirs = readings
    by_entrant = {
        (section.name, one.entrant.name, one.reading): one
        for section in sections
        for one in section.throughput
    }
    mine, its = by_entrant.get((name, DADM, ours)), by_entrant.get((name, other, theirs))
    if mine is None or its is None:
        return None
    return Ratio(
        section=name,
        what=f"{DADM} ({ours}) to {other} ({theirs})",
        by_round=[a / b for a, b in zip(mine.by_round, its.by_round, strict=True)],
        of_bests=mine.best / its.best,
    )


def targets(sections: Sequence[Section]) -> list[Target]:
    """Judge everything that is wanted."""
    wanted = []
    for name, other, times in RIVALS:
        found = ratio(sections, name, other, AS_MEANT)
        what = f"{name}: turns per second to {other}'s"
        wanted.append(at_least(times, what, found.median if found else None))
    for name in (SQLITE, POSTGRES):
        what = f"{name}: turn {LONG} to turn {SHORT}"
        wanted.append(at_most(TIMES_AT_MOST, what, longest_to_shorter(sections, name)))
    for name in (SQLITE, POSTGRES):
        what = f"{name}: bytes stored for each turn"
        wanted.append(at_most(STORED_BYTES_AT_MOST, what, stored_bytes(sections, name)))
    return wanted


def longest_to_shorter(sections: Sequence[Section], name: str) -> float | None:
    """Give what a turn on a long thread costs against one on a short thread."""
    for section in sections:
        for one in section.latency:
            is_ours = (section.name, one.entrant.name) == (name, DADM)
            if is_ours and one.reading is Reading.NOTHING and {SHORT, LONG} <= set(one.samples):
                return one.median(LONG) / one.median(SHORT)
    return None


def stored_bytes(sections: Sequence[Section], name: str) -> float | None:
    """Give what we store for a turn."""
    for section in sections:
        for one in section.stored:
            if (section.name, one.entrant.name) == (name, DADM):
                return one.bytes_per_turn
    return None

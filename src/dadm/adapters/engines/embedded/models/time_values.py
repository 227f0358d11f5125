"""Times of BPMN timers: ISO 8601 dates, durations and repeated durations."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(
    r"P(?=.)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:[.,]\d+)?)S)?)?"
)
_CYCLE = re.compile(r"R(?P<count>\d*)/(?P<interval>P.+)")
_LAST_YEAR = 9999


class TimeInvalid(Exception):
    """The text is no time of the kind wanted."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of calendar months and of exact time."""

    months: int
    rest: timedelta

    def after(self, start: datetime) -> datetime:
        """Give the moment that much later; a day that the month has not becomes its last.

        Raises:
            TimeInvalid: That is beyond the calendar.
        """
        month = start.month - 1 + self.months
        year, month = start.year + month // 12, month % 12 + 1
        if year > _LAST_YEAR:
            raise TimeInvalid(_BEYOND)
        day = min(start.day, calendar.monthrange(year, month)[1])
        try:
            return start.replace(year=year, month=month, day=day) + self.rest
        except OverflowError as error:
            raise TimeInvalid(_BEYOND) from error


_BEYOND = "the time lies beyond the calendar"


@dataclass(frozen=True, slots=True)
class Cycle:
    """A duration that repeats; `count` None is for ever."""

    count: int | None
    interval: Duration


def duration_of(text: str) -> Duration:
    """Read `PT5M`, `P1DT12H`, `P1M`.

    Raises:
        TimeInvalid: It is no ISO 8601 duration.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        msg = f"{text!r} is no duration such as PT5M or P1DT12H"
        raise TimeInvalid(msg)
    given = {name: value or "0" for name, value in found.groupdict().items()}
    try:
        rest = timedelta(
            weeks=int(given["weeks"]),
            days=int(given["days"]),
            hours=int(given["hours"]),
            minutes=int(given["minutes"]),
            seconds=float(given["seconds"].replace(",", ".")),
        )
    except OverflowError as error:
        raise TimeInvalid(_BEYOND) from error
    return Duration(int(given["years"]) * 12 + int(given["months"]), rest)


def date_of(text: str) -> datetime:
    """Read `2026-12-24T18:00:00Z`; without an offset it is UTC.

    Raises:
        TimeInvalid: It is no ISO 8601 date.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        msg = f"{text!r} is no date such as 2026-12-24T18:00:00Z"
        raise TimeInvalid(msg) from error
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    try:
        return aware.astimezone(UTC)
    except OverflowError as error:
        raise TimeInvalid(_BEYOND) from error


def cycle_of(text: str) -> Cycle:
    """Read `R3/PT1H` or `R/PT1H`; a start or end date, and cron, are not read.

    Raises:
        TimeInvalid: It is no repeated duration.
    """
    found = _CYCLE.fullmatch(text.strip())
    if found is None:
        msg = f"{text!r} is no repeated duration such as R3/PT1H"
        raise TimeInvalid(msg)
    count = found.group("count")
    if count and int(count) == 0:
        msg = f"{text!r} never comes"
        raise TimeInvalid(msg)
    interval = duration_of(found.group("interval"))
    if not interval.months and not interval.rest:
        msg = f"{text!r} repeats without end at one moment"
        raise TimeInvalid(msg)
    return Cycle(int(count) if count else None, interval)

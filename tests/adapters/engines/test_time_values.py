"""Times of timers are ISO 8601, and anything else is refused."""

from datetime import UTC, datetime, timedelta

import pytest

from dadm.adapters.engines.embedded.models.time_values import (
    TimeInvalid,
    cycle_of,
    date_of,
    duration_of,
)

START = datetime(2028, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("PT5M", START + timedelta(minutes=5)),
        ("PT1.5S", START + timedelta(seconds=1.5)),
        ("P1DT2H3M4S", START + timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("P2W", START + timedelta(weeks=2)),
        ("P1M", datetime(2028, 2, 29, 12, tzinfo=UTC)),
        ("P1Y1M", datetime(2029, 2, 28, 12, tzinfo=UTC)),
        ("P12M", datetime(2029, 1, 31, 12, tzinfo=UTC)),
        ("PT0S", START),
        (" PT36H ", START + timedelta(hours=36)),
    ],
)
def test_a_duration_counts_from_its_start(text: str, due: datetime) -> None:
    assert duration_of(text).after(START) == due


@pytest.mark.parametrize("text", ["", "P", "PT", "5M", "P5", "PT5", "P-1D", "PT5M3H", "P1H", "x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(TimeInvalid):
        duration_of(text)


@pytest.mark.parametrize("text", ["P9000Y", f"P{10**12}D", f"PT{10**30}S"])
def test_a_time_beyond_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(TimeInvalid, match="beyond the calendar"):
        duration_of(text).after(START)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-02T03:04:05Z", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2030-01-02T03:04:05+02:00", datetime(2030, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2030-01-02T03:04:05", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2030-01-02", datetime(2030, 1, 2, tzinfo=UTC)),
    ],
)
def test_a_date_is_a_moment_and_utc_unless_it_says_otherwise(text: str, moment: datetime) -> None:
    assert date_of(text) == moment


@pytest.mark.parametrize("text", ["", "tomorrow", "2030-13-01", "0001-01-01T00:00:00+10:00"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(TimeInvalid):
        date_of(text)


def test_a_cycle_has_a_count_and_an_interval() -> None:
    assert cycle_of("R3/PT1H").count == 3
    assert cycle_of("R/PT1H").count is None
    assert cycle_of("R3/PT1H").interval.after(START) == START + timedelta(hours=1)


@pytest.mark.parametrize(
    "text", ["", "R0/PT1H", "R3", "R3/PT0S", "R3/2030-01-01/PT1H", "R-1/PT1H", "0 0 9 * * ?"]
)
def test_what_is_no_cycle_is_refused(text: str) -> None:
    with pytest.raises(TimeInvalid):
        cycle_of(text)

"""The machine's clock and chance keep the promises of their ports."""

from datetime import timedelta

from dadm.adapters.system_clock import RandomIdentifiers, SystemClock


async def test_time_is_aware_in_utc_and_does_not_go_backwards() -> None:
    clock = SystemClock()
    before = clock.monotonic()

    await clock.sleep(0)

    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() >= before


def test_ids_carry_their_prefix_and_differ() -> None:
    identifiers = RandomIdentifiers()

    ids = {identifiers.new_id("task") for _ in range(1000)}

    assert len(ids) == 1000
    assert all(each.startswith("task_") for each in ids)


def test_a_fraction_is_at_least_zero_and_below_one() -> None:
    identifiers = RandomIdentifiers()

    drawn = [identifiers.fraction() for _ in range(1000)]

    assert all(0 <= each < 1 for each in drawn)
    assert len(set(drawn)) > 900

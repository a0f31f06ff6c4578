from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l1db_pipeline.sky.htm import radec_to_xyz
from l1db_pipeline.survey.pointings import (
    field_pointings,
    next_night_time,
    random_pointings,
    table_pointings,
    visit_times,
)
from l1db_pipeline.survey.visits_table import VisitsTable

EVENING = datetime(2026, 11, 22, 20, tzinfo=UTC)
times = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2035, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
intervals = st.floats(0.5, 36_000)


def test_a_night_has_800_visits_of_45_seconds() -> None:
    nights = [time.date() for time in islice(visit_times(EVENING, 45), 24_000)]
    evenings = [(time - timedelta(hours=12)).date() for time in islice(
        visit_times(EVENING, 45), 24_000)]  # fmt: skip

    assert len(set(evenings)) == 30
    assert all(evenings.count(evening) == 800 for evening in set(evenings))
    assert nights[0] == EVENING.date()


@given(times, intervals)
def test_no_visit_is_by_day(start: datetime, interval: float) -> None:
    for time in islice(visit_times(start, interval), 50):
        assert not 6 <= time.hour < 20


@given(times, intervals)
def test_visits_are_whole_intervals_apart(start: datetime, interval: float) -> None:
    step = timedelta(seconds=interval)

    previous = start
    for time in islice(visit_times(start, interval), 20):
        assert (time - start) % step == timedelta(0)
        between = previous + step
        while between < time:  # nothing by night is left out
            assert 6 <= between.hour < 20 or previous == start
            between += max(step, timedelta(minutes=10) // step * step)
        previous = time


def test_time_of_day_is_that_of_utc() -> None:
    local = datetime(2026, 11, 22, 18, tzinfo=timezone(timedelta(hours=-3)))

    assert next_night_time(local, timedelta(seconds=45)) == local


def test_morning_of_another_interval_goes_on_in_the_evening() -> None:
    start = datetime(2026, 11, 22, 5, 59, 50, tzinfo=UTC)

    _, second = islice(visit_times(start, 45), 2)

    assert second == start + 1121 * timedelta(seconds=45)
    assert second == datetime(2026, 11, 22, 20, 0, 35, tzinfo=UTC)


def test_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match=r"time of a visit: .* has no time zone"):
        next(visit_times(datetime(2026, 1, 1), 45))  # noqa: DTZ001


@pytest.mark.parametrize("interval", [0, -45, 36_001, 86_400])
def test_interval_that_finds_no_night_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="interval between visits must be positive"):
        next(visit_times(EVENING, interval))


def random_ones(first: int, count: int, seed: int = 1) -> list[np.ndarray]:
    pointings = random_pointings(
        first_visit_id=first, start=EVENING, interval_s=45, seed=seed
    )
    return [pointing.direction for pointing in islice(pointings, count)]


def test_random_pointings_are_uniform_on_the_south() -> None:
    xyz = np.array(random_ones(1, 4000))

    assert xyz[:, 2].max() < 0
    np.testing.assert_allclose(np.linalg.norm(xyz, axis=1), 1)
    np.testing.assert_allclose(xyz.mean(axis=0), [0, 0, -0.5], atol=0.04)


def test_resumed_run_points_where_it_would_have() -> None:
    assert np.array_equal(random_ones(1, 20)[10:], random_ones(11, 10))


def test_seeds_point_elsewhere() -> None:
    assert not np.array_equal(random_ones(1, 1, seed=1), random_ones(1, 1, seed=2))


def test_fields_take_turns_whichever_visit_is_first() -> None:
    fields = [[1, 0, 0], [0, 2, 0], [0, 0, -1]]

    pointings = list(
        islice(
            field_pointings(fields, first_visit_id=3, start=EVENING, interval_s=45), 4
        )
    )

    assert [pointing.visit_id for pointing in pointings] == [3, 4, 5, 6]
    assert [int(np.argmax(np.abs(p.direction))) for p in pointings] == [2, 0, 1, 2]


def test_list_without_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="no field to point at"):
        next(field_pointings([], first_visit_id=1, start=EVENING, interval_s=45))


def test_visits_of_a_table_keep_their_ids_times_and_places() -> None:
    visits = VisitsTable(
        visit_ids=np.array([2026112100001, 2026112100002]),
        times=np.array(["2026-11-22T01:00:00.5", "2026-11-22T01:01"], "datetime64[us]"),
        ra_deg=np.array([10.0, 20.0]),
        dec_deg=np.array([-30.0, -90.0]),
        bands=np.array(["r", ""]),
    )

    first, second = table_pointings(visits)

    assert first.visit_id == 2026112100001
    assert first.time == datetime(2026, 11, 22, 1, 0, 0, 500_000, tzinfo=UTC)
    assert np.array_equal(first.direction, radec_to_xyz(10.0, -30.0))
    assert (first.band, second.band) == ("r", None)

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from l1db_pipeline.schema.model import Datatype
from l1db_pipeline.schema.times import TIME_RANGES
from visit_tables.day_obs import night_mjds
from visit_tables.time_scales import (
    NaiveTimeError,
    TimeRangeError,
    mjd_tai_from_utc,
    mjd_utc,
    utc64,
    utc_from_mjd,
    utc_from_mjd_tai,
)

_EXACT = [int(limit.astype(np.int64)) for limit in TIME_RANGES[Datatype.MJD_TAI]]
_FIRST = int(np.datetime64("1972-01-01", "us").astype(np.int64))
_LAST = int(np.datetime64("2045-01-01", "us").astype(np.int64))


@given(st.integers(_FIRST, _LAST))
def test_a_time_comes_back_to_a_microsecond(microseconds: int) -> None:
    time = np.array([microseconds], "datetime64[us]")

    back = utc_from_mjd_tai(mjd_tai_from_utc(time))

    assert abs((back - time)[0]) <= np.timedelta64(1, "us")


@given(st.integers(_EXACT[0], _EXACT[1] - 1))
def test_a_time_that_a_column_takes_comes_back_as_it_was(microseconds: int) -> None:
    time = np.array([microseconds], "datetime64[us]")

    assert utc_from_mjd_tai(mjd_tai_from_utc(time)) == time


@pytest.mark.parametrize(
    "utc",
    [
        "1972-01-01T00:00:00",
        "1998-12-31T23:59:59",
        "1999-01-01T00:00:00",
        "2016-12-31T23:59:59.5",
        "2017-01-01T00:00:00",
        "2026-11-22T07:00:00.123456",
    ],
)
def test_dates_are_those_of_astropy(utc: str) -> None:
    mjd = mjd_tai_from_utc(np.array([utc], "datetime64[us]"))

    assert mjd[0] == pytest.approx(Time(utc, scale="utc").tai.mjd, abs=1e-11)


def test_missing_times_stay_missing() -> None:
    mjd = mjd_tai_from_utc(np.array(["NaT", "2026-01-01"], "datetime64[us]"))

    assert np.isnan(mjd).tolist() == [True, False]
    assert np.isnat(utc_from_mjd_tai(mjd)).tolist() == [True, False]


def test_times_of_any_zone_become_utc() -> None:
    zone = timezone(timedelta(hours=-3))
    evening = datetime(2026, 1, 30, 21, 0, 0, 7, tzinfo=zone)

    assert utc64(evening) == np.datetime64("2026-01-31T00:00:00.000007")
    assert utc64(evening.astimezone(UTC)) == utc64(evening)


def test_a_naive_time_is_refused_with_the_place_it_is_of() -> None:
    with pytest.raises(NaiveTimeError, match=r"visit 7: 2026.* has no time"):
        utc64(datetime(2026, 1, 1), "visit 7")  # noqa: DTZ001 - the error under test


@pytest.mark.parametrize("scale", ["utc", "tai"])
@pytest.mark.parametrize(
    "utc",
    [
        "1998-12-31T12:00:00",
        "2016-12-31T06:00:00",
        "2016-12-31T23:59:58",
        "2017-01-01T00:00:01",
        "2026-11-22T07:00:00.123",
    ],
)
def test_a_column_is_read_in_its_own_time_scale(utc: str, scale: str) -> None:
    column = {"utc": "observationStartMJD", "tai": "obs_start_mjd"}[scale]
    time = Time(utc, scale="utc")
    mjd = np.array([getattr(time, scale).mjd])

    found = utc_from_mjd(column, mjd)

    assert abs(found[0] - np.datetime64(utc, "us")) <= np.timedelta64(1, "us")
    ordinary_day = utc[:10] not in {"1998-12-31", "2016-12-31"}
    if ordinary_day:
        assert mjd_utc(column, mjd)[0] == pytest.approx(time.utc.mjd, abs=1e-10)


def test_the_night_of_a_visit_is_that_of_its_time_in_utc() -> None:
    just_after_noon_tai = np.array([60000.5 + 20 / 86400])

    nights = [
        int(night_mjds({name: just_after_noon_tai})[0])
        for name in ("observationStartMJD", "obs_start_mjd")
    ]

    assert nights == [60000, 59999]


def test_a_time_out_of_the_calendar_is_refused_by_name() -> None:
    west = timezone(timedelta(hours=-4))

    with pytest.raises(TimeRangeError, match=r"visit 3: 9999-12-31T23.* out of range"):
        utc64(datetime(9999, 12, 31, 23, tzinfo=west), "visit 3")

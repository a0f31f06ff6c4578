"""Statistics of nights: equal to what pandas describes."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visit_tables.frame_summaries import nightly_stats
from visit_tables.statistics import night_statistics

COLUMNS = ["altitude", "azimuth", "airmass"]
NAMES = {"5%": "p05", "25%": "q1", "50%": "median", "75%": "q3", "95%": "p95"}


def described(visits: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """What the original computed, with pandas alone."""
    days = np.floor(visits["observationStartMJD"] - 0.5).astype(int)
    day_obs = [date.fromordinal(678576 + day) for day in days]
    table = (
        visits.assign(day_obs=day_obs)  # noqa: PD013 as the original
        .groupby("day_obs")[columns]
        .describe(percentiles=[0.05, 0.25, 0.5, 0.75, 0.95])
        .stack(level=0, future_stack=True)
        .reset_index()
        .rename(columns={"level_1": "value_name", **NAMES})
    )
    return table.assign(accumulated=False)


def test_values_equal_those_of_pandas(visits: pd.DataFrame) -> None:
    visits = visits.assign(airmass=visits["airmass"].where(visits.index % 7 != 0))

    pd.testing.assert_frame_equal(
        nightly_stats(visits, COLUMNS), described(visits, COLUMNS), rtol=1e-13
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(-1e6, 1e6) | st.just(np.nan)),
        min_size=1,
        max_size=30,
    )
)
def test_any_values_equal_those_of_pandas(rows: list[tuple[int, float]]) -> None:
    visits = pd.DataFrame(rows, columns=["night", "x"])
    visits["observationStartMJD"] = 61000.75 + visits["night"]

    pd.testing.assert_frame_equal(
        nightly_stats(visits, ["x"]), described(visits, ["x"]), rtol=1e-9, atol=1e-6
    )


def test_accumulated_rows_describe_all_nights_so_far(
    visits_of: Callable[..., pd.DataFrame],
) -> None:
    visits = visits_of(n_nights=5)

    found = nightly_stats(visits, COLUMNS, accumulated=True)

    assert found["accumulated"].all()
    for last, (_, rows) in enumerate(found.groupby("day_obs")):
        so_far = visits[visits["night"] <= last][COLUMNS]
        expected = so_far.describe([0.05, 0.25, 0.5, 0.75, 0.95]).rename(NAMES)
        table = rows.set_index("value_name")[expected.index].T.astype(float)
        pd.testing.assert_frame_equal(
            table, expected, rtol=1e-12, check_names=False, check_column_type=False
        )


@pytest.mark.parametrize("is_accumulated", [False, True])
def test_one_visit_has_no_standard_deviation(is_accumulated: bool) -> None:
    visits = pd.DataFrame({"observationStartMJD": [61000.75], "altitude": [50.0]})

    (row,) = nightly_stats(visits, ["altitude"], accumulated=is_accumulated).to_dict(
        "records"
    )

    assert np.isnan(row["std"])
    assert [row[name] for name in ("count", "mean", "min", "median", "max")] == [
        1,
        50,
        50,
        50,
        50,
    ]


def test_the_night_changes_at_noon_utc_minus_12() -> None:
    visits = pd.DataFrame(
        {"observationStartMJD": [61000.4999, 61000.5], "altitude": 1.0}
    )

    found = nightly_stats(visits, ["altitude"])

    assert found["day_obs"].tolist() == [date(2025, 11, 20), date(2025, 11, 21)]


@pytest.mark.parametrize(
    "day_obs",
    [
        [20260101, 20260102],
        ["2026-01-01", "2026-01-02"],
        [date(2026, 1, 1), date(2026, 1, 2)],
    ],
    ids=["number", "text", "date"],
)
def test_a_column_day_obs_comes_first(day_obs: list[object]) -> None:
    visits = pd.DataFrame({"day_obs": day_obs, "obs_start_mjd": 0.0, "altitude": 1.0})

    found = nightly_stats(visits, ["altitude"])

    assert found["day_obs"].tolist() == [date(2026, 1, 1), date(2026, 1, 2)]


def test_directions_are_averaged_as_directions() -> None:
    visits = pd.DataFrame(
        {"observationStartMJD": 61000.75, "azimuth": [350.0, 10.0, 0.0]}
    )

    rows = nightly_stats(visits, ["azimuth"], circular=["azimuth"])
    circular = rows.set_index("value_name").loc["azimuth_circular"]

    assert rows["value_name"].tolist() == ["azimuth", "azimuth_circular"]
    assert circular["mean"] % 360 == pytest.approx(0, abs=1e-9)
    assert circular["max"] - circular["min"] == pytest.approx(20)
    assert circular["std"] == pytest.approx(8.175, abs=1e-3)


def test_no_visits_give_no_rows(visits: pd.DataFrame) -> None:
    found = nightly_stats(visits.iloc[:0], COLUMNS)

    assert found.empty
    assert found.columns.tolist() == described(visits, COLUMNS).columns.tolist()


@pytest.mark.parametrize(
    ("frame", "columns", "message"),
    [
        ({"altitude": [1.0]}, ["altitude"], "visits lack a time"),
        ({"obs_start_mjd": [1.0]}, ["altitude"], "'altitude' is not among"),
        ({"obs_start_mjd": [1.0], "band": ["r"]}, ["band"], "'band' is not numeric"),
        ({"obs_start_mjd": [np.nan], "x": [1]}, ["x"], "not finite"),
        ({"day_obs": ["soon"], "x": [1]}, ["x"], "not a date"),
        ({"day_obs": [20261301], "x": [1]}, ["x"], "not a date"),
    ],
)
def test_what_cannot_be_described_is_named(
    frame: dict[str, list[object]], columns: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        nightly_stats(pd.DataFrame(frame), columns)


@pytest.mark.parametrize("accumulated", [False, True])
def test_infinite_values_are_left_out_of_statistics(*, accumulated: bool) -> None:
    visits = {
        "observationStartMJD": np.array([61376.1, 61376.2, 61376.3, 61376.4]),
        "airmass": np.array([1.0, np.inf, -np.inf, 2.0]),
    }

    plain, circular = night_statistics(
        visits, ["airmass"], accumulated=accumulated, circular=["airmass"]
    )

    assert (plain.count, plain.min, plain.mean, plain.max) == (2, 1.0, 1.5, 2.0)
    assert (circular.count, circular.min, circular.max) == (2, 1.0, 2.0)


def test_a_night_of_infinite_values_has_no_statistics() -> None:
    visits = {
        "observationStartMJD": np.array([61376.1, 61376.2]),
        "airmass": np.array([np.inf, -np.inf]),
    }

    (found,) = night_statistics(visits, ["airmass"])

    assert found.count == 0
    assert np.isnan([found.mean, found.min, found.q1, found.max]).all()

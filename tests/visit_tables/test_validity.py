"""One rule says what makes rows visits, whoever reads them."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from archive_assets.simulation.sound_visits import unsound_visits
from visit_tables.columns import UnsupportedColumnError, number_array
from visit_tables.frames import batch_of_frame
from visit_tables.validity import given_problems, pointing_problems

NIGHT = date(2026, 11, 21)


def a_night(**columns: Any) -> pd.DataFrame:
    """Two visits of one night."""
    frame = pd.DataFrame(
        {"observationStartMJD": [61366.1, 61366.2], "fieldRA": [0.0, 360.0],
         "fieldDec": [-90.0, 90.0], "band": ["r", "z"]}
    )  # fmt: skip
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"fieldRA": [0.0, 360.1]},
         "row 1 (of 1 such rows): fieldRA is 360.1, not within 0..360"),
        ({"fieldDec": [np.nan, np.inf]},
         "row 0 (of 2 such rows): fieldDec is nan, not within -90..90"),
        ({"observationStartMJD": [61366.1, 1e6]},
         "row 1 (of 1 such rows): observationStartMJD is 1000000.0, not within 4"),
        ({"fieldRA": ["10h", "11h"]}, "fieldRA is not a number: "),
    ],
)  # fmt: skip
def test_a_value_that_no_visit_has_is_told_with_its_row(
    columns: dict[str, object], problem: str
) -> None:
    visits = a_night(**columns)

    (found,) = pointing_problems(batch_of_frame(visits))

    assert found.startswith(problem)
    assert any(p.startswith(problem) for p in unsound_visits(visits, NIGHT, NIGHT))


def test_an_archive_keeps_what_lacks_a_place_and_refuses_a_wrong_one() -> None:
    lacking = a_night(fieldRA=[np.nan, 361.0]).drop(columns="fieldDec")

    (problem,) = given_problems(batch_of_frame(lacking), first_row=10)

    assert problem == "row 11 (of 1 such rows): fieldRA is 361.0, not within 0..360"
    assert given_problems(batch_of_frame(lacking.assign(fieldRA=np.nan))) == []
    assert given_problems(batch_of_frame(a_night())) == []


def test_sound_visits_have_no_problem() -> None:
    assert pointing_problems(batch_of_frame(a_night())) == []
    assert unsound_visits(a_night(), NIGHT, NIGHT) == []


def test_all_columns_that_lack_are_told() -> None:
    visits = a_night().drop(columns=["observationStartMJD", "fieldRA"])

    problem = "lacks observationStartMJD (or obs_start_mjd), fieldRA (or s_ra)"
    assert pointing_problems(batch_of_frame(visits)) == [problem]
    assert unsound_visits(visits, NIGHT, NIGHT) == [problem]


def test_a_simulation_is_asked_for_its_sidereal_time() -> None:
    # of MJD 61366.1 UTC, by the mean sidereal time of the IAU of 1982
    lst = (209.7112 + 360.98564736629 * (61366.1 - 51544.5)) % 360

    assert unsound_visits(a_night(observationStartLST=lst), NIGHT, NIGHT) == []
    (found,) = unsound_visits(a_night(observationStartLST=lst + 1), NIGHT, NIGHT)
    assert "row 0: observationStartMJD 61366.100000 (UTC) has the sidereal" in found


@pytest.mark.parametrize("beside", [None, 0.5])
def test_an_integer_that_a_float_would_change_is_refused(beside: float | None) -> None:
    with pytest.raises(
        UnsupportedColumnError, match=r"'n' holds 9007199254740993 besi"
    ):
        number_array("n", [2**53 + 1, beside])

    assert number_array("n", [2**53 + 1, 2])[0] == 2**53 + 1
    assert number_array("n", [2**53, None])[0] == 2**53


def test_a_masked_integer_that_a_float_would_change_is_refused() -> None:
    visits = pd.DataFrame({"n": pd.array([2**53 + 1, None], dtype="Int64")})

    with pytest.raises(
        UnsupportedColumnError, match=r"'n' holds 9007199254740993 besi"
    ):
        batch_of_frame(visits)

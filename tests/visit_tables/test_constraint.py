"""Visits chosen by a condition in SQL."""

import pandas as pd
import pytest

from visit_tables.opsim.frame import ConstraintError, matching_visits


@pytest.fixture
def visits() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rowid": [7, 7, 7, 7],
            "airmass": [1.0, 1.2, float("nan"), 2.0],
            "band": ["r", "i", "é'", None],
            "select": [1, 2, 3, 4],
        }
    )


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("airmass < 1.5", [1, 2]),
        ("Band LIKE 'R' OR airmass >= 2", [1, 4]),
        ("airmass IS NULL AND band = 'é'''", [3]),
        ("band IS NULL", [4]),
        ('"select" BETWEEN 2 AND 3 -- a comment', [2, 3]),
        ("airmass = (SELECT max(airmass) FROM observations)", [4]),
        ("rowid = 7", [1, 2, 3, 4]),
        ("1 = 1", [1, 2, 3, 4]),
        ("NULL", []),
        (" ", [1, 2, 3, 4]),
    ],
)
def test_a_condition_chooses_visits_in_their_order(
    visits: pd.DataFrame, constraint: str, expected: list[int]
) -> None:
    found = matching_visits(visits, constraint)

    assert found["select"].tolist() == expected
    assert found.index.tolist() == list(range(len(expected)))


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ("absent > 1", "no such column: absent"),
        ("airmass <", "syntax error"),
        ("1); DROP TABLE observations; --", "syntax error"),
        ("1) THEN 1 END FROM observations LIMIT 1 --", "syntax error|more than"),
        ("1) THEN 1 END FROM observations LIMIT 1 /*", "more than a condition"),
        ("load_extension('x')", "not authorized|no such function"),
        (("1 IN (WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT * FROM n) "
         "SELECT * FROM n)"), "not authorized"),
        ("1 IN (SELECT name FROM pragma_database_list)", "not authorized|prohibited"),
        ("a\0b", "null character"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused(
    visits: pd.DataFrame, constraint: str, message: str
) -> None:
    with pytest.raises(ConstraintError, match=message):
        matching_visits(visits, constraint)

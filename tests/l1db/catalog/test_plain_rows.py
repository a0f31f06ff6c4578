import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.plain_rows import plain_rows

ROWS = Catalog(
    {
        "id": np.array([1, 2]),
        "flux": np.array([0.1, 2.5], np.float32),
        "time": np.array(["2026-01-01T00:00:00.5", "2026-01-02"], "datetime64[us]"),
        "curve": np.array([b"\x01\xff", b""], object),
        "snr": np.array([np.nan, 3.5]),
        "empty": np.array([0.0, 0.0]),
    },
    {"flux": np.array([False, True]), "empty": np.array([True, True])},
)


def test_a_null_is_none_floats_are_short_and_nan_is_a_value() -> None:
    names, rows = plain_rows(ROWS)

    assert names == ["id", "flux", "time", "curve", "snr"]
    assert list(rows) == [
        (1, 0.1, "2026-01-01T00:00:00.500000Z", "01ff", "nan"),
        (2, None, "2026-01-02T00:00:00Z", "", 3.5),
    ]


def test_columns_asked_for_are_given_even_if_empty() -> None:
    names, rows = plain_rows(ROWS, ["empty", "id"])

    assert (names, list(rows)) == (["empty", "id"], [(None, 1), (None, 2)])


def test_no_rows_keep_their_names() -> None:
    names, rows = plain_rows(ROWS.take(np.zeros(2, np.bool_)), ["id"])

    assert (names, list(rows)) == (["id"], [])

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.csv_text import catalog_as_csv

ROWS = Catalog(
    {
        "id": np.array([1, 2]),
        "flux": np.array([0.1, 2.5], np.float32),
        "time": np.array(["2026-01-01T00:00:00.5", "2026-01-02"], "datetime64[us]"),
        "curve": np.array([b"\x01\xff", b""], object),
        "empty": np.array([0.0, 0.0]),
    },
    {"flux": np.array([False, True]), "empty": np.array([True, True])},
)


def test_rows_are_written_with_nulls_empty_and_floats_short() -> None:
    assert catalog_as_csv(ROWS) == (
        "id,flux,time,curve\n"
        "1,0.1,2026-01-01T00:00:00.500000Z,01ff\n"
        "2,,2026-01-02T00:00:00Z,\n"
    )


def test_columns_asked_for_are_written_even_if_empty() -> None:
    assert catalog_as_csv(ROWS, ["empty", "id"]) == "empty,id\n,1\n,2\n"


def test_no_rows_are_a_header() -> None:
    assert catalog_as_csv(ROWS.take(np.zeros(2, np.bool_)), ["id"]) == "id\n"

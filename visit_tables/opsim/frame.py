"""Visits of an opsim SQLite file as a frame."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from visit_tables.frames import frame_of_batches
from visit_tables.opsim.batches import iterate_opsim
from visit_tables.opsim.file import (
    OpsimFileError,
    check_opsim,
    open_opsim,
    opsim_table_names,
)

__all__ = ["OpsimFileError", "check_opsim", "opsim_tables", "read_opsim"]


def read_opsim(
    path: str | Path,
    table: str = "observations",
    columns: Collection[str] | None = None,
) -> pd.DataFrame:
    """Read one table of an opsim file.

    Parameters
    ----------
    path
        An SQLite file as ``rubin_scheduler`` writes it. It is opened read-only;
        columns beyond the usual 45 to 48 are kept.
    table
        Name of an ordinary table; views are not read.
    columns
        Columns to read; None reads all. The order is always the table's.

    Returns
    -------
    visits
        One row a visit, in the order of the table, with a fresh integer index.
        Integers with NULL become floats, NULL texts NaN.

    Raises
    ------
    OpsimFileError
        If the file, the table or a column cannot be read.
    """
    return frame_of_batches(iterate_opsim(path, table, columns))


def opsim_tables(path: str | Path) -> list[str]:
    """Return the names of the ordinary tables of an opsim file.

    Raises
    ------
    OpsimFileError
        If the file cannot be read.
    """
    with open_opsim(path) as connection:
        return opsim_table_names(connection)

"""The visits of a file of either format, as a frame."""

from pathlib import Path

import pandas as pd

from visit_tables.files import is_sqlite
from visit_tables.hdf5.read import read_visits
from visit_tables.opsim.frame import read_opsim

__all__ = ["read_visits_file"]


def read_visits_file(path: str | Path) -> pd.DataFrame:
    """Read the visits of an opsim or HDF5 file.

    Raises
    ------
    VisitsFileError
        If the file cannot be read.
    """
    return read_opsim(path) if is_sqlite(path) else read_visits(path)

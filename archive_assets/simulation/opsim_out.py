"""Write the scheduler's observations as an opsim file.

Imports rubin_scheduler (3 CPU s): for the process of a simulation.
"""

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rubin_scheduler.scheduler.utils import SchemaConverter

__all__ = ["opsim_frame", "write_opsim"]


def opsim_frame(observations: NDArray[np.void]) -> pd.DataFrame:
    """Return observations (angles in rad) with opsim's columns (angles in deg)."""
    with warnings.catch_warnings():
        # rubin_scheduler 4.6 with pandas 3.1
        warnings.filterwarnings("ignore", message=r"The inplace keyword in DataFrame")
        visits: pd.DataFrame = SchemaConverter().obs2opsim(observations)
    return visits


def write_opsim(
    path: Path, visits: pd.DataFrame, info: NDArray[np.void] | None = None
) -> None:
    """Write a new opsim file; one that is there already is an error, not added to.

    Parameters
    ----------
    path
        The file.
    visits
        What `opsim_frame` returns.
    info
        Rows of the table ``info``, about the run.
    """
    path.touch(exist_ok=False)
    with closing(sqlite3.connect(path)) as connection, connection:
        visits.to_sql("observations", connection, index=False, if_exists="fail")
        if info is not None:
            pd.DataFrame(info).to_sql("info", connection, index=False, if_exists="fail")

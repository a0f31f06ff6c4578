"""Rewards of surveys, beside the visits that they led to: ``rewards.h5``.

The layout is that of `visit_tables.hdf5.read`, with the keys of the original:
``reward_df``, one row for each basis function of each survey at each filling of the
queue, and ``obs_rewards``, the time of the filling that led to each visit.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from visit_tables.columns import Batch
from visit_tables.frames import batch_of_frame
from visit_tables.hdf5.nodes import child_group, open_hdf5, table_keys
from visit_tables.hdf5.pytables import Shape
from visit_tables.hdf5.read import (
    index_levels,
    with_index,
    with_levels,
)
from visit_tables.hdf5.tables import stored_table
from visit_tables.hdf5.write import write_batches

__all__ = ["OBS_REWARDS", "REWARD_DF", "read_rewards", "write_rewards"]

REWARD_DF = "reward_df"
OBS_REWARDS = "obs_rewards"


def write_rewards(
    path: str | Path,
    reward_df: pd.DataFrame,
    obs_rewards: "pd.Series[Any] | pd.DataFrame",
) -> None:
    """Write rewards to an HDF5 file that ``pandas.read_hdf`` reads.

    Parameters
    ----------
    path
        The file to write. An older file is replaced, once the new one is whole.
    reward_df
        Rewards, with an index of one or more named levels.
    obs_rewards
        Series of ``queue_fill_mjd_ns``, with the MJD of visits as its index, or a
        frame whose first column is that.

    Raises
    ------
    UnsupportedColumnError
        If a name or a value cannot be represented.
    """
    if isinstance(obs_rewards, pd.DataFrame):
        obs_rewards = obs_rewards.iloc[:, 0]
    index = pd.Index(obs_rewards.index)
    series_name = "values" if obs_rewards.name is None else str(obs_rewards.name)
    tables: dict[str, Batch] = {
        REWARD_DF: batch_of_frame(with_levels(reward_df)),
        OBS_REWARDS: batch_of_frame(obs_rewards.to_frame(series_name)),
    }
    levels = index_levels(reward_df)
    shapes = {
        REWARD_DF: Shape(levels=levels),
        OBS_REWARDS: Shape(
            is_series=True,
            index=index.to_numpy(dtype=np.float64),
            index_name=None if index.name is None else str(index.name),
        ),
    }
    sizes = {REWARD_DF: len(reward_df), OBS_REWARDS: len(obs_rewards)}
    write_batches(
        path, ((name, sizes[name], [tables[name]]) for name in tables), shapes
    )


def read_rewards(
    path: str | Path,
) -> "tuple[pd.DataFrame | None, pd.Series[Any] | None]":
    """Read rewards, without running what the file may hold.

    Parameters
    ----------
    path
        File as `write_rewards` or pandas, in either format, wrote it.

    Returns
    -------
    reward_df, obs_rewards
        What was written; None for a key that is not there.

    Raises
    ------
    HDF5FileError
        If the file is damaged, or is not safe to read.
    """
    with open_hdf5(path) as file:
        keys = table_keys(file)
        tables = {
            key: stored_table(child_group(file, key))
            for key in (REWARD_DF, OBS_REWARDS)
            if key in keys
        }
        frames = {key: with_index(table) for key, table in tables.items()}
    obs_rewards = frames.get(OBS_REWARDS)
    return (
        frames.get(REWARD_DF),
        None if obs_rewards is None else obs_rewards.iloc[:, 0],
    )

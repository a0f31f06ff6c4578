"""rewards.h5: what pandas and we read of it."""

from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pandas as pd
import pytest

from visit_tables.hdf5.read import HDF5FileError
from visit_tables.hdf5.rewards import read_rewards, write_rewards


@pytest.fixture
def reward_df() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "basis_function": ["Slewtime", "Visibility", "é"],
            "feasible": [True, False, True],
            "max_basis_reward": [1.5, -np.inf, np.nan],
            "survey_label": ["", None, "blob"],
            "queue_fill_mjd_ns": [1, 2, 2**60],
        },
        index=pd.MultiIndex.from_tuples(
            [(0, 0), (0, 1), (1, 0)], names=["list_index", "survey_index"]
        ),
    )


@pytest.fixture
def obs_rewards() -> pd.Series:
    mjd = pd.Index([61000.25, 61000.5], name="mjd")
    return pd.Series([2**60, 2**60 + 1], index=mjd, name="queue_fill_mjd_ns")


def same(
    frame: object, series: object, reward_df: pd.DataFrame, obs_rewards: pd.Series
) -> None:
    assert isinstance(frame, pd.DataFrame)
    assert isinstance(series, pd.Series)
    pd.testing.assert_frame_equal(frame, reward_df)
    pd.testing.assert_series_equal(series, obs_rewards)


@pytest.fixture
def path(tmp_path: Path, reward_df: pd.DataFrame, obs_rewards: pd.Series) -> Path:
    write_rewards(tmp_path / "rewards.h5", reward_df, obs_rewards)
    return tmp_path / "rewards.h5"


def test_pandas_reads_what_was_written(
    path: Path, reward_df: pd.DataFrame, obs_rewards: pd.Series
) -> None:
    frame, series = pd.read_hdf(path, "reward_df"), pd.read_hdf(path, "obs_rewards")

    same(frame, series, reward_df, obs_rewards)


def test_we_read_what_was_written(
    path: Path, reward_df: pd.DataFrame, obs_rewards: pd.Series
) -> None:
    frame, series = read_rewards(path)

    same(frame, series, reward_df, obs_rewards)


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
@pytest.mark.parametrize("layout", ["fixed", "table"])
def test_files_of_pandas_are_read(
    tmp_path: Path,
    reward_df: pd.DataFrame,
    obs_rewards: pd.Series,
    layout: Literal["fixed", "table"],
) -> None:
    path = tmp_path / "pandas.h5"
    reward_df.to_hdf(path, key="reward_df", format=layout)
    obs_rewards.to_hdf(path, key="obs_rewards", format=layout)

    frame, series = read_rewards(path)

    same(frame, series, reward_df, obs_rewards)


def test_an_index_without_a_name_is_not_kept(
    tmp_path: Path, reward_df: pd.DataFrame, obs_rewards: pd.Series
) -> None:
    plain = reward_df.reset_index(drop=True)
    write_rewards(tmp_path / "r.h5", plain, obs_rewards)

    frame, _ = read_rewards(tmp_path / "r.h5")

    assert frame is not None
    pd.testing.assert_frame_equal(frame, plain, check_index_type=False)


def test_a_missing_key_is_none(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["obs_rewards"]

    frame, series = read_rewards(path)

    assert frame is not None
    assert series is None


def test_damaged_files_are_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4000])

    with pytest.raises(HDF5FileError, match="cannot be read"):
        read_rewards(path)

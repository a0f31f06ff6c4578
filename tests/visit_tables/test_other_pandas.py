"""What we write, read by another pandas: 2.3, or the one of the original archive."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from visit_tables.files import opsim_to_hdf5
from visit_tables.hdf5.rewards import write_rewards

PROGRAM = """
import sqlite3, sys, warnings
import pandas as pd
warnings.simplefilter("error")
h5, opsim, rewards = sys.argv[1:]
connection = sqlite3.connect(opsim)
for table in ("observations", "info"):
    expected = pd.read_sql(f"SELECT * FROM {table}", connection)
    for column in expected.columns[expected.isna().all()]:
        expected[column] = expected[column].astype(float)
    found = pd.read_hdf(h5, key=table)
    pd.testing.assert_frame_equal(found, expected, check_index_type=False)
frame, series = pd.read_hdf(rewards, "reward_df"), pd.read_hdf(rewards, "obs_rewards")
assert frame.index.names == ["list_index"] and frame["x"].tolist() == [1.5]
assert series.name == "queue_fill_mjd_ns" and series.index.tolist() == [61000.25]
print(pd.__version__)
"""


@pytest.mark.parametrize("variable", ["PANDAS2_PYTHON", "RUBIN_SIM_PYTHON"])
def test_another_pandas_reads_equal_dtypes_and_values(
    opsim: Path, tmp_path: Path, variable: str
) -> None:
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} is not set: no other pandas to read with")
    opsim_to_hdf5(opsim, tmp_path / "visits.h5")
    write_rewards(
        tmp_path / "rewards.h5",
        pd.DataFrame({"x": [1.5]}, index=pd.Index([0], name="list_index")),
        pd.Series([7], index=[61000.25], name="queue_fill_mjd_ns"),
    )

    run = subprocess.run(
        [python, "-c", PROGRAM, tmp_path / "visits.h5", opsim, tmp_path / "rewards.h5"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert run.returncode == 0, run.stderr

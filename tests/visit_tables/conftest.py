"""Tables of visits for the tests of their files."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from visit_tables.hdf5.read import write_visits

TEXTS = ("band", "filter", "scheduler_note", "target_name", "observation_reason")


def make_visits(n_nights: int = 3, per_night: int = 40, seed: int = 0) -> pd.DataFrame:
    """Visits with the kinds of columns that opsim files have."""
    rng = np.random.default_rng(seed)
    n = n_nights * per_night
    night = np.repeat(np.arange(n_nights), per_night)
    within = np.tile(np.arange(per_night), n_nights)
    numbers = ("altitude", "azimuth", "airmass", "fiveSigmaDepth", "rotSkyPos")
    visits = pd.DataFrame(
        {
            "observationId": np.arange(n),
            "fieldRA": rng.uniform(0, 360, n),
            "fieldDec": rng.uniform(-90, 30, n),
            "observationStartMJD": 61000.99 + night + within * 0.4 / per_night,
            "visitExposureTime": np.full(n, 30.0),
            "night": night,
            "rotSkyPos_desired": np.full(n, np.nan),
            **{name: rng.uniform(0, 360, n) for name in numbers},
        }
    )
    for name in TEXTS:
        visits[name] = rng.choice(["r", "i_39", "blob, é", "", "nan"], n)
    return visits


def write_opsim(path: Path, **tables: pd.DataFrame) -> Path:
    """Write frames to SQLite as rubin_scheduler does."""
    with closing(sqlite3.connect(path)) as connection:
        for name, frame in tables.items():
            frame.to_sql(name, connection, index=False)
    return path


@pytest.fixture(scope="session")
def visits() -> pd.DataFrame:
    return make_visits()


@pytest.fixture(scope="session")
def visits_of() -> Callable[..., pd.DataFrame]:
    return make_visits


@pytest.fixture(scope="session")
def to_opsim() -> Callable[..., Path]:
    return write_opsim


@pytest.fixture
def opsim(tmp_path: Path, visits: pd.DataFrame) -> Path:
    """An opsim file with observations and the table info."""
    info = pd.DataFrame({"Parameter": ["version", "host"], "Value": ["4.6", "here"]})
    return write_opsim(tmp_path / "opsim.db", observations=visits, info=info)


@pytest.fixture
def h5(tmp_path: Path, visits: pd.DataFrame) -> Path:
    path = tmp_path / "visits.h5"
    write_visits(path, {"observations": visits})
    return path

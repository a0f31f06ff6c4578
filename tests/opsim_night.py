"""Visits of a night, in a file as rubin_scheduler writes it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

NIGHT = "2026-10-10"
N_VISITS = 6


def write_opsim(path: Path, n_visits: int = N_VISITS, night: str = NIGHT) -> Path:
    """Write the visits of a night as rubin_scheduler does, and some of the next."""
    rng = np.random.default_rng(0)
    noon_mjd = (pd.Timestamp(night) - pd.Timestamp("1858-11-17")).days + 0.5
    n = n_visits + 2
    start = noon_mjd + 0.5 + np.arange(n) * 0.4 / n_visits
    start[n_visits:] = noon_mjd + 1.6 + np.arange(2) * 0.01
    visits = pd.DataFrame(
        {
            "observationId": np.arange(n),
            "fieldRA": 30.0 + (np.arange(n) % 3) * 0.4,
            "fieldDec": -20.0 + (np.arange(n) % 2) * 0.3,
            "observationStartMJD": start,
            "flush_by_mjd": start + 1.0,
            "visitExposureTime": np.full(n, 30.0),
            "visitTime": np.full(n, 34.0),
            "band": np.resize(list("gri"), n),
            "filter": np.resize(["g_6", "r_57", "i_39"], n),
            "rotSkyPos": rng.uniform(0, 360, n),
            "numExposures": np.full(n, 1),
            "airmass": rng.uniform(1, 1.6, n),
            "seeingFwhmEff": rng.uniform(0.6, 1.2, n),
            "fiveSigmaDepth": rng.uniform(23, 25, n),
            "altitude": rng.uniform(40, 80, n),
            "azimuth": rng.uniform(0, 360, n),
            "night": np.full(n, 100),
            "target_name": np.full(n, "lowdust"),
            "science_program": np.full(n, "BLOCK-407"),
            "observation_reason": np.full(n, "pairs_gr_33.0"),
            "scheduler_note": np.full(n, "blob"),
        }
    )
    with closing(sqlite3.connect(path)) as connection:
        visits.to_sql("observations", connection, index=False)
    return path

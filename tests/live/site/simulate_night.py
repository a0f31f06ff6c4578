"""A site's own simulator: the visits of a night into an opsim file, in a second.

Arguments: night (YYYYMMDD), delay in minutes, number of visits, path of the file.
It hangs for the night of $HANGING_NIGHT, and fails for that of $FAILING_NIGHT until
there is a file $L1DB_HOME/mended. A late start waits while there is a file
$L1DB_HOME/held.
"""

import os
import sqlite3
import sys
import time
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np

MJD_0 = date(1858, 11, 17).toordinal()
TEXTS = {
    "target_name": "lowdust",
    "science_program": "BLOCK-407",
    "observation_reason": "pairs_gr_33.0",
    "scheduler_note": "blob",
}


def main(night: str, delay_minutes: str, n_visits: str, path: str) -> None:
    """Write the file."""
    if night == os.environ.get("HANGING_NIGHT"):
        time.sleep(3600)
    home = Path(os.environ.get("L1DB_HOME", ""))
    while float(delay_minutes) > 0 and (home / "held").exists():
        time.sleep(0.05)
    is_mended = (home / "mended").exists()
    if night == os.environ.get("FAILING_NIGHT") and not is_mended:
        sys.exit("the dome is shut")
    n = int(n_visits)
    rng = np.random.default_rng(int(night))
    first = date.fromisoformat(night).toordinal() - MJD_0 + 1.04
    start = first + float(delay_minutes) / 1440 + np.arange(n) * 0.2 / n
    columns: dict[str, list[object]] = {
        "observationId": list(range(n)),
        "fieldRA": (40 + 25 * np.sin(np.arange(n) / 5)).round(3).tolist(),
        "fieldDec": (-30 + 20 * np.cos(np.arange(n) / 7)).round(3).tolist(),
        "observationStartMJD": start.tolist(),
        "flush_by_mjd": (start + 1).tolist(),
        "visitExposureTime": [30.0] * n,
        "visitTime": [34.0] * n,
        "band": np.resize(list("ggrriizzyy"), n).tolist(),
        "filter": np.resize(["g_6", "g_6", "r_57", "r_57", "i_39"], n).tolist(),
        "rotSkyPos": rng.uniform(0, 360, n).tolist(),
        "numExposures": [1] * n,
        "airmass": rng.uniform(1, 1.6, n).tolist(),
        "seeingFwhmEff": rng.uniform(0.6, 1.2, n).tolist(),
        "fiveSigmaDepth": rng.uniform(23, 25, n).tolist(),
        "altitude": (60 + 15 * np.sin(np.arange(n) / 9)).tolist(),
        "azimuth": rng.uniform(0, 360, n).tolist(),
        "night": [500] * n,
        **{name: [text] * n for name, text in TEXTS.items()},
    }
    with closing(sqlite3.connect(path)) as connection, connection:
        names = ", ".join(columns)
        connection.execute(f"CREATE TABLE observations ({names})")
        marks = ", ".join("?" * len(columns))
        connection.executemany(
            f"INSERT INTO observations VALUES ({marks})",
            zip(*columns.values(), strict=True),
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

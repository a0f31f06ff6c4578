"""Visits under one set of names, whatever file or service they come from."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from archive_assets.metadata.errors import InvalidValueError
from visit_tables.day_obs import date_of_mjd, night_mjds
from visit_tables.frames import batch_of_frame
from visit_tables.time_scales import UTC_COLUMNS, mjd_utc

__all__ = ["plain_visits"]

_NAMES = {
    "mjd": ("observationStartMJD", "obs_start_mjd"),
    "ra": ("fieldRA", "s_ra"),
    "dec": ("fieldDec", "s_dec"),
    "band": ("band", "filter"),
}
_MAY_LACK = {
    "airmass": ("airmass",),
    "depth": ("fiveSigmaDepth", "cat_m5"),
}


def plain_visits(
    visits: pd.DataFrame, more: Collection[str] = (), *, why: str = "compare"
) -> pd.DataFrame:
    """Return visits as ``mjd`` (UTC), ``ra``, ``dec`` (deg), ``band`` and ``night``.

    Parameters
    ----------
    visits
        Under the names of opsim or consdb.
    more
        Of ``airmass`` and ``depth`` (five sigma, mag), which are NaN where the visits
        lack them.
    why
        What an error says cannot be done.

    Returns
    -------
    visits
        In order of time; ``night`` is a date, UTC-12.

    Raises
    ------
    InvalidValueError
        If a column is missing.
    """
    found = pd.DataFrame(index=range(len(visits)))
    for name, spellings in _NAMES.items():
        present = [spelling for spelling in spellings if spelling in visits.columns]
        if not present:
            raise InvalidValueError(
                f"cannot {why}: no column {' or '.join(spellings)} in the visits"
            )
        found[name] = visits[present[0]].to_numpy()
        if name == "mjd":
            found[name] = mjd_utc(present[0], found[name].to_numpy(dtype=np.float64))
    for name in more:
        present = [s for s in _MAY_LACK[name] if s in visits.columns]
        values = visits[present[0]].to_numpy() if present else np.nan
        found[name] = pd.to_numeric(pd.Series(values, found.index), errors="coerce")
    batch = batch_of_frame(pd.DataFrame({UTC_COLUMNS[0]: found["mjd"]}))
    found["night"] = [date_of_mjd(int(mjd)) for mjd in night_mjds(batch)]
    return found.sort_values("mjd", kind="stable", ignore_index=True)

"""Whether simulated visits may be archived: finite, ordered, in their nights."""

from datetime import date

import numpy as np
import pandas as pd

from visit_tables.day_obs import mjd_of_date
from visit_tables.frames import with_band
from visit_tables.validity import LST, POINTING_NAMES, pointing_problems

__all__ = ["BANDS", "unsound_visits"]

BANDS = frozenset("ugrizy")
_AUXTEL_BANDS = frozenset({"white", "empty", "none", ""})
_TIME = "observationStartMJD"


def unsound_visits(
    visits: pd.DataFrame, first_day_obs: date, last_day_obs: date
) -> list[str]:
    """Return what is wrong with a visits table; nothing of an empty or sound one.

    Parameters
    ----------
    visits
        Columns of opsim: times in MJD, positions in deg.
    first_day_obs, last_day_obs
        Nights (UTC-12) that the visits must lie in.
    """
    wanted = [*(name for names in POINTING_NAMES.values() for name in names), LST]
    problems = pointing_problems(
        {name: visits[name].to_numpy() for name in wanted if name in visits.columns}
    )
    if _TIME not in visits.columns:
        return problems or [f"lacks {_TIME}"]
    return [
        *problems,
        *_time_problems(visits, first_day_obs, last_day_obs),
        *_band_problems(visits),
    ]


def _time_problems(visits: pd.DataFrame, first: date, last: date) -> list[str]:
    mjd = visits[_TIME].to_numpy(dtype=np.float64)
    if bad := int((~np.isfinite(mjd)).sum()):
        return [f"{_TIME} of {bad} visits is not a number"]
    problems = []
    if late := int((np.diff(mjd) < 0).sum()):
        problems.append(f"{late} visits start before the one that they follow")
    begin, end = mjd_of_date(first) + 0.5, mjd_of_date(last) + 1.5
    if outside := int(((mjd < begin) | (mjd >= end)).sum()):
        problems.append(f"{outside} visits are not of the nights {first} to {last}")
    return problems


def _band_problems(visits: pd.DataFrame) -> list[str]:
    visits = with_band(visits)
    if "band" not in visits.columns:
        return []
    found = {str(band).partition("_")[0] for band in visits["band"].dropna().unique()}
    unknown = sorted(found - BANDS - _AUXTEL_BANDS)
    return [f"bands are unknown: {', '.join(unknown)}"] if unknown else []

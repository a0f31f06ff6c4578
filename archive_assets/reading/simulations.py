"""Find the simulation of a night, and bring its visits or statistics.

The names, arguments and results are those of ``rubin_sim.sim_archive.sim_archive``.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from lsst.resources import ResourcePath
from numpy.typing import NDArray

from archive_assets.errors import ArchiveError
from archive_assets.nights.index import (
    get_prenight_index,
    select_latest_prenight_sim,
)
from archive_assets.objects.datastore import DataStore
from archive_assets.reading.files import Stacker
from archive_assets.simulation.sim_data import drive_sim, make_sim_data_dir
from visit_tables.columns import VisitsFileError
from visit_tables.day_obs import (
    DayObs,
    date_of_mjd,
    dayobs_to_date,
    night_column,
    night_mjds,
    today_day_obs,
)
from visit_tables.files import is_sqlite
from visit_tables.frame_summaries import nightly_stats
from visit_tables.hdf5.read import read_visits
from visit_tables.opsim.frame import matching_visits, read_opsim

__all__ = [
    "AlmanacRangeError",
    "NoMatchingSimulationsFoundError",
    "NoVisitsArchivedError",
    "Stacker",
    "coming_nights",
    "drive_sim",
    "fetch_obsloctap_visits",
    "fetch_sim_for_nights",
    "fetch_sim_stats_for_night",
    "find_latest_prenight_sim_for_nights",
    "make_sim_data_dir",
]

_LOG = logging.getLogger(__name__)
_SITE_ZONE = ZoneInfo("America/Santiago")
_OPTIONS = {"dbcols", "sqlconstraint", "stackers", "table_name"}
OBSLOCTAP_COLUMNS = (
    "observationStartMJD",
    "fieldRA",
    "fieldDec",
    "rotSkyPos",
    "band",
    "visitExposureTime",
    "night",
    "target_name",
)


class NoMatchingSimulationsFoundError(ArchiveError, LookupError):
    """No simulation matches what was asked for.

    Not a ValueError: obsloctap tries again later after this, and gives up after that.
    """


_LEAST_DAY = 0.999
"""Days from one sunset to the next, at least: the first of an almanac is the next one
only after a time that is no earlier than this before it."""


class NoVisitsArchivedError(ArchiveError, ValueError):
    """A simulation's visits are not in the archive."""


class AlmanacRangeError(ArchiveError, ValueError):
    """The almanac does not reach the nights asked for."""


def find_latest_prenight_sim_for_nights(  # noqa: PLR0917 - the original's order
    first_day_obs: DayObs | None = None,
    last_day_obs: DayObs | None = None,
    tags: Sequence[str] = ("ideal", "nominal"),
    telescope: str = "simonyi",
    max_simulation_age: int = 2,
    get_prenight_index_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the newest pre-night simulation that covers a range of nights.

    Parameters
    ----------
    first_day_obs, last_day_obs
        The nights; today (UTC-12), and the first again, by default.
    tags, telescope
        All tags must be present; exact name.
    max_simulation_age
        Maximum age in whole days.
    get_prenight_index_kwargs
        Arguments of `get_prenight_index`.

    Returns
    -------
    simulation
        Columns of the index, with ``visitseq_uuid`` and ``stats``.

    Raises
    ------
    NoMatchingSimulationsFoundError
        If there is none.
    """
    first = today_day_obs() if first_day_obs is None else dayobs_to_date(first_day_obs)
    last = first if last_day_obs is None else dayobs_to_date(last_day_obs)
    kwargs = dict(get_prenight_index_kwargs or {})
    index = get_prenight_index(first, telescope, **kwargs)
    if last != first:
        also = get_prenight_index(last, telescope, **kwargs)
        index = index.loc[index.index.isin(also.index)]
    found = select_latest_prenight_sim(index, tags, max_simulation_age)
    if found is None:
        raise NoMatchingSimulationsFoundError(
            f"No simulations match the requested criteria: {telescope}, {first} to "
            f"{last}, tags {', '.join(tags) or 'any'}, at most {max_simulation_age} "
            f"days old (source: {index.attrs.get('source', 'unknown')})"
        )
    return {str(name): value for name, value in found.to_dict().items()}


def fetch_sim_for_nights(
    first_day_obs: DayObs | None = None,
    last_day_obs: DayObs | None = None,
    which_sim: ResourcePath | str | Mapping[str, Any] | None = None,
    stackers: Sequence[Stacker] = (),
    get_sim_data_kwargs: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return the visits of a simulation on some nights.

    Parameters
    ----------
    first_day_obs, last_day_obs
        The nights; today (UTC-12), and the first again, by default.
    which_sim
        URL of an opsim or HDF5 file, or the arguments of
        `find_latest_prenight_sim_for_nights`.
    stackers
        Run on the visits, in order; left as they are.
    get_sim_data_kwargs
        ``sqlconstraint``, ``dbcols``, ``table_name`` and ``stackers``, as
        ``rubin_sim.maf.get_sim_data`` takes them.

    Raises
    ------
    NoMatchingSimulationsFoundError
        If no simulation matches.
    NoVisitsArchivedError
        If its visits are not archived.
    ConstraintError
        If the ``sqlconstraint`` cannot be used.
    """
    first = today_day_obs() if first_day_obs is None else dayobs_to_date(first_day_obs)
    last = first if last_day_obs is None else dayobs_to_date(last_day_obs)
    if which_sim is None or isinstance(which_sim, Mapping):
        simulation = find_latest_prenight_sim_for_nights(
            first, last, **(which_sim or {})
        )
        url = _visits_url(simulation)
    elif isinstance(which_sim, str | ResourcePath):
        url = str(which_sim)
    else:
        raise NotImplementedError(f"{which_sim!r} does not identify a simulation")
    options = dict(get_sim_data_kwargs or {})
    stackers = tuple(stackers) or tuple(options.pop("stackers", ()))
    visits = _load(url, first, last, options)
    return _stacked(visits, stackers)


def _visits_url(simulation: Mapping[str, Any]) -> str:
    url = simulation["visitseq_url"]
    if isinstance(url, str):
        return url
    files = simulation["files"] or {}
    if "opsim" in files:
        return str(files["opsim"])
    raise NoVisitsArchivedError(
        f"No visits found: those of {simulation['visitseq_uuid']} are not archived"
    )


def _load(
    url: str, first: date, last: date, options: Mapping[str, Any]
) -> pd.DataFrame:
    table = options.get("table_name") or "observations"
    columns = options.get("dbcols")
    constraint = options.get("sqlconstraint") or ""
    if unknown := set(options) - _OPTIONS:
        raise NotImplementedError(f"get_sim_data_kwargs cannot have {unknown}")
    path = DataStore(Path.cwd()).get(ResourcePath(url))
    if is_sqlite(path):
        visits = _of_nights(read_opsim(path, table), first, last)
    else:
        visits = read_visits(
            path,
            table=table,
            columns=None if constraint else columns,
            first_day_obs=first,
            last_day_obs=last,
        )
    visits = matching_visits(visits, constraint)
    if columns is None:
        return visits
    if absent := [name for name in columns if name not in visits]:
        raise VisitsFileError(url, f"has no column {', '.join(map(repr, absent))}")
    return visits[list(columns)]


def _of_nights(visits: pd.DataFrame, first: date, last: date) -> pd.DataFrame:
    nights = night_mjds({name: visits[name].to_numpy() for name in _times(visits)})
    wanted = (nights >= _mjd(first)) & (nights <= _mjd(last))
    return visits.loc[wanted].reset_index(drop=True)


def _times(visits: pd.DataFrame) -> list[str]:
    return [night_column(list(visits.columns))]


def _mjd(day: date) -> int:
    return (day - date(1858, 11, 17)).days


def _stacked(visits: pd.DataFrame, stackers: Sequence[Stacker]) -> pd.DataFrame:
    if not stackers:
        return visits
    records: NDArray[np.void] = visits.to_records(index=False)
    for stacker in stackers:
        records = stacker.run(records)
    return pd.DataFrame(records)


def fetch_obsloctap_visits(
    day_obs: str | None = None,
    nights: int = 2,
    telescope: str = "simonyi",
    columns: Sequence[str] = OBSLOCTAP_COLUMNS,
    max_simulation_age: int | None = None,
) -> pd.DataFrame:
    """Return the visits that ObsLocTAP publishes: the nominal ones of coming nights.

    Parameters
    ----------
    day_obs
        The first night is that of the first sunset after 00:00 UTC of this day;
        after now by default, so that a call during a night skips that night.
    nights
        Number of nights.
    telescope, columns
        The telescope; the columns to return.
    max_simulation_age
        Maximum age in days; by default the days since ``day_obs``, plus 1.

    Raises
    ------
    NoMatchingSimulationsFoundError
        If no simulation matches. It is a ValueError.
    AlmanacRangeError
        If the almanac does not have the nights.
    """
    now_mjd = _mjd_of_time(datetime.now(UTC))
    reference_mjd = now_mjd
    if day_obs is not None:
        reference_mjd = float(_mjd(dayobs_to_date(day_obs)))
    first, last = coming_nights(reference_mjd, nights)
    age = max_simulation_age
    if age is None:
        age = math.ceil(now_mjd - reference_mjd) + 1
    visits = fetch_sim_for_nights(
        first,
        last,
        which_sim={
            "tags": ("ideal", "nominal"),
            "telescope": telescope,
            "max_simulation_age": age,
        },
    )
    return visits.loc[:, list(columns)]


def coming_nights(reference_mjd: float, nights: int) -> tuple[date, date]:
    """Return the first and last night from the next sunset on.

    Parameters
    ----------
    reference_mjd
        UTC, days; a sunset at that very time is past.
    nights
        How many, at least 1.

    Raises
    ------
    AlmanacRangeError
        If the almanac does not have them, at either end.
    """
    from archive_assets.simulation.site_data.files import site_data_folder  # noqa: PLC0415 - heavy
    from archive_assets.simulation.start_and_end import read_almanac  # noqa: PLC0415 - as above

    almanac = read_almanac(site_data_folder())
    row = int(np.searchsorted(almanac["sunset"], reference_mjd, side="right"))
    end = row + nights - 1
    if nights < 1 or end >= len(almanac):
        raise AlmanacRangeError(
            f"the almanac has no {nights} nights after MJD {reference_mjd:.2f}"
        )
    if reference_mjd < almanac["sunset"][0] - _LEAST_DAY:
        raise AlmanacRangeError(
            f"the almanac begins with the sunset of MJD {almanac['sunset'][0]:.2f}, "
            f"which is not the next one after MJD {reference_mjd:.2f}"
        )
    first = date_of_mjd(math.floor(almanac["sunset"][row] - 0.5))
    last = date_of_mjd(math.floor(almanac["sunrise"][end] - 0.5))
    return first, last


def _mjd_of_time(time: datetime) -> float:
    epoch = datetime(1858, 11, 17, tzinfo=UTC)
    return (time - epoch) / timedelta(days=1)


def fetch_sim_stats_for_night(  # noqa: PLR0917 - the original's order
    day_obs: DayObs | None = None,
    tags: Sequence[str] = ("ideal", "nominal"),
    telescope: str = "simonyi",
    max_simulation_age: int = 2,
    host: str | None = None,
    user: str | None = None,
    database: str | None = None,
    schema: str | None = None,
    prenight_index_path: str | ResourcePath | None = None,
) -> dict[str, Any]:
    """Return the statistics of a night in the newest nominal simulation.

    Parameters
    ----------
    day_obs
        The night; by default that of yesterday's evening at the observatory.
    tags, telescope, max_simulation_age
        As `find_latest_prenight_sim_for_nights`.
    host, user, database, schema, prenight_index_path
        As `get_prenight_index`.

    Returns
    -------
    statistics
        Recorded statistics by column, computed from the visits where none are
        recorded; and ``nominal_visits``, the number of visits of the night.

    Raises
    ------
    NoMatchingSimulationsFoundError
        If no simulation matches.
    """
    if day_obs is None:
        day_obs = datetime.now(_SITE_ZONE).date() - timedelta(days=1)
    night = dayobs_to_date(day_obs)
    simulation = find_latest_prenight_sim_for_nights(
        night,
        tags=tags,
        telescope=telescope,
        max_simulation_age=max_simulation_age,
        get_prenight_index_kwargs={
            "host": host,
            "user": user,
            "database": database,
            "schema": schema,
            "prenight_index_path": prenight_index_path,
        },
    )
    recorded = simulation["stats"]
    stats: dict[str, Any] = dict(recorded) if isinstance(recorded, dict) else {}
    counts = [
        int(value["count"])
        for value in stats.values()
        if isinstance(value, dict) and value.get("count") is not None
    ]
    if counts:
        # a column with missing values counts fewer than there are visits
        return {**stats, "nominal_visits": max(counts)}
    visits = _load(_visits_url(simulation), night, night, {})
    return {**stats, **_computed(visits), "nominal_visits": len(visits)}


def _computed(visits: pd.DataFrame) -> dict[str, Any]:
    if visits.empty:
        return {}
    numeric = [
        str(name)
        for name in visits.select_dtypes("number").columns
        if name != "day_obs"
    ]
    stats = nightly_stats(visits, numeric).drop(columns="day_obs")
    return {row.pop("value_name"): row for row in stats.to_dict("records")}

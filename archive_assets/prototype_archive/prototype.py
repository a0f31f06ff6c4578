"""Reading the prototype archive, which the visit sequence archive replaces.

Every function here is deprecated, as the original's are; the names and arguments are
the same. Those that wrote to it are retired: they raise `RetiredError`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn

import pandas as pd
from lsst.resources import ResourcePath
from typing_extensions import deprecated

from archive_assets.objects.datastore import ObjectNotFoundError, check_name
from archive_assets.prototype_archive import layout
from archive_assets.prototype_archive.cache import read_cache
from archive_assets.prototype_archive.layout import PROTOTYPE_URL, PrototypeError
from archive_assets.reading import simulations as sim_archive
from archive_assets.reading.simulations import (
    NoMatchingSimulationsFoundError,
    make_sim_data_dir,
)
from visit_tables.day_obs import DayObs, day_obs_at, dayobs_to_date, today_day_obs

__all__ = [
    "DEPRECATED",
    "NoMatchingSimulationsFoundError",
    "PrototypeError",
    "RetiredError",
    "check_opsim_archive_resource",
    "compile_sim_archive_metadata_cli",
    "compile_sim_metadata",
    "export_sim_to_prototype_sim_archive",
    "fetch_obsloctap_visits",
    "fetch_sim_for_nights",
    "fetch_sim_stats_for_night",
    "find_latest_prenight_sim_for_nights",
    "make_sim_archive_cli",
    "make_sim_archive_dir",
    "read_archived_sim_metadata",
    "read_sim_metadata_from_hdf",
    "transfer_archive_dir",
    "verify_compiled_sim_metadata",
]

make_sim_archive_dir = make_sim_data_dir
CACHE_NAME = "compiled_metadata_cache.h5"
DEPRECATED = (
    "the prototype simulation archive is deprecated: "
    "use archive_assets.reading.files and archive_assets.reading.simulations"
)

# Any in this module: metadata are what YAML can say
Metadata = dict[str, Any]


class RetiredError(PrototypeError, NotImplementedError):
    """A function wrote to the prototype archive, which is only read now."""


def _retired(name: str, instead: str) -> Callable[..., NoReturn]:
    """Return a function that takes whatever the original's took, and refuses."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise RetiredError(
            f"{name} is retired, the prototype archive is only read: {instead}"
        )

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Raise RetiredError: {instead}."
    return refuse


_ARCHIVE = "use archive_assets.archiving.sequence.archive_visit_sequence"
_NOTHING = "nothing needs compiling, use VisitSequenceArchiveMetadata.search"
transfer_archive_dir = _retired("transfer_archive_dir", _ARCHIVE)
make_sim_archive_cli = _retired(
    "make_sim_archive_cli", "use the command `vseqarchive add`"
)
compile_sim_metadata = _retired("compile_sim_metadata", _NOTHING)
verify_compiled_sim_metadata = _retired("verify_compiled_sim_metadata", _NOTHING)
compile_sim_archive_metadata_cli = _retired(
    "compile_sim_archive_metadata_cli", _NOTHING
)
export_sim_to_prototype_sim_archive = _retired(
    "export_sim_to_prototype_sim_archive",
    "use archive_assets.reading.files.retrieve_file",
)


@deprecated(DEPRECATED)
def check_opsim_archive_resource(archive_uri: str | ResourcePath) -> dict[str, bool]:
    """Return, for each file of a simulation, whether its MD5 is the recorded one."""
    return layout.check_files(archive_uri)


@deprecated(DEPRECATED)
def read_archived_sim_metadata(
    base_uri: str | ResourcePath,
    latest: str | date | None = None,
    num_nights: int = 5,
    compilation_resource: str | ResourcePath | None = None,
    verify_compilation: bool = False,
) -> dict[str, Metadata]:
    """Return metadata of the simulations that were added on some dates.

    Parameters
    ----------
    base_uri
        The prototype archive.
    latest
        Last date of addition, UTC; today by default.
    num_nights
        Number of dates.
    compilation_resource
        Compiled metadata to use for dates before its newest. If there is none, all
        YAML files are read.
    verify_compilation
        Whether to look at all folders nonetheless.

    Returns
    -------
    metadata
        By the URI of the simulation. A YAML that cannot be used is skipped, with a
        warning in the log.
    """
    return _read_metadata(
        base_uri, latest, num_nights, compilation_resource, verify=verify_compilation
    )


def _read_metadata(
    base_uri: str | ResourcePath,
    latest: str | date | None,
    num_nights: int,
    compilation: str | ResourcePath | None = None,
    *,
    verify: bool = False,
) -> dict[str, Metadata]:
    first, last = layout.window(latest, num_nights)
    compiled = _compiled(compilation)
    dates = {uri: _added_on(uri) for uri in compiled}
    newest = max(dates.values(), default=date.min)
    found = {
        uri: compiled[uri]
        for uri, day in dates.items()
        if first <= day <= last and day < newest and not verify
    }
    start = first if verify else max(first, newest)
    for uri, _, folder in layout.archived_simulations(base_uri, start, last):
        if uri in compiled:
            found[uri] = compiled[uri]
        elif (metadata := layout.read_or_skip(folder)) is not None:
            found[uri] = metadata | {"label": _label(folder, metadata)}
    return found


def _compiled(place: str | ResourcePath | None) -> dict[str, Metadata]:
    if place is None:
        return {}
    try:
        return read_cache(ResourcePath(place))
    except ObjectNotFoundError:
        return {}


def _added_on(uri: str) -> date:
    return date.fromisoformat(uri.rstrip("/").rsplit("/", 2)[-2])


def _label(folder: ResourcePath, metadata: Mapping[str, Any]) -> str:
    label = "/".join(folder.geturl().rstrip("/").rsplit("/", 2)[-2:])
    if "label" in metadata:
        return f"{label} {metadata['label']}"
    if nights := metadata.get("simulated_dates"):
        label += f" of {nights['first']}"
        if nights["last"] != nights["first"]:
            label += f" through {nights['last']}"
    if "scheduler_version" in metadata:
        label += f" with {metadata['scheduler_version']}"
    return label


@deprecated(DEPRECATED)
def read_sim_metadata_from_hdf(
    compilation_resource: str | ResourcePath,
) -> dict[str, Metadata]:
    """Return compiled metadata, as `read_archived_sim_metadata` would.

    Raises
    ------
    ObjectNotFoundError
        If there is no such file.
    HDF5FileError
        If it is damaged, or not safe to read.
    """
    return read_cache(ResourcePath(compilation_resource))


@deprecated(DEPRECATED)
def find_latest_prenight_sim_for_nights(  # noqa: PLR0917 the original's order
    first_day_obs: DayObs | None = None,
    last_day_obs: DayObs | None = None,
    tags: Sequence[str] = ("ideal", "nominal"),
    telescope: str = "simonyi",
    max_simulation_age: int = 2,
    archive_uri: str | ResourcePath = PROTOTYPE_URL,
    compilation_uri: str | ResourcePath | None = PROTOTYPE_URL + CACHE_NAME,
) -> Metadata | None:
    """Return the newest simulation that covers some nights; None if there is none.

    Parameters
    ----------
    first_day_obs, last_day_obs
        The nights; today (UTC-12), and the first again, by default.
    tags
        Tags that it must have.
    telescope
        Its telescope.
    max_simulation_age
        How many dates of addition to look at.
    archive_uri, compilation_uri
        The archive, and its compiled metadata.

    Returns
    -------
    metadata
        With ``uri``, ``exec_date``, ``date_index`` and ``opsim_rp`` added.
    """
    first, last = _nights(first_day_obs, last_day_obs)
    return _find(
        first, last, tags, telescope, max_simulation_age, archive_uri, compilation_uri
    )


def _nights(
    first_day_obs: DayObs | None, last_day_obs: DayObs | None
) -> tuple[date, date]:
    today = today_day_obs()
    first = today if first_day_obs is None else dayobs_to_date(first_day_obs)
    return first, first if last_day_obs is None else dayobs_to_date(last_day_obs)


def _find(  # noqa: PLR0917 the original's order
    first: date,
    last: date,
    tags: Sequence[str] = ("ideal", "nominal"),
    telescope: str = "simonyi",
    max_simulation_age: int = 2,
    archive_uri: str | ResourcePath = PROTOTYPE_URL,
    compilation_uri: str | ResourcePath | None = PROTOTYPE_URL + CACHE_NAME,
) -> Metadata | None:
    simulations = _read_metadata(archive_uri, None, max_simulation_age, compilation_uri)
    matching = [
        uri
        for uri, metadata in simulations.items()
        if _matches(metadata, first, last, tags, telescope)
    ]
    if not matching:
        return None
    uri = max(matching, key=lambda one: (_added_on(one), _index(one)))
    name = check_name(
        str(simulations[uri]["files"]["observations"]["name"]), "file name"
    )
    return simulations[uri] | {
        "uri": uri,
        "exec_date": _added_on(uri).isoformat(),
        "date_index": _index(uri),
        "opsim_rp": ResourcePath(uri, forceDirectory=True).join(name),
    }


def _index(uri: str) -> int:
    return int(uri.rstrip("/").rsplit("/", 1)[-1])


def _matches(
    metadata: Mapping[str, Any],
    first: date,
    last: date,
    tags: Sequence[str],
    telescope: str,
) -> bool:
    nights = metadata.get("simulated_dates") or {}
    if "observations" not in metadata.get("files", {}) or not all(
        isinstance(nights.get(end), str) for end in ("first", "last")
    ):
        return False
    return (
        nights["first"] <= first.isoformat()
        and nights["last"] >= last.isoformat()
        and str(metadata.get("telescope", telescope)).lower() == telescope.lower()
        and set(tags) <= set(metadata.get("tags", ()))
    )


@deprecated(DEPRECATED)
def fetch_sim_for_nights(
    first_day_obs: DayObs | None = None,
    last_day_obs: DayObs | None = None,
    which_sim: str | ResourcePath | Mapping[str, Any] | None = None,
    get_sim_data_kwargs: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return the visits of a simulation on some nights.

    Parameters
    ----------
    first_day_obs, last_day_obs
        The nights; today (UTC-12), and the first again, by default.
    which_sim
        URL of an opsim file, or arguments of `find_latest_prenight_sim_for_nights`.
    get_sim_data_kwargs
        ``sqlconstraint``, ``dbcols``, ``table_name`` and ``stackers``.

    Raises
    ------
    NoMatchingSimulationsFoundError
        If no simulation matches.
    """
    first, last = _nights(first_day_obs, last_day_obs)
    return _fetch(first, last, which_sim, get_sim_data_kwargs)


def _fetch(
    first: date,
    last: date,
    which_sim: str | ResourcePath | Mapping[str, Any] | None,
    options: Mapping[str, Any] | None,
) -> pd.DataFrame:
    if which_sim is None or isinstance(which_sim, Mapping):
        simulation = _find(first, last, **(which_sim or {}))
        if simulation is None:
            raise NoMatchingSimulationsFoundError(
                f"no simulation of the prototype archive covers {first} to {last}"
            )
        which_sim = simulation["opsim_rp"]
    return sim_archive.fetch_sim_for_nights(
        first, last, which_sim, get_sim_data_kwargs=options
    )


@deprecated(DEPRECATED)
def fetch_obsloctap_visits(
    day_obs: str | None = None,
    nights: int = 2,
    telescope: str = "simonyi",
    *,
    which_sim: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return the nominal visits from the next sunset to the last night's sunrise.

    Parameters
    ----------
    day_obs
        Reference date, 00:00 UTC; now by default.
    nights
        Number of nights.
    telescope
        The telescope.
    which_sim
        More arguments of `find_latest_prenight_sim_for_nights`.

    Raises
    ------
    NoMatchingSimulationsFoundError
        If no simulation matches.
    """
    reference_mjd = (
        _mjd_of(datetime.now(UTC))
        if day_obs is None
        else _mjd_of(
            datetime.combine(dayobs_to_date(day_obs), datetime.min.time(), UTC)
        )
    )
    first, last = sim_archive.coming_nights(reference_mjd, nights)
    age = math.ceil(_mjd_of(datetime.now(UTC)) - reference_mjd) + 1
    criteria = {"telescope": telescope, "max_simulation_age": age, **(which_sim or {})}
    visits = _fetch(
        first, last, criteria, {"dbcols": list(sim_archive.OBSLOCTAP_COLUMNS)}
    )
    return visits[visits["observationStartMJD"] >= reference_mjd].reset_index(drop=True)


def _mjd_of(time: datetime) -> float:
    return (time - datetime(1858, 11, 17, tzinfo=UTC)) / timedelta(days=1)


@deprecated(DEPRECATED)
def fetch_sim_stats_for_night(
    day_obs: DayObs | None = None, *, which_sim: Mapping[str, Any] | None = None
) -> dict[str, int]:
    """Return ``nominal_visits``, the number of visits of a night, by default last's.

    Raises
    ------
    NoMatchingSimulationsFoundError
        If no simulation matches.
    """
    now = datetime.now(UTC)
    night = (
        day_obs_at(now) - timedelta(days=1)
        if day_obs is None
        else dayobs_to_date(day_obs)
    )
    age = (now.date() - night).days + 4
    criteria = {"max_simulation_age": age, **(which_sim or {})}
    return {"nominal_visits": len(_fetch(night, night, criteria, None))}

"""Dates of observation, conversions of visit files, and the conda environment.

The module and its functions keep the names that users of ``rubin_sim.sim_archive``
import.
"""

import hashlib
import shutil
import subprocess
from datetime import date, datetime, timedelta, timezone
from operator import index
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from archive_assets.errors import ArchiveError
from archive_assets.visits.convert import hdf5_to_opsim, opsim_to_hdf5

__all__ = [
    "CondaNotFoundError",
    "DayObs",
    "DayObsError",
    "FileAlreadyThereError",
    "compute_conda_env",
    "dayobs_to_date",
    "hdf5_to_opsimdb",
    "opsimdb_to_hdf5",
]

DAY_OBS_ZONE = timezone(timedelta(hours=-12))
"""The zone whose calendar date is ``day_obs`` (SITCOMTN-032)."""


@runtime_checkable
class SupportsToDatetime(Protocol):
    """What we need of ``astropy.time.Time``, so that it need not be imported."""

    def to_datetime(self, timezone: timezone) -> datetime | NDArray[np.object_]:
        """Return the time, or an array of times, in a zone."""
        ...


DayObs: TypeAlias = str | date | int | np.integer | SupportsToDatetime
"""The accepted spellings of a night."""


class DayObsError(ArchiveError, ValueError, AssertionError):
    """A value is no night; it is an AssertionError because the original's was."""

    def __init__(self, value: object) -> None:
        super().__init__(value)
        self.value = value

    @override
    def __str__(self) -> str:
        return (
            f"{self.value!r} is not a day_obs: give a date, YYYY-MM-DD, "
            "the integer YYYYMMDD or one astropy Time"
        )


class FileAlreadyThereError(ArchiveError, FileExistsError, ValueError):
    """A file would be overwritten that nobody asked to overwrite."""

    @override
    def __str__(self) -> str:
        return f"{self.args[0]} exists already"


class CondaNotFoundError(ArchiveError, FileNotFoundError):
    """The program ``conda`` is not on the path."""


def dayobs_to_date(dayobs: DayObs) -> date:
    """Return a night as a date, from any of its accepted spellings.

    Parameters
    ----------
    dayobs
        A date; a datetime, whose date is taken as it stands, whatever its zone; an
        ISO text; an integer YYYYMMDD of Python or numpy; or an astropy ``Time``,
        scalar or of one element, whose date at UTC-12 is taken.

    Returns
    -------
    day
        Calendar date at UTC-12, which is the local date of the evening.

    Raises
    ------
    DayObsError
        If the value is none of these, or no such day exists.
    """
    match dayobs:
        case bool() | np.bool_():
            raise DayObsError(dayobs)
        case datetime():
            return dayobs.date()
        case date():
            return dayobs
        case str():
            return _date_of_text(dayobs)
        case int() | np.integer():
            return _date_of_number(index(dayobs))
        case SupportsToDatetime():
            return _date_of_time(dayobs)
        case _:
            raise DayObsError(dayobs)


def _date_of_text(text: str) -> date:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError as error:
        raise DayObsError(text) from error


def _date_of_number(number: int) -> date:
    try:
        return date(number // 10000, number // 100 % 100, number % 100)
    except (OverflowError, ValueError) as error:
        raise DayObsError(number) from error


def _date_of_time(time: SupportsToDatetime) -> date:
    found = time.to_datetime(timezone=DAY_OBS_ZONE)
    if isinstance(found, np.ndarray):
        if found.size != 1:
            raise DayObsError(time)
        found = found.item()
    if not isinstance(found, datetime):
        raise DayObsError(time)
    return found.date()


def opsimdb_to_hdf5(
    opsimdb_path: str | Path, hdf5_path: str | Path | None = None
) -> str:
    """Write every table of an opsim file to HDF5.

    Parameters
    ----------
    opsimdb_path
        SQLite file.
    hdf5_path
        File to write, replaced if it exists; by default beside the opsim file,
        with suffix ``.h5``.

    Returns
    -------
    hdf5_path
        The file written.

    Raises
    ------
    OpsimFileError
        If the opsim file is not usable.
    """
    target = Path(opsimdb_path).with_suffix(".h5") if hdf5_path is None else hdf5_path
    opsim_to_hdf5(opsimdb_path, target)
    return str(target)


def hdf5_to_opsimdb(
    hdf5_path: str | Path, opsimdb_path: str | Path | None = None
) -> str:
    """Write every table of an HDF5 file of visits to SQLite.

    Parameters
    ----------
    hdf5_path
        File in a layout of pandas.
    opsimdb_path
        File to write; by default beside the HDF5 file, with suffix ``.db``.

    Returns
    -------
    opsimdb_path
        The file written.

    Raises
    ------
    FileAlreadyThereError
        If there is such a file already. (The original raised ValueError at the
        first table that existed, and left those before it.)
    HDF5FileError
        If the HDF5 file cannot be read safely.
    """
    target = (
        Path(hdf5_path).with_suffix(".db") if opsimdb_path is None else opsimdb_path
    )
    if Path(target).exists():
        raise FileAlreadyThereError(target)
    hdf5_to_opsim(hdf5_path, target)
    return str(target)


def compute_conda_env() -> tuple[bytes, str]:
    """Describe the current conda environment.

    Returns
    -------
    env_hash
        SHA-256 of the JSON text.
    env_json
        What ``conda list --json`` prints.

    Raises
    ------
    CondaNotFoundError
        If there is no program ``conda``.
    subprocess.CalledProcessError
        If it fails.
    """
    program = shutil.which("conda")
    if program is None:
        raise CondaNotFoundError("no program conda on the path")
    run = subprocess.run(  # noqa: S603 no shell, nothing from outside
        [program, "list", "--json"], capture_output=True, text=True, check=True
    )
    return hashlib.sha256(run.stdout.encode()).digest(), run.stdout

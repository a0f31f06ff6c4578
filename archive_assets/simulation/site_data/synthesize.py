"""Make a folder of synthetic site data, or add nights to one."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from archive_assets.simulation.base import SURVEY_START_DAY_OBS
from archive_assets.simulation.site_data.almanac import Almanac, compute_almanac
from archive_assets.simulation.site_data.errors import (
    SiteDataError,
    SiteDataNotSyntheticError,
)
from archive_assets.simulation.site_data.extras import write_extras
from archive_assets.simulation.site_data.files import SyntheticMarker
from archive_assets.simulation.site_data.sky import write_sky_file, write_sky_stub

__all__ = ["Synthesis", "synthesize_site_data"]

# rubin_scheduler.utils.SURVEY_START_MJD of 4.6, 61220.5: its sky is opened first
SCHEDULER_START_DAY_OBS = date(2026, 6, 29)
_FIRST_POSSIBLE = date(2017, 1, 1)  # TAI-UTC is taken as 37 s
_LAST_POSSIBLE = date(2059, 12, 31)
_MOST_NIGHTS = 400
_ALMANAC_MARGIN = timedelta(days=40)
_ALMANAC_CHUNK_DAYS = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """What was done: nights that were added, and nights that were there already."""

    folder: Path
    added: tuple[date, ...]
    kept: tuple[date, ...]


def synthesize_site_data(
    folder: Path,
    first_day_obs: date,
    n_nights: int = 1,
    *,
    survey_start_day_obs: date = SURVEY_START_DAY_OBS,
    step_minutes: float = 10.0,
    report: Callable[[str], None] = lambda _: None,
) -> Synthesis:
    """Make the site data of some nights and of the night after the last.

    Everything is written to a temporary folder beside the other first. What a
    synthetic folder holds already is kept; one that is not synthetic is refused.

    Parameters
    ----------
    folder
        Where the files go; made if there is none.
    first_day_obs, n_nights
        The nights to simulate, 1 to 400 of them.
    survey_start_day_obs
        Start of the survey: the scheduler counts nights from it. Only for a new
        folder.
    step_minutes
        Time between two maps of the sky, 1 to 60. Only for a new folder.
    report
        Called with a line of text as the work proceeds.

    Raises
    ------
    ValueError
        If an argument is out of range.
    SiteDataNotSyntheticError
        If the folder holds files that this program did not make.
    """
    if not 1 <= n_nights <= _MOST_NIGHTS:
        raise ValueError(f"n_nights must be 1 to {_MOST_NIGHTS}, not {n_nights}")
    if not 1 <= step_minutes <= 60:
        raise ValueError(f"step_minutes must be 1 to 60, not {step_minutes}")
    nights = _nights_with_the_next(first_day_obs, n_nights)
    if not _FIRST_POSSIBLE <= nights[0] <= nights[-1] <= _LAST_POSSIBLE:
        raise ValueError(
            f"nights must lie between {_FIRST_POSSIBLE} and {_LAST_POSSIBLE}, "
            f"not {nights[0]} to {nights[-1]}"
        )
    with _locked(folder):
        marker = _present(folder)
        if marker is None:
            marker = SyntheticMarker(
                survey_start_day_obs=min(survey_start_day_obs, nights[0]),
                first_almanac_day_obs=date.max,
                last_almanac_day_obs=date.min,
                step_minutes=step_minutes,
                nights=(),
            )
        return _add(folder, marker, nights, report)


def _nights_with_the_next(first: date, n_nights: int) -> tuple[date, ...]:
    # at the end of a night the model observatory moves on to the next sunset
    return tuple(first + timedelta(days=k) for k in range(n_nights + 1))


def _present(folder: Path) -> SyntheticMarker | None:
    marker = SyntheticMarker.read(folder)
    if marker is None and folder.exists() and any(folder.iterdir()):
        raise SiteDataNotSyntheticError(folder)
    return marker


def _add(
    folder: Path,
    marker: SyntheticMarker,
    nights: tuple[date, ...],
    report: Callable[[str], None],
) -> Synthesis:
    if nights[0] < marker.survey_start_day_obs:
        raise SiteDataError(
            folder,
            [f"its survey starts on {marker.survey_start_day_obs}, after {nights[0]}"],
            "Synthesize earlier nights into another folder",
        )
    missing = [night for night in nights if night not in marker.nights]
    done = Synthesis(
        folder=folder,
        added=tuple(missing),
        kept=tuple(night for night in nights if night not in missing),
    )
    if not missing:
        report(f"all {len(nights)} nights are there already")
        return done
    first, last = _almanac_range(marker, nights)
    with _temporary_sibling(folder) as fresh:
        report(f"almanac of {first} to {last}")
        almanac = compute_almanac(first, last)
        if (first, last) != (
            marker.first_almanac_day_obs,
            marker.last_almanac_day_obs,
        ):
            almanac.write(fresh)
        _write_skies(fresh, almanac, missing, marker.step_minutes, report)
        if not marker.nights:
            report("dust, fields, camera")
            _write_constant_files(fresh, marker.step_minutes, missing)
        updated = replace(
            marker,
            first_almanac_day_obs=first,
            last_almanac_day_obs=last,
            nights=tuple(sorted({*marker.nights, *missing})),
        )
        updated.write(fresh)
        _publish(fresh, folder)
    report(f"added {len(missing)} nights to {folder}")
    return done


def _almanac_range(
    marker: SyntheticMarker, nights: tuple[date, ...]
) -> tuple[date, date]:
    """Return the first and last day of an almanac that covers old and new nights."""
    first = marker.survey_start_day_obs - _ALMANAC_MARGIN
    latest = max(nights[-1], SCHEDULER_START_DAY_OBS) + _ALMANAC_MARGIN
    chunks = -(-(latest - first).days // _ALMANAC_CHUNK_DAYS)
    last = first + timedelta(days=chunks * _ALMANAC_CHUNK_DAYS)
    return first, max(last, marker.last_almanac_day_obs)


def _write_skies(
    folder: Path,
    almanac: Almanac,
    nights: list[date],
    step_minutes: float,
    report: Callable[[str], None],
) -> None:
    for k, night in enumerate(nights, start=1):
        write_sky_file(folder, night, almanac.night(night), step_minutes=step_minutes)
        report(f"sky of {night} ({k} of {len(nights)})")


def _write_constant_files(
    folder: Path, step_minutes: float, nights: list[date]
) -> None:
    write_extras(folder)
    if SCHEDULER_START_DAY_OBS not in nights:
        write_sky_stub(folder, SCHEDULER_START_DAY_OBS, step_minutes=step_minutes)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time write to a folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _temporary_sibling(folder: Path) -> Iterator[Path]:
    for leftover in folder.parent.glob(f".{folder.name}.new-*"):
        shutil.rmtree(leftover)  # of a run that was killed: we hold the lock
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _publish(fresh: Path, folder: Path) -> None:
    """Move the finished files into place, the marker last."""
    if not folder.exists() or not any(folder.iterdir()):
        fresh.chmod(0o755)
        os.replace(fresh, folder)  # noqa: PTH105 - replaces an empty folder too
        return
    files = [path for path in fresh.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path.parent == fresh):
        target = folder / path.relative_to(fresh)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)

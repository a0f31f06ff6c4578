"""Finished simulations, kept where the archive finds them until they are archived.

One folder a (telescope, night, variant): a simulation that is made again replaces the
one before in one rename. Its request's digest says whether it need be made at all.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from archive_assets.errors import ArchiveError
from archive_assets.simulation.base import SimulationRequest, SimulationResult
from archive_assets.simulation.folders import LOG_FILE, OPSIM_FILE, REWARDS_FILE
from pipeline_runtime.documents import read_json

__all__ = [
    "FinishedSimulation",
    "NoFinishedSimulationError",
    "find_finished",
    "finished_simulation",
    "keep_finished",
    "remove_older",
]

_RECORD_FILE = "finished.json"


class NoFinishedSimulationError(ArchiveError):
    """There is no finished simulation of a night and variant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedSimulation:
    """A simulation in its folder of the outbox."""

    folder: Path
    first_day_obs: date
    last_day_obs: date
    telescope: str
    variant: str
    n_visits: int
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    provenance: dict[str, Any]  # JSON

    @property
    def opsim_path(self) -> Path:
        """SQLite file of the visits."""
        return self.folder / OPSIM_FILE

    @property
    def rewards_path(self) -> Path | None:
        """``rewards.h5``, if the variant keeps rewards."""
        path = self.folder / REWARDS_FILE
        return path if path.is_file() else None

    @property
    def log_path(self) -> Path:
        """What the simulation's process printed."""
        return self.folder / LOG_FILE

    @property
    def request_digest(self) -> str:
        """Digest of everything that decided which visits came out."""
        return str(self.provenance.get("request_digest", ""))


def _place(outbox: Path, telescope: str, first_day_obs: date, variant: str) -> Path:
    return outbox / telescope / first_day_obs.isoformat() / variant


def keep_finished(
    outbox: Path, request: SimulationRequest, result: SimulationResult, n_nights: int
) -> FinishedSimulation:
    """Move a result into the outbox; one that was there before is replaced.

    Parameters
    ----------
    outbox
        On the file system of the request's work folder.
    request, result
        What was asked for and what came back; its folder is moved.
    n_nights
        Nights that the visits cover.
    """
    last = date.fromordinal(request.first_day_obs.toordinal() + n_nights - 1)
    record = {
        "first_day_obs": request.first_day_obs.isoformat(),
        "last_day_obs": last.isoformat(),
        "telescope": request.telescope.value,
        "variant": request.variant.name,
        "n_visits": result.n_visits,
        "wall_s": result.wall_s,
        "cpu_s": result.cpu_s,
        "peak_memory_bytes": result.peak_memory_bytes,
        "provenance": result.provenance,
    }
    (result.folder / _RECORD_FILE).write_text(json.dumps(record, indent=1))
    place = _place(
        outbox, request.telescope.value, request.first_day_obs, request.variant.name
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    replaced = result.folder.with_name(result.folder.name + ".replaced")
    if place.exists():
        place.rename(replaced)
    result.folder.rename(place)
    shutil.rmtree(replaced, ignore_errors=True)
    return finished_simulation(
        outbox, request.telescope.value, request.first_day_obs, request.variant.name
    )


def find_finished(
    outbox: Path, telescope: str, first_day_obs: date, variant: str
) -> FinishedSimulation | None:
    """Return the finished simulation of a night and variant, `None` if none."""
    folder = _place(outbox, telescope, first_day_obs, variant)
    try:
        record = read_json(folder / _RECORD_FILE)
    except FileNotFoundError:
        return None
    for name in ("first_day_obs", "last_day_obs"):
        record[name] = date.fromisoformat(record[name])
    return FinishedSimulation(folder=folder, **record)


def finished_simulation(
    outbox: Path, telescope: str, first_day_obs: date, variant: str
) -> FinishedSimulation:
    """Return the finished simulation of a night and variant.

    Raises
    ------
    NoFinishedSimulationError
        If there is none.
    """
    found = find_finished(outbox, telescope, first_day_obs, variant)
    if found is None:
        raise NoFinishedSimulationError(
            f"no finished simulation {variant} of {telescope} for {first_day_obs} in "
            f"{outbox}: simulate the night first"
        )
    return found


def remove_older(outbox: Path, before: datetime, *, dry_run: bool) -> list[Path]:
    """Remove (or with ``dry_run`` only list) nights that were written long ago.

    Parameters
    ----------
    outbox
        Folder of finished simulations, ``telescope/night`` below it.
    before
        A night is deleted if all in it was written before this time, whatever its
        date: a night of years ago may have been simulated today.
    dry_run
        Only list the folders.
    """
    old = [
        folder
        for folder in sorted(outbox.glob("*/????-??-??"))
        if folder.is_dir() and _last_written(folder) < before.timestamp()
    ]
    if not dry_run:
        for folder in old:
            shutil.rmtree(folder)
    return old


def _last_written(folder: Path) -> float:
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))

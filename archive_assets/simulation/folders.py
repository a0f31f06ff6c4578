"""Folders of runs: private while they are written, seen by others once complete."""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archive_assets.simulation.base import SimulationRequest
from archive_assets.simulation.errors import WorkFolderError

__all__ = [
    "LOG_FILE",
    "OPSIM_FILE",
    "REWARDS_FILE",
    "publish",
    "run_name",
    "running_folder",
    "sweep_leftovers",
]

OPSIM_FILE = "opsim.db"
REWARDS_FILE = "rewards.h5"
LOG_FILE = "simulation.log"

_PREFIX = ".running-"
_NEW_PREFIX = ".new"
_NEW_FOR_S = 3600
_LOCK_FILE = ".lock"


def run_name(request: SimulationRequest) -> str:
    """Return a new name for the folder of a run."""
    return (
        f"{request.first_day_obs:%Y%m%d}-{request.telescope}-{request.variant.name}"
        f"-{secrets.token_hex(4)}"
    )


@contextmanager
def running_folder(work_folder: Path, name: str) -> Iterator[Path]:
    """Give a new private folder; it is deleted unless it is published.

    Leftovers of runs that were killed are removed first.

    Raises
    ------
    WorkFolderError
        If the work folder cannot be written to.
    """
    folder = work_folder / f"{_PREFIX}{name}"
    try:
        work_folder.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(work_folder)
        lock = _make_locked(folder)
    except OSError as error:
        raise WorkFolderError(
            f"cannot write to the work folder {work_folder}: {error.strerror}"
        ) from error
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _make_locked(folder: Path) -> int:
    """Make a folder that has its name only once its lock is held; return the lock."""
    fresh = folder.with_name(f"{_NEW_PREFIX}{folder.name}")
    fresh.mkdir(mode=0o700)
    lock = os.open(fresh / _LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    fresh.rename(folder)
    return lock


def publish(folder: Path, keep: tuple[str, ...]) -> Path:
    """Move the named files of a private folder to its public place, in one step."""
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()
    target = folder.with_name(folder.name.removeprefix(_PREFIX))
    folder.rename(target)
    return target


def sweep_leftovers(work_folder: Path) -> list[Path]:
    """Remove the private folders of runs that are no longer there."""
    removed = []
    for folder in work_folder.glob(f"{_PREFIX}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    for folder in work_folder.glob(f"{_NEW_PREFIX}{_PREFIX}*"):
        with suppress(FileNotFoundError):  # it has its name by now
            if time.time() - folder.stat().st_mtime > _NEW_FOR_S:
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return False  # just being made, or just being removed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)

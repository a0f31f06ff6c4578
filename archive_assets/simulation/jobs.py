"""How a simulation's process learns what to do, and reports what it did: JSON files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from archive_assets.simulation.base import Progress, SimulationRequest
from pipeline_runtime.documents import read_json

__all__ = ["Job", "read_progress", "write_progress"]

JOB_FILE = "job.json"
PROGRESS_FILE = "progress.json"
REPORT_FILE = "report.json"
ERROR_FILE = "error.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request, and the script of its scheduler if it has one."""

    request: SimulationRequest
    script: Path | None = None

    def write(self, folder: Path) -> None:
        """Write the job into the folder in which it is to run."""
        (folder / JOB_FILE).write_bytes(TypeAdapter(Job).dump_json(self))

    @classmethod
    def read(cls, folder: Path) -> "Job":
        """Read the job of a folder."""
        return TypeAdapter(Job).validate_json((folder / JOB_FILE).read_bytes())


def write_progress(folder: Path, progress: Progress) -> None:
    """Replace the progress of a job in one step."""
    _write_json(
        folder / PROGRESS_FILE,
        {
            "n_visits": progress.n_visits,
            "mjd": progress.mjd,
            "fraction": progress.fraction,
        },
    )


def read_progress(folder: Path) -> Progress | None:
    """Return the progress of a job; None before the first visit."""
    try:
        return Progress(**read_json(folder / PROGRESS_FILE))
    except FileNotFoundError:
        return None


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write what a job did: the last of its files."""
    _write_json(folder / REPORT_FILE, report)


def read_report(folder: Path) -> dict[str, Any] | None:
    """Return what a job did; None if it did not come to its end."""
    return _read_json(folder / REPORT_FILE)


def write_error(folder: Path, kind: str, reason: str) -> None:
    """Write why a job failed."""
    _write_json(folder / ERROR_FILE, {"kind": kind, "reason": reason})


def read_error(folder: Path) -> dict[str, Any] | None:
    """Return why a job failed; None if it did not say."""
    return _read_json(folder / ERROR_FILE)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value, default=str))
    fresh.replace(path)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        return None
    return value

"""How a simulation came about: software, configuration, machine and cost."""

import getpass
import hashlib
import importlib.metadata
import json
import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from archive_assets.simulation.base import SimulationRequest
from archive_assets.simulation.site_data.files import is_synthetic
from pipeline_runtime.documents import open_regular, read_json
from pipeline_runtime.environment import text_of
from pipeline_runtime.urls import without_credentials

__all__ = [
    "OPSIM_FILE_DRIVER",
    "environment_json",
    "package_versions",
    "provenance",
    "provenance_of_file",
    "request_digest",
    "scheduler_version",
]

OPSIM_FILE_DRIVER = "opsim_file"

_CONDA_KEYS = (
    "name",
    "version",
    "channel",
    "base_url",
    "platform",
    "dist_name",
    "build_number",
    "build_string",
)


@cache
def _distributions() -> Mapping[str, str]:
    return {
        distribution.metadata["Name"]: distribution.version
        for distribution in importlib.metadata.distributions()
    }


def _conda_packages(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what conda installed; nothing if Python does not come from conda."""
    prefix = text_of("CONDA_PREFIX", environ)
    found = {}
    for path in sorted(Path(prefix, "conda-meta").glob("*.json")) if prefix else ():
        entry = read_json(path)
        found[str(entry["name"])] = {
            key: entry[key] for key in _CONDA_KEYS if key in entry
        }
    return found


def environment_json(environ: Mapping[str, str] = os.environ) -> str:
    """Return every installed package as JSON, as ``conda list --json`` does.

    Those of conda where there is one, and those that pip installed besides, with the
    channel ``pypi``. Sorted by name: the same environment gives the same text.
    """
    packages = _conda_packages(environ)
    known = {name.lower().replace("_", "-") for name in packages}
    for name, version in _distributions().items():
        if name.lower().replace("_", "-") not in known:
            packages[name] = {"name": name, "version": version, "channel": "pypi"}
    ordered = sorted(packages.items(), key=lambda item: (item[0].lower(), item[0]))
    found = json.dumps([package for _, package in ordered], sort_keys=True)
    return without_credentials(found)  # of private channels


def package_versions(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the version of every installed package by name."""
    packages = json.loads(environment_json(environ))
    return {package["name"]: package["version"] for package in packages}


def scheduler_version() -> str:
    """Return the version of rubin_scheduler, without importing it."""
    return importlib.metadata.version("rubin-scheduler")


def request_digest(request: SimulationRequest, config_url: str | None) -> str:
    """Return a hex digest of everything that decides which visits come out.

    Two requests with the same digest make the same visits; places of folders and
    limits do not count.
    """
    parent = request.parent
    decisive = {
        "first_day_obs": request.first_day_obs,
        "n_nights": request.n_nights,
        "telescope": request.telescope,
        "variant": asdict(request.variant),
        "scheduler": config_url or asdict(request.scheduler),
        "parent": None if parent is None else _file_digest(parent.path),
        "seed": request.seed,
        "survey_start_day_obs": request.survey_start_day_obs,
        "synthetic_site_data": is_synthetic(request.site_data),
        "rubin_scheduler": scheduler_version(),
    }
    text = json.dumps(decisive, default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(
    request: SimulationRequest,
    *,
    driver: str,
    config_url: str | None,
    report: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what is recorded with the visits; only values that JSON can hold.

    Parameters
    ----------
    driver
        Which kind of driver made them.
    config_url
        Where the scheduler's configuration script is, with its commit.
    report
        What the simulation's process said of itself.
    """
    parent = request.parent
    return _plain(
        {
            "driver": driver,
            "scheduler_version": scheduler_version(),
            "config_url": config_url,
            "seed": request.seed,
            "variant": asdict(request.variant),
            "sim_runner_kwargs": report.get("sim_runner_kwargs", {}),
            "nside": report.get("nside"),
            "survey_start_day_obs": request.survey_start_day_obs,
            "site_data": "synthetic" if is_synthetic(request.site_data) else "real",
            "parent_last_day_obs": None if parent is None else parent.last_day_obs,
            "parent_visitseq_uuid": None if parent is None else parent.visitseq_uuid,
            "n_parent_visits": report.get("n_parent_visits", 0),
            "request_digest": request_digest(request, config_url),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "packages": package_versions(),
            **_here(),
        }
    )


def provenance_of_file(request: SimulationRequest, path: Path) -> dict[str, Any]:
    """Return what is recorded with visits of a file that someone else made.

    Its scheduler, site data and packages are not known, and none are named.
    """
    digest = f"{request_digest(request, None)} {_file_digest(path)}"
    return _plain(
        {
            "driver": OPSIM_FILE_DRIVER,
            "variant": asdict(request.variant),
            "opsim_file": str(path.resolve()),
            "request_digest": hashlib.sha256(digest.encode()).hexdigest(),
            **_here(),
        }
    )


def _here() -> dict[str, str]:
    return {"host": socket.gethostname(), "user": getpass.getuser()}


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain

"""Run a simulation by hand and put its results in a folder, with a YAML about it."""

import getpass
import hashlib
import lzma
import math
import pickle
import shutil
import socket
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from numbers import Integral, Number
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import numpy as np
import pandas as pd
import yaml
from lsst.resources import ResourcePath
from numpy.typing import NDArray

from archive_assets.errors import ArchiveError
from visit_tables.hdf5.rewards import write_rewards

__all__ = ["LeftoverFileError", "drive_sim", "make_sim_data_dir"]

_EPOCH = date(1858, 11, 17)


class LeftoverFileError(ArchiveError, FileExistsError):
    """A results folder holds the file of an earlier simulation."""


def make_sim_data_dir(  # noqa: PLR0917 - the original's order
    observations: NDArray[np.void],
    reward_df: pd.DataFrame | None = None,
    obs_rewards: "pd.Series[Any] | pd.DataFrame | None" = None,
    in_files: Mapping[str, str | Path] | None = None,
    sim_runner_kwargs: Mapping[str, object] | None = None,
    tags: Sequence[str] = (),
    label: str | None = None,
    data_path: str | Path | None = None,
    opsim_metadata: Mapping[str, object] | None = None,
) -> "Path | TemporaryDirectory[str]":
    """Write a simulation's results and a YAML about them to a folder.

    Parameters
    ----------
    observations
        Visits in the scheduler's form (angles in radians).
    reward_df, obs_rewards
        Rewards, written to ``rewards.h5`` when both are given.
    in_files
        More files to copy, by type.
    sim_runner_kwargs
        How it was run; gives the nights with ``sim_start_mjd`` and ``sim_duration``.
    tags, label, opsim_metadata
        What the YAML is to hold besides.
    data_path
        Folder to fill; a temporary one by default.

    Returns
    -------
    folder
        The path, or the temporary folder, which is deleted when it is forgotten.

    Raises
    ------
    LeftoverFileError
        If the folder holds results of another simulation: nothing is added to them.
    TypeError
        If a tag or the label is not text.
    """
    if any(not isinstance(tag, str) for tag in tags):
        raise TypeError(f"Tags must be strings: {tags!r}")
    if label is not None and not isinstance(label, str):
        raise TypeError(f"The sim label must be a string: {label!r}")
    temporary = None
    if data_path is None:
        temporary = TemporaryDirectory(prefix="sim-data-")
        data_path = temporary.name
    folder = Path(data_path)
    files = _write_results(folder, observations, reward_df, obs_rewards)
    for file_type, origin in (in_files or {}).items():
        target = folder / Path(origin).name
        if not (target.exists() and target.samefile(origin)):
            shutil.copyfile(origin, target)
        files[file_type] = {"name": target.name}
    for entry in files.values():
        content = (folder / entry["name"]).read_bytes()
        entry["md5"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    kwargs = dict(sim_runner_kwargs or {})
    metadata: dict[str, object] = {
        **(opsim_metadata or {}),
        "scheduler_version": _scheduler_version(),
        "host": socket.getfqdn(),
        "username": getpass.getuser(),
        "simulated_dates": _nights(observations, kwargs),
        "files": files,
    }
    if kwargs:
        metadata["sim_runner_kwargs"] = {k: _plain(v) for k, v in kwargs.items()}
    if tags:
        metadata["tags"] = list(tags)
    if label is not None:
        metadata["label"] = label
    (folder / "sim_metadata.yaml").write_text(yaml.safe_dump(metadata, indent=4))
    return folder if temporary is None else temporary


def _write_results(
    folder: Path,
    observations: NDArray[np.void],
    reward_df: pd.DataFrame | None,
    obs_rewards: "pd.Series[Any] | pd.DataFrame | None",
) -> dict[str, dict[str, str]]:
    from archive_assets.simulation.opsim_out import (  # noqa: PLC0415 - takes 3 CPU s
        opsim_frame,
        write_opsim,
    )

    files = {"observations": {"name": "opsim.db"}}
    opsim = folder / "opsim.db"
    if opsim.exists():
        raise LeftoverFileError(f"{opsim} exists: visits are not added to others")
    visits = opsim_frame(observations)
    write_opsim(opsim, visits)
    if reward_df is not None and obs_rewards is not None:
        files["rewards"] = {"name": "rewards.h5"}
        write_rewards(folder / "rewards.h5", reward_df, obs_rewards)
    files["statistics"] = {"name": "obs_stats.txt"}
    visits.describe().T.to_csv(folder / "obs_stats.txt", sep="\t")
    return files


def _scheduler_version() -> str:
    from archive_assets.simulation.provenance import scheduler_version  # noqa: PLC0415 - heavy

    return scheduler_version()


def _nights(
    observations: NDArray[np.void], kwargs: Mapping[str, Any]
) -> dict[str, str]:
    """Return the first and last night (day_obs), in ISO form."""
    if "sim_start_mjd" not in kwargs:
        mjds = observations["mjd"]
        return {"first": _night(float(mjds.min())), "last": _night(float(mjds.max()))}
    start = float(kwargs["sim_start_mjd"])
    nights = {"first": _night(start)}
    if "sim_duration" in kwargs:
        nights["last"] = _night(start + float(kwargs["sim_duration"]) - 1)
    return nights


def _night(mjd: float) -> str:
    return (_EPOCH + timedelta(days=math.floor(mjd - 0.5))).isoformat()


def _plain(value: object) -> object:
    match value:
        case bool():
            return value
        case Integral():
            return int(value)
        case Number():
            return float(value)  # type: ignore[arg-type] # numpy's numbers
        case _:
            return str(value)


def drive_sim(  # noqa: PLR0917 - the original's order
    observatory: Any,
    scheduler: Any,
    label: str | None = None,
    tags: Sequence[str] = (),
    script: str | None = None,
    notebook: str | None = None,
    opsim_metadata: Mapping[str, object] | None = None,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Run a simulation and put its results in a folder of their own.

    Parameters
    ----------
    observatory, scheduler
        Of ``rubin_scheduler``; the scheduler is pickled as it is before the run.
    label, tags, opsim_metadata
        As `make_sim_data_dir`.
    script, notebook
        Files that made this simulation, to keep with it.
    **kwargs
        Arguments of ``sim_runner``.

    Returns
    -------
    results
        What ``sim_runner`` returns, and then the folder, which stays until it is
        removed.

    Raises
    ------
    ValueError
        If rewards are to be recorded of a scheduler that does not keep them.
    """
    from rubin_scheduler.scheduler import sim_runner  # noqa: PLC0415 - 3 s

    kwargs.setdefault("record_rewards", scheduler.keep_rewards)
    if kwargs["record_rewards"] and not scheduler.keep_rewards:
        raise ValueError("To keep rewards, scheduler.keep_rewards must be True")
    in_files = {
        name: path
        for name, path in (("script", script), ("notebook", notebook))
        if path is not None
    }
    results_folder = Path(mkdtemp(prefix="drive-sim-results-"))
    with TemporaryDirectory(prefix="drive-sim-") as folder:
        before = Path(folder) / "scheduler.pickle.xz"
        with lzma.open(before, "wb") as stream:
            pickle.dump(scheduler, stream)
        results = tuple(sim_runner(observatory, scheduler, **kwargs))
        keeps = bool(kwargs["record_rewards"])
        make_sim_data_dir(
            results[2],
            reward_df=results[3] if keeps else None,
            obs_rewards=results[4] if keeps else None,
            in_files={**in_files, "scheduler": str(before)},
            sim_runner_kwargs=kwargs,
            tags=tags,
            label=label,
            data_path=results_folder,
            opsim_metadata=opsim_metadata,
        )
    return (*results, ResourcePath(str(results_folder), forceDirectory=True))

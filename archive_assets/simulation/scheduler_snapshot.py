"""Schedulers to make a snapshot of: from a configuration, told of completed visits."""

import argparse
from pathlib import Path
from typing import Any

from archive_assets.simulation.base import (
    SURVEY_START_DAY_OBS,
    BuiltinScheduler,
    ScriptFile,
    ScriptInRepository,
)
from archive_assets.simulation.config_script import ConfigPlaces, checked_out_script
from archive_assets.simulation.snapshots import save_snapshot

__all__ = [
    "add_make_scheduler_snapshot_args",
    "get_scheduler",
    "get_scheduler_from_config",
    "get_scheduler_instance_from_repo",
    "save_scheduler",
]

# rubin_scheduler has no annotations: its CoreScheduler is Any here
Scheduler = Any


def get_scheduler_from_config(
    config_script_path: str | Path, places: ConfigPlaces | None = None
) -> tuple[int, Scheduler]:
    """Return nside and scheduler of a configuration script on this machine.

    Parameters
    ----------
    config_script_path
        The script.
    places
        From where scripts may come; by default ``$PRENIGHT_CONFIG_PLACES``.

    Raises
    ------
    SchedulerConfigError
        If the script is not in an allowed place, raises, or has no scheduler.
    """
    from archive_assets.simulation.scheduler import (  # noqa: PLC0415 - takes 3 CPU s
        scheduler_from_script,
    )

    source = ScriptFile(path=Path(config_script_path))
    with checked_out_script(source, places or ConfigPlaces.from_environment()) as found:
        return scheduler_from_script(_path_of(found.script))


def get_scheduler_instance_from_repo(
    config_repo: str,
    config_script: str,
    config_ref: str = "main",
    places: ConfigPlaces | None = None,
) -> tuple[int, Scheduler]:
    """Return nside and scheduler of a configuration script in a git repository.

    Parameters
    ----------
    config_repo
        URL or folder of the repository.
    config_script
        Path of the script in it.
    config_ref
        Branch, tag or commit.
    places
        From where scripts may come; by default ``$PRENIGHT_CONFIG_PLACES``.
    """
    from archive_assets.simulation.scheduler import (  # noqa: PLC0415 - takes 3 CPU s
        scheduler_from_script,
    )

    source = ScriptInRepository(
        repository=config_repo, script=config_script, ref=config_ref
    )
    with checked_out_script(source, places or ConfigPlaces.from_environment()) as found:
        return scheduler_from_script(_path_of(found.script))


def _path_of(script: Path | None) -> Path:
    if script is None:
        raise TypeError("a script has a path")
    return script


def get_scheduler(
    config_repo: str | None = None,
    config_script: str | None = None,
    config_ref: str = "main",
    visits_db: str | Path | None = None,
) -> Scheduler:
    """Return a scheduler, told of the visits that were completed.

    Parameters
    ----------
    config_repo, config_script, config_ref
        Where its configuration is; without any, it is the built-in example.
    visits_db
        Opsim file or ``visits.h5`` with the completed visits.

    Raises
    ------
    ValueError
        If there is a repository but no script.
    """
    from archive_assets.simulation.preload import (  # noqa: PLC0415 - takes 3 CPU s
        preloaded_observations,
        read_completed_visits,
    )
    from archive_assets.simulation.scheduler import builtin_scheduler  # noqa: PLC0415

    if config_repo and not config_script:
        raise ValueError("a config_repo needs a config_script")
    if config_repo and config_script:
        _, scheduler = get_scheduler_instance_from_repo(
            config_repo, config_script, config_ref
        )
    elif config_script:
        _, scheduler = get_scheduler_from_config(config_script)
    else:
        scheduler = builtin_scheduler(
            nside=BuiltinScheduler().nside,
            survey_start=SURVEY_START_DAY_OBS,
        )
    if visits_db is not None:
        visits = read_completed_visits(Path(visits_db))
        if len(visits) > 0:
            scheduler.add_observations_array(preloaded_observations(visits))
    return scheduler


def save_scheduler(scheduler: Scheduler, file_name: str | Path) -> None:
    """Pickle a scheduler, as the original does.

    Parameters
    ----------
    scheduler
        A scheduler of rubin_scheduler.
    file_name
        Where to; compressed if the name ends with .bz2, .xz or .gz.
    """
    save_snapshot(scheduler, Path(file_name))


def add_make_scheduler_snapshot_args(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scheduler_snapshot`` to another program's parser.

    Parameters
    ----------
    parser
        Is changed in place.
    """
    parser.add_argument(
        "--scheduler_fname", default="scheduler.pickle.xz", help="file to write"
    )
    parser.add_argument("--repo", default=None, help="git repository of the script")
    parser.add_argument("--script", default=None, help="configuration script")
    parser.add_argument("--ref", default="main", help="branch, tag or commit")
    parser.add_argument("--visits", default=None, help="file of completed visits")

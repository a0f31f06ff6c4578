"""The scheduler of a simulation: the built-in example, or a site's script.

Imports rubin_scheduler (3 CPU s): for the process of a simulation, and snapshots.
"""

import importlib.util
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from rubin_scheduler.scheduler.detailers import RotspUpdateDetailer
from rubin_scheduler.scheduler.example import (
    simple_greedy_survey,
    simple_pairs_survey,
)
from rubin_scheduler.scheduler.schedulers import BaseQueueManager, CoreScheduler
from rubin_scheduler.utils import rotation_converter

from archive_assets.simulation.errors import SchedulerConfigError
from archive_assets.simulation.site_data.files import day_obs_mjd

__all__ = ["DEFAULT_SEED", "builtin_scheduler", "scheduler_from_script"]

DEFAULT_SEED = 42  # what rubin_scheduler's examples use
_PAIRS = (("g", "r"), ("r", "i"), ("i", "z"))
_GREEDY = "griz"


def builtin_scheduler(
    *,
    nside: int,
    survey_start: date,
    telescope: str = "rubin",
    keep_rewards: bool = False,
    seed: int = DEFAULT_SEED,
) -> CoreScheduler:
    """Return the example scheduler: pairs of visits, greedy ones where none fit.

    Parameters
    ----------
    nside
        HEALPix resolution of the reward maps.
    survey_start
        Night from which the survey counts.
    telescope
        Name of the camera rotation, ``rubin`` or ``auxtel``.
    keep_rewards
        Keep each survey's rewards, so that they can be recorded.
    seed
        Seed of the tessellation of the sky.
    """
    common = {"nside": nside, "survey_start": day_obs_mjd(survey_start)}
    surveys = [
        [simple_pairs_survey(bandname=a, bandname2=b, **common) for a, b in _PAIRS],
        [simple_greedy_survey(bandname=band, **common) for band in _GREEDY],
    ]
    for survey in (survey for tier in surveys for survey in tier):
        for detailer in survey.detailers:
            # the examples of rubin_scheduler 4.6 are of the simonyi telescope only
            if hasattr(detailer, "rc"):
                detailer.rc = rotation_converter(telescope=telescope)
        if seed != DEFAULT_SEED:
            _tessellate_anew(survey, seed)
    return CoreScheduler(
        surveys,
        nside=nside,
        keep_rewards=keep_rewards,
        telescope=telescope,
        survey_start_mjd=common["survey_start"],
        queue_manager=BaseQueueManager(
            detailers=[RotspUpdateDetailer(telescope=telescope)]
        ),
    )


def _tessellate_anew(survey: Any, seed: int) -> None:  # rubin_scheduler has no types
    """Draw the sky's rotation of each night as the survey's constructor does."""
    rng = np.random.default_rng(seed)
    shape = survey.lon.shape
    survey.lon = rng.random(shape) * np.pi * 2
    survey.lat = np.arccos(2.0 * rng.random(shape) - 1.0)
    survey.lon2 = rng.random(shape) * np.pi * 2


def scheduler_from_script(path: Path) -> tuple[int, CoreScheduler]:
    """Run a configuration script and return its nside and scheduler.

    The script runs as a module named ``config``, as at the observatory. It leaves
    ``nside`` and ``scheduler``, or has a function ``get_scheduler`` that returns both.

    Raises
    ------
    SchedulerConfigError
        If it cannot be loaded, raises, or has no scheduler.
    """
    spec = importlib.util.spec_from_file_location("config", path)
    if spec is None or spec.loader is None:
        raise SchedulerConfigError(f"{path} is not a Python script")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent)
    sys.path.insert(0, folder)  # site scripts import their neighbours
    try:
        spec.loader.exec_module(module)
        nside, scheduler = _taken_from(vars(module), path)
    except SchedulerConfigError:
        raise
    except (Exception, SystemExit) as error:  # whatever foreign code raises
        raise SchedulerConfigError(
            f"{path} raised {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(folder)
    if not isinstance(scheduler, CoreScheduler):
        raise SchedulerConfigError(
            f"{path} gave a {type(scheduler).__name__} as scheduler, "
            "not a rubin_scheduler CoreScheduler"
        )
    return int(nside), scheduler


def _taken_from(names: dict[str, Any], path: Path) -> tuple[Any, Any]:
    if "scheduler" in names:
        scheduler = names["scheduler"]
        return names.get("nside", getattr(scheduler, "nside", None)), scheduler
    if "get_scheduler" in names:
        nside, scheduler = names["get_scheduler"]()
        return nside, scheduler
    raise SchedulerConfigError(
        f"{path} has no scheduler: it must set scheduler (and nside), "
        "or define get_scheduler()"
    )

"""Run rubin_scheduler for one request, and write what it did.

This is the only place where a night is simulated. It runs in a process of its own:
see `archive_assets.simulation.worker`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.time import Time
from numpy.typing import NDArray
from rubin_scheduler.scheduler import sim_runner
from rubin_scheduler.scheduler.features import Conditions
from rubin_scheduler.scheduler.schedulers import (
    BandSwapScheduler,
    CoreScheduler,
    DateSwapBandScheduler,
    SimpleBandSched,
)
from rubin_scheduler.scheduler.utils import run_info_table
from typing_extensions import override

from archive_assets.simulation.base import (
    AnomalousOverhead,
    BandSwaps,
    BuiltinScheduler,
    Progress,
    SimulationRequest,
)
from archive_assets.simulation.folders import OPSIM_FILE, REWARDS_FILE
from archive_assets.simulation.observatory import model_observatory
from archive_assets.simulation.opsim_out import opsim_frame, write_opsim
from archive_assets.simulation.overhead import AnomalousOverheadFunc, no_overlap
from archive_assets.simulation.preload import (
    preloaded_observations,
    read_parent_visits,
)
from archive_assets.simulation.scheduler import (
    builtin_scheduler,
    scheduler_from_script,
)
from archive_assets.simulation.start_and_end import read_almanac, sim_start_and_duration
from visit_tables.hdf5 import rewards

__all__ = ["Outcome", "run_request", "write_rewards"]

_VISITS_PER_NIGHT = 2000  # room at first; sim_runner adds more when it is full


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a simulation did: visits and the arguments of ``sim_runner``."""

    n_visits: int
    has_rewards: bool
    sim_runner_kwargs: dict[str, Any]  # JSON
    nside: int
    n_parent_visits: int


class _ReportingBandScheduler(BandSwapScheduler):  # type: ignore[misc] # no annotations
    """Swaps bands as another does, and reports progress about once a second."""

    def __init__(
        self,
        swaps: BandSwapScheduler,
        begin: float,
        end: float,
        report: Callable[[Progress], None],
    ) -> None:
        super().__init__()
        self._swaps = swaps
        self._begin, self._end, self._report = begin, end, report
        self._n_visits = 0
        self._next_report = 0.0

    @override
    def __call__(self, conditions: Conditions) -> list[str]:
        return list(self._swaps(conditions))

    @override
    def add_observation(self, observation: NDArray[np.void]) -> None:
        self._swaps.add_observation(observation)
        self._n_visits += 1
        if (now := time.monotonic()) < self._next_report:
            return
        self._next_report = now + 1
        mjd = float(observation["mjd"][0])
        done = (mjd - self._begin) / (self._end - self._begin)
        self._report(
            Progress(n_visits=self._n_visits, mjd=mjd, fraction=min(max(done, 0), 1))
        )


def run_request(
    request: SimulationRequest,
    script: Path | None,
    folder: Path,
    report: Callable[[Progress], None],
) -> Outcome:
    """Simulate, and write `OPSIM_FILE` and perhaps `REWARDS_FILE` into a folder.

    Parameters
    ----------
    request
        What to simulate; its site data are those of ``$RUBIN_SIM_DATA_DIR``.
    script
        Configuration script, if the scheduler is not the built-in one.
    folder
        An empty folder.
    report
        Called with the progress.
    """
    variant = request.variant
    nside, scheduler = _scheduler(request, script)
    n_parent_visits = _preload(scheduler, request)
    start_mjd, duration = sim_start_and_duration(
        read_almanac(request.site_data),
        request.first_day_obs,
        request.n_nights,
        variant.delay_minutes,
    )
    observatory = model_observatory(
        variant.observatory,
        day_obs=request.first_day_obs,
        n_nights=request.n_nights,
        nside=nside,
        survey_start=request.survey_start_day_obs,
        telescope=request.telescope.rotation_name,
    )
    runner_kwargs = {
        "sim_start_mjd": start_mjd,
        "sim_duration": duration,
        "record_rewards": variant.rewards,
        "telescope": request.telescope.rotation_name,
    }
    results = sim_runner(
        observatory,
        scheduler,
        band_scheduler=_ReportingBandScheduler(
            _band_scheduler(variant.bands), start_mjd, start_mjd + duration, report
        ),
        anomalous_overhead_func=no_overlap(
            _overhead_func(variant.anomalous_overhead), observatory
        ),
        start_result_size=_VISITS_PER_NIGHT * request.n_nights,
        append_result_size=_VISITS_PER_NIGHT * request.n_nights,
        verbose=False,
        save_on_fail=False,
        **runner_kwargs,
    )
    observations = results[2]
    visits = opsim_frame(observations)
    write_opsim(folder / OPSIM_FILE, visits, run_info_table(observatory))
    has_rewards = variant.rewards and len(observations) > 0
    if has_rewards:
        write_rewards(folder / REWARDS_FILE, results[3], results[4])
    return Outcome(
        n_visits=len(observations),
        has_rewards=has_rewards,
        sim_runner_kwargs=runner_kwargs,
        nside=nside,
        n_parent_visits=n_parent_visits,
    )


def _band_scheduler(swaps: BandSwaps) -> BandSwapScheduler:
    by_moon = SimpleBandSched(illum_limit=swaps.moon_illumination)
    if swaps.until is None:
        return by_moon
    return DateSwapBandScheduler(
        swap_schedule={day.isoformat(): list(bands) for day, bands in swaps.mounted},
        end_date=Time(f"{swaps.until}T12:00:00", scale="tai"),
        backup_band_scheduler=by_moon,
    )


def _scheduler(
    request: SimulationRequest, script: Path | None
) -> tuple[int, CoreScheduler]:
    np.random.seed(request.seed % 2**32)  # noqa: NPY002 - for site scripts that use it
    if script is not None:
        nside, scheduler = scheduler_from_script(script)
        scheduler.keep_rewards = request.variant.rewards
        return nside, scheduler
    if not isinstance(request.scheduler, BuiltinScheduler):
        raise TypeError("a request with a script needs the script's path")
    nside = request.scheduler.nside
    return nside, builtin_scheduler(
        nside=nside,
        survey_start=request.survey_start_day_obs,
        telescope=request.telescope.rotation_name,
        keep_rewards=request.variant.rewards,
        seed=request.seed,
    )


def _preload(scheduler: CoreScheduler, request: SimulationRequest) -> int:
    if request.parent is None:
        return 0
    visits = read_parent_visits(request.parent.path, request.first_day_obs)
    if len(visits) > 0:
        scheduler.add_observations_array(preloaded_observations(visits))
    return len(visits)


def _overhead_func(overhead: AnomalousOverhead | None) -> AnomalousOverheadFunc | None:
    match overhead:
        case None:
            return None
        case AnomalousOverhead(fraction=float() as fraction, seed=seed):
            return AnomalousOverheadFunc(seed, slew_scale=fraction)
        case AnomalousOverhead(seconds=float() as seconds, seed=seed):
            return AnomalousOverheadFunc(
                seed, scatter_kwargs={"scale": seconds, "loc": 0.0}
            )
        case _:
            raise TypeError(f"no scale in {overhead}")


def write_rewards(
    path: Path, reward_df: pd.DataFrame, obs_rewards: "pd.Series[int]"
) -> None:
    """Write ``rewards.h5``, readable with `pandas.read_hdf` and free of pickles."""
    path.touch(exist_ok=False)
    rewards.write_rewards(path, reward_df, obs_rewards)

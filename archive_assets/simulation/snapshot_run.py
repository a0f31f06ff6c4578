"""Simulate nights from a pickled scheduler and a pickled observatory."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_assets.simulation.base import Telescope
from archive_assets.simulation.errors import (
    SimulationRangeError,
    VariantError,
    WorkFolderError,
)
from archive_assets.simulation.overhead import AnomalousOverheadFunc, no_overlap
from archive_assets.simulation.snapshots import load_snapshot
from archive_assets.simulation.start_and_end import compute_sim_start_and_end

__all__ = ["SnapshotRun", "run_from_snapshots"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRun:
    """The arguments of ``run_prenight_sim``."""

    scheduler: Path
    observatory: Path
    day_obs: int
    sim_nights: int
    keep_rewards: bool = False
    telescope: str = Telescope.SIMONYI
    label: str = ""
    delay_minutes: float = 0.0
    anom_overhead_scale: float = 0.0
    anom_overhead_scatter_s: float = 0.0
    anom_overhead_seed: int = 1
    tags: tuple[str, ...] = ()
    results: Path | None = None

    def __post_init__(self) -> None:
        if self.telescope not in set(Telescope):
            raise VariantError(
                f"there is no telescope {self.telescope!r}: "
                f"choose from {', '.join(Telescope)}"
            )
        if self.anom_overhead_scale > 1:
            raise SimulationRangeError(
                f"anom_overhead_scale is a fraction of the slew time, at most 1, not "
                f"{self.anom_overhead_scale:g}: for seconds use anom_overhead_scatter"
            )

    @property
    def overhead_func(self) -> AnomalousOverheadFunc | None:
        """What is added to each visit's overhead; None adds nothing."""
        if not (self.anom_overhead_scale or self.anom_overhead_scatter_s):
            return None
        return AnomalousOverheadFunc(
            self.anom_overhead_seed,
            slew_scale=self.anom_overhead_scale,
            scatter_kwargs={"scale": self.anom_overhead_scatter_s, "loc": 0.0},
        )


def run_from_snapshots(run: SnapshotRun) -> Path:
    """Simulate, and return the folder of the results.

    Raises
    ------
    SnapshotError
        If a snapshot may not be loaded.
    SimulationRangeError
        If the site data do not have the nights.
    WorkFolderError
        If the results' folder has files in it.
    """
    start_mjd, duration = compute_sim_start_and_end(
        run.day_obs, run.sim_nights, run.delay_minutes
    )
    if run.results is not None and run.results.exists() and any(run.results.iterdir()):
        raise WorkFolderError(
            f"{run.results} is not empty: results are never added to other files"
        )
    scheduler = load_snapshot(run.scheduler)
    observatory = load_snapshot(run.observatory)
    return _simulated(run, scheduler, observatory, start_mjd, duration)


def _simulated(
    run: SnapshotRun,
    scheduler: Any,  # rubin_scheduler has no annotations
    observatory: Any,
    start_mjd: float,
    duration: float,
) -> Path:
    from rubin_scheduler.scheduler import sim_runner  # noqa: PLC0415 - takes 3 CPU s

    from archive_assets.simulation.sim_data import make_sim_data_dir  # noqa: PLC0415

    scheduler.keep_rewards = run.keep_rewards
    observatory.mjd = start_mjd
    kwargs = {
        "sim_start_mjd": start_mjd,
        "sim_duration": duration,
        "record_rewards": run.keep_rewards,
        "telescope": Telescope(run.telescope).rotation_name,
    }
    results = sim_runner(
        observatory,
        scheduler,
        anomalous_overhead_func=no_overlap(run.overhead_func, observatory),
        start_result_size=2000 * run.sim_nights,
        append_result_size=2000 * run.sim_nights,
        verbose=False,
        save_on_fail=False,
        **kwargs,
    )
    rewards = (None, None) if not run.keep_rewards else results[3:5]
    fresh = Path(tempfile.mkdtemp(prefix="prenight-"))
    make_sim_data_dir(
        results[2],
        reward_df=rewards[0],
        obs_rewards=rewards[1],
        in_files={"scheduler": str(run.scheduler), "observatory": str(run.observatory)},
        sim_runner_kwargs=kwargs,
        tags=list(run.tags),
        label=run.label or None,
        data_path=fresh,
        opsim_metadata={"telescope": run.telescope},
    )
    if run.results is None:
        return fresh
    run.results.parent.mkdir(parents=True, exist_ok=True)
    if run.results.exists():
        run.results.rmdir()
    return Path(shutil.move(fresh, run.results))

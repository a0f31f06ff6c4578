"""Simulations of visits: drivers that make a visits table, whoever keeps it.

`simulate` runs one request; `archive_assets.simulation.drivers` has who can run it,
`archive_assets.simulation.variants` has the usual ones.
"""

from collections.abc import Callable

from archive_assets.simulation.base import (
    AnomalousOverhead,
    BandSwaps,
    BuiltinScheduler,
    Limits,
    ObservatoryOptions,
    ParentVisits,
    Progress,
    SchedulerSource,
    ScriptFile,
    ScriptInRepository,
    SimulationDriver,
    SimulationRequest,
    SimulationResult,
    SiteModel,
    Telescope,
    Variant,
)
from archive_assets.simulation.config_script import ConfigPlaces

__all__ = [
    "AnomalousOverhead",
    "BandSwaps",
    "BuiltinScheduler",
    "ConfigPlaces",
    "Limits",
    "ObservatoryOptions",
    "ParentVisits",
    "Progress",
    "SchedulerSource",
    "ScriptFile",
    "ScriptInRepository",
    "SimulationDriver",
    "SimulationRequest",
    "SimulationResult",
    "SiteModel",
    "Telescope",
    "Variant",
    "simulate",
]


def simulate(
    request: SimulationRequest,
    driver: SimulationDriver | None = None,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> SimulationResult:
    """Simulate one variant of some nights, by default with rubin_scheduler.

    The visits are in an opsim file in a new folder under the request's work folder;
    the caller deletes that folder when done with it.

    Parameters
    ----------
    request
        What to simulate.
    driver
        Who does it.
    on_progress
        Called about once a second.
    is_cancelled
        Asked a few times a second; True ends the simulation.

    Raises
    ------
    ArchiveError
        With the reason; nothing is left in the work folder.
    """
    if driver is None:
        from archive_assets.simulation.drivers import (  # noqa: PLC0415 - numpy, h5py
            RubinSchedulerDriver,
        )

        driver = RubinSchedulerDriver(places=ConfigPlaces.from_environment())
    return driver.simulate(request, on_progress=on_progress, is_cancelled=is_cancelled)

"""Synthetic site data of a night, shared by the tests of simulations."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from archive_assets.simulation import (
    Limits,
    SimulationRequest,
    SimulationResult,
    Telescope,
    Variant,
    simulate,
)
from archive_assets.simulation.site_data.synthesize import synthesize_site_data

NIGHT = date(2026, 1, 1)


@pytest.fixture(scope="session")
def night() -> date:
    """A night whose site data there are."""
    return NIGHT


@pytest.fixture(scope="session")
def site_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coarse synthetic site data of one night and the next; not to be written to."""
    folder = tmp_path_factory.mktemp("site") / "rubin_sim_data"
    synthesize_site_data(folder, NIGHT, step_minutes=30)
    return folder


@pytest.fixture(scope="session")
def request_of(site_data: Path) -> Callable[..., SimulationRequest]:
    """Make requests of the last hours of a night, in a work folder of the caller."""

    def make(work_folder: Path, **changes: Any) -> SimulationRequest:
        values: dict[str, Any] = {
            "first_day_obs": NIGHT,
            "n_nights": 1,
            "telescope": Telescope.SIMONYI,
            "variant": Variant(name="nominal", label="Nominal", delay_minutes=360),
            "site_data": site_data,
            "work_folder": work_folder,
            "limits": Limits(wall_s=240),
        }
        return SimulationRequest(**{**values, **changes})

    return make


@pytest.fixture(scope="session")
def nominal(
    request_of: Callable[..., SimulationRequest],
    tmp_path_factory: pytest.TempPathFactory,
) -> SimulationResult:
    """The nominal night, simulated once; not to be written to."""
    return simulate(request_of(tmp_path_factory.mktemp("nominal")))

"""Synthetic site data of a night, shared by the tests of simulations."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from session import Session

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
_PATHS = ("folder", "opsim_path", "log_path")


@pytest.fixture(scope="session")
def night() -> date:
    """A night whose site data there are."""
    return NIGHT


@pytest.fixture(scope="session")
def site_data(session: Session) -> Path:
    """Coarse synthetic site data of one night and the next; not to be written to."""
    return session.made_once(
        "rubin_sim_data",
        lambda folder: synthesize_site_data(folder, NIGHT, step_minutes=30),
    )


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
    request_of: Callable[..., SimulationRequest], session: Session
) -> SimulationResult:
    """The nominal night, simulated once a session; not to be written to."""

    def make(folder: Path) -> None:
        result = asdict(simulate(request_of(folder / "work")))
        (folder / "result.json").write_text(json.dumps(result, default=str))

    folder = session.made_once("nominal", make)
    values = json.loads((folder / "result.json").read_text())
    paths: dict[str, Any] = {name: Path(values.pop(name)) for name in _PATHS}
    return SimulationResult(**paths, **values)

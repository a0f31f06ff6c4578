"""What the scheduler makes of a request, in this process: one import serves all."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from archive_assets.simulation import (
    BandSwaps,
    ObservatoryOptions,
    SimulationRequest,
    SimulationResult,
    Variant,
)
from archive_assets.simulation.engine import Outcome, run_request
from archive_assets.simulation.folders import OPSIM_FILE, REWARDS_FILE
from archive_assets.simulation.provenance import provenance
from visit_tables.frame_summaries import visits_sha256
from visit_tables.opsim.frame import read_opsim

pytestmark = pytest.mark.scheduler

Make = Callable[..., SimulationRequest]


@pytest.fixture
def run(
    site_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[SimulationRequest], Outcome]:
    monkeypatch.setenv("RUBIN_SIM_DATA_DIR", str(site_data))
    return lambda request: run_request(request, None, tmp_path, lambda _: None)


def test_a_request_gives_the_same_visits_in_any_process(
    request_of: Make,
    run: Callable[[SimulationRequest], Outcome],
    tmp_path: Path,
    nominal: SimulationResult,
) -> None:
    outcome = run(request_of(tmp_path))

    assert outcome.n_visits == nominal.n_visits
    pd.testing.assert_frame_equal(
        read_opsim(tmp_path / OPSIM_FILE), read_opsim(nominal.opsim_path)
    )
    assert visits_sha256(tmp_path / OPSIM_FILE) == visits_sha256(nominal.opsim_path)


def test_only_the_bands_that_are_mounted_are_used(
    request_of: Make,
    run: Callable[[SimulationRequest], Outcome],
    tmp_path: Path,
    nominal: SimulationResult,
) -> None:
    request = request_of(tmp_path)
    bands = BandSwaps(
        mounted=((date(2025, 12, 1), ("r", "z")),), until=date(2026, 2, 1)
    )
    variant = replace(request.variant, delay_minutes=440, bands=bands)
    request = replace(request, variant=variant)

    outcome = run(request)

    assert set(read_opsim(nominal.opsim_path)["band"]) > {"r", "z"}
    assert outcome.n_visits > 0
    assert set(read_opsim(tmp_path / OPSIM_FILE)["band"]) <= {"r", "z"}
    facts = provenance(
        request, driver="rubin_scheduler", config_url=None, report=asdict(outcome)
    )
    assert facts["variant"]["bands"]["mounted"] == [["2025-12-01", ["r", "z"]]]


def test_a_night_without_open_hours_is_empty(
    request_of: Make, run: Callable[[SimulationRequest], Outcome], tmp_path: Path
) -> None:
    closed = ObservatoryOptions(closed_mjd=((61041.5, 61042.6),))
    variant = Variant(name="closed", label="Closed", rewards=True, observatory=closed)

    outcome = run(request_of(tmp_path, variant=variant))

    visits = read_opsim(tmp_path / OPSIM_FILE)
    assert (outcome.n_visits, outcome.has_rewards) == (0, False)
    assert not (tmp_path / REWARDS_FILE).exists()
    assert visits.empty
    assert "fieldRA" in visits.columns

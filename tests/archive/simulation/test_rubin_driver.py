import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from archive_assets.simulation import SimulationRequest, SimulationResult, simulate
from archive_assets.simulation.errors import SimulationTimeoutError

pytestmark = pytest.mark.scheduler

Make = Callable[..., SimulationRequest]


def visits(result: SimulationResult) -> pd.DataFrame:
    with closing(sqlite3.connect(result.opsim_path)) as connection:
        return pd.read_sql("SELECT * FROM observations", connection)


def test_a_nominal_night_has_hundreds_of_visits(nominal: SimulationResult) -> None:
    table = visits(nominal)

    assert 400 < len(table) == nominal.n_visits < 1200
    assert table["observationStartMJD"].is_monotonic_increasing
    assert table["observationStartMJD"].between(61041.5, 61042.5).all()
    assert table["fiveSigmaDepth"].between(18, 26).all()
    assert table["altitude"].between(20, 87).all()
    assert set(table["band"]) <= set("ugrizy")


def test_the_same_request_gives_the_same_visits(
    nominal: SimulationResult, request_of: Make, tmp_path: Path
) -> None:
    again = simulate(request_of(tmp_path))

    pd.testing.assert_frame_equal(visits(again), visits(nominal))
    digests = {r.provenance["request_digest"] for r in (again, nominal)}
    assert len(digests) == 1


def test_a_result_says_how_it_came_about(nominal: SimulationResult) -> None:
    facts = nominal.provenance

    assert facts["site_data"] == "synthetic"
    assert facts["scheduler_version"] == facts["packages"]["rubin-scheduler"]
    assert facts["variant"]["observatory"]["seeing_arcsec"] == 0.6
    assert facts["sim_runner_kwargs"]["sim_duration"] == pytest.approx(0.376, abs=1e-3)
    assert facts["cpu_s"] > 1
    assert 100e6 < nominal.peak_memory_bytes < 2e9


def test_the_work_folder_holds_only_finished_runs(
    request_of: Make, tmp_path: Path, nominal: SimulationResult
) -> None:
    request = request_of(tmp_path)
    bad = replace(request, limits=replace(request.limits, wall_s=0.5))

    with pytest.raises(SimulationTimeoutError, match=r"its limit of 0\.5 s"):
        simulate(bad)

    assert list(tmp_path.iterdir()) == []
    assert sorted(path.name for path in nominal.folder.iterdir()) == [
        "opsim.db",
        "simulation.log",
    ]

"""A variant of a night, simulated by a program of the site's own."""

import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from archive_assets.simulation import Telescope, Variant
from archive_assets.simulation.once import NightlySimulation, simulate_into_outbox

LEAVES_A_FILE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("CREATE TABLE observations (observationStartMJD REAL)")
connection.execute("INSERT INTO observations VALUES (61042.1)")
connection.commit()
"""


@pytest.fixture
def work(tmp_path: Path) -> NightlySimulation:
    return NightlySimulation(
        first_day_obs=date(2026, 1, 1),
        n_nights=1,
        telescope=Telescope.SIMONYI,
        variant=Variant(name="nominal", label="Nominal"),
        site_data=tmp_path / "site_data",
        outbox=tmp_path / "outbox",
        command=(sys.executable, "-c", LEAVES_A_FILE, "{opsim}"),
    )


def test_a_command_that_brings_its_own_site_data_gets_none_made(
    work: NightlySimulation,
) -> None:
    finished, is_new = simulate_into_outbox(work)

    assert is_new
    assert not work.site_data.exists()
    assert finished.provenance["site_data"] == "of the command"


def test_a_finished_simulation_is_found_again(work: NightlySimulation) -> None:
    first, _ = simulate_into_outbox(work)
    again, is_new = simulate_into_outbox(work)

    assert (again.folder, is_new) == (first.folder, False)


def test_another_command_simulates_anew(work: NightlySimulation) -> None:
    simulate_into_outbox(work)
    changed = replace(work, command=(*work.command, "--faster"))

    again, is_new = simulate_into_outbox(changed)

    assert is_new
    assert again.provenance["command"][-1] == "--faster"

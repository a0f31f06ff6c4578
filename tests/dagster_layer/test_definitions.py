"""Both code locations load, and say what an operator needs to know."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from archive_assets import definitions as archive
from archive_assets.defs.names import NOMINAL, archived_key, simulation_key
from l1db_pipeline import definitions as l1db
from pipeline_runtime.environment import VARIABLES
from pipeline_runtime.errors import EnvironmentValueError

ROOT = Path(__file__).resolve().parents[2]
LOCATIONS = {"archive_assets": archive.defs(), "l1db_pipeline": l1db.defs()}
JOBS = {
    "archive_assets": {
        "archive",
        "completed_comparison",
        "gc",
        "nominal_night",
        "observe",
        "prenight",
        "prenight_index",
        "simulate",
        "night_due",
        "night_report",
        "verify",
        "verify_night",
    },
    "l1db_pipeline": {
        "ap_prototype",
        "compact_l1db",
        "expire_l1db",
        "night_visits",
        "nightly",
        "schema_comparison",
        "set_up",
        "timing_report",
        "verify_l1db",
        "verify_l1db_night",
    },
}


def _specs(location: str) -> list[dg.AssetSpec]:
    return [
        spec
        for spec in LOCATIONS[location].resolve_all_asset_specs()
        if spec.group_name != "default"  # the other location's, seen from this one
    ]


@pytest.mark.parametrize("location", LOCATIONS)
def test_every_job_resolves(location: str) -> None:
    dg.Definitions.validate_loadable(LOCATIONS[location])
    found = {job.name for job in LOCATIONS[location].resolve_all_job_defs()} - {
        "__ASSET_JOB"
    }

    assert found == JOBS[location]


def test_definitions_load_without_what_only_runs_need() -> None:
    heavy = ("numpy", "pandas", "sqlalchemy", "h5py", "rubin_scheduler", "matplotlib")
    code = f"import sys, {', '.join(f'{name}.definitions' for name in LOCATIONS)};"
    code += "".join(f"{name}.definitions.defs();" for name in LOCATIONS)
    code += f"print(sorted(sys.modules.keys() & {heavy}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == "[]\n"


def test_the_locations_are_valid_together(tmp_path: Path) -> None:
    # an edge between partitions of two locations is validated by nothing else
    workspace = str(ROOT / "workspace.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", workspace],
        env=os.environ | {"PYTHONPATH": str(ROOT), "DAGSTER_HOME": ""},
        cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("location", LOCATIONS)
def test_every_asset_says_what_and_whose_it_is(location: str) -> None:
    for spec in _specs(location):
        assert spec.description, spec.key
        assert spec.group_name, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.code_version, spec.key
        # what is only observed has no function of ours
        is_made = spec.key.path != ["archive", "existing_sequences"]
        assert ("dagster/code_references" in spec.metadata) == is_made, spec.key


def test_lineage_runs_from_simulation_to_write_batches() -> None:
    # the web UI joins the locations by asset key, as this does
    parents = {
        spec.key: {dep.asset_key for dep in spec.deps}
        for location in LOCATIONS
        for spec in _specs(location)
    }
    upstream: set[dg.AssetKey] = set()
    frontier = {dg.AssetKey(["l1db", "write_batches"])}
    while frontier:
        upstream |= frontier
        frontier = {parent for key in frontier for parent in parents[key]} - upstream

    assert {
        simulation_key(NOMINAL),
        archived_key(NOMINAL),
        dg.AssetKey(["l1db", "variable_sources"]),
        dg.AssetKey(["l1db", "schema"]),
    } <= upstream


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SENSOR_INTERVAL_S", "abc"),
        ("SCHEDULER_SLOTS", "many"),
        ("NIGHTLY_CRON", "6:55"),
        ("NIGHTS_START", "yesterday"),
    ],
)
@pytest.mark.parametrize("module", [archive, l1db], ids=LOCATIONS)
def test_a_wrong_value_is_an_error_of_the_load_that_says_what_to_do(
    module: Any, name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)

    with pytest.raises(EnvironmentValueError) as refused:
        module.defs()

    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{name} must be ")
    assert f"{text!r}: correct it, or unset it" in line


def test_importing_the_locations_parses_nothing_of_the_environment() -> None:
    wrong = {known.name: "?" for known in VARIABLES}
    code = "import archive_assets.definitions, l1db_pipeline.definitions"
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | wrong, check=True
    )

"""The archive's jobs, each runnable from the UI and with ``dagster job execute``."""

import dagster as dg

from archive_assets.defs.index import TONIGHT_CHECK
from archive_assets.defs.morning_after import completed_comparison_job
from archive_assets.defs.names import (
    NOMINAL,
    archived_key,
    completed_key,
    simulation_key,
)
from archive_assets.defs.night_report import night_report_job
from archive_assets.defs.upkeep import verify_night_job
from pipeline_runtime.dagster.executors import ONE_PROCESS
from pipeline_runtime.dagster.run_tags import SOON, UPKEEP, deadline

__all__ = [
    "archive_job",
    "jobs",
    "night_due_job",
    "nominal_night_job",
    "prenight_index_job",
    "prenight_job",
    "simulate_job",
    "verify_job",
]

_SIMULATIONS = dg.AssetSelection.groups("simulation")
_SEQUENCES = dg.AssetSelection.key_prefixes("archived_visit_sequences")
_TONIGHT = dg.AssetSelection.checks(TONIGHT_CHECK)
_INDEX = (
    dg.AssetSelection.assets(
        ["archive", "prenight_index"],
        ["archive", "nightly_statistics"],
        ["archive", "night_comparison"],
        ["archive", "night_report"],
    )
    - _TONIGHT  # a run for another night says nothing of tonight
)


simulate_job = dg.define_asset_job(
    "simulate",
    _SIMULATIONS,
    tags=deadline(hours=5),  # tonight's visits are needed tonight
    description="Every variant of a night, two at a time; sensors archive them.",
)
prenight_job = dg.define_asset_job(
    "prenight",
    _SIMULATIONS | _SEQUENCES | _INDEX,
    tags=deadline(hours=6),
    description="A whole night in one run: simulated, archived, indexed.",
)
nominal_night_job = dg.define_asset_job(
    "nominal_night",
    dg.AssetSelection.assets(
        "scheduler_environment",
        completed_key(NOMINAL.telescope),
        simulation_key(NOMINAL),
        archived_key(NOMINAL),
    )
    | _INDEX,
    tags=deadline(hours=2),
    description="The nominal variant of a night: simulated, archived, indexed.",
)
archive_job = dg.define_asset_job(
    "archive",
    _SEQUENCES,
    tags=deadline(hours=1) | SOON,
    executor_def=ONE_PROCESS,
    description="Archive the finished simulations of a night.",
)
prenight_index_job = dg.define_asset_job(
    "prenight_index",
    _INDEX,
    tags=deadline(hours=1) | SOON,
    executor_def=ONE_PROCESS,
    description="Publish the pre-night index and collect the nightly statistics.",
)
night_due_job = dg.define_asset_job(
    "night_due",
    _TONIGHT,
    tags=deadline(hours=1) | SOON,
    executor_def=ONE_PROCESS,
    description="Check that tonight's index is published.",
)
verify_job = dg.define_asset_job(
    "verify",
    dg.AssetSelection.assets(["archive", "archive_verification"]),
    tags=deadline(hours=20) | UPKEEP,  # reads every object
    executor_def=ONE_PROCESS,
    description="Try the services of the archive, then verify all that it holds.",
)
jobs = [
    simulate_job,
    prenight_job,
    nominal_night_job,
    archive_job,
    prenight_index_job,
    night_due_job,
    verify_job,
    night_report_job,
    verify_night_job,
    completed_comparison_job,
]

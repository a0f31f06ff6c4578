"""The L1DB jobs, each runnable from the UI and with ``dagster job execute``."""

import dagster as dg

from l1db_pipeline.defs.upkeep import compact_job, expire_job, verify_night_job
from pipeline_runtime.dagster.executors import ONE_PROCESS
from pipeline_runtime.dagster.run_tags import SOON, UPKEEP, WRITER, deadline

__all__ = [
    "ap_prototype_job",
    "jobs",
    "night_visits_job",
    "nightly_job",
    "schema_comparison_job",
    "set_up_job",
    "timing_report_job",
    "verify_l1db_job",
]

# run monitoring ends a run that hangs: all visits of a night fit between two nights
_DAY = deadline(hours=20)
_HOUR = deadline(hours=1)
# run by `verify_l1db` alone: they read the whole database
_WHOLE_CHECKS = dg.AssetSelection.checks(
    dg.AssetCheckKey(dg.AssetKey(["l1db", "write_batches"]), "store_is_consistent"),
    dg.AssetCheckKey(dg.AssetKey(["l1db", "schema"]), "database_answers"),
)

set_up_job = dg.define_asset_job(
    "set_up",
    dg.AssetSelection.assets(["l1db", "variable_sources"], ["l1db", "schema"])
    - _WHOLE_CHECKS,
    tags=_HOUR,
    executor_def=ONE_PROCESS,
    description="Make the variable sources and the tables of the L1 database.",
)
night_visits_job = dg.define_asset_job(
    "night_visits",
    dg.AssetSelection.assets(
        ["l1db", "variable_sources"], ["l1db", "schema"], ["l1db", "night_visits"]
    )
    - _WHOLE_CHECKS,
    tags=_HOUR | SOON,
    executor_def=ONE_PROCESS,
    description="Register the visits of an archived night as partitions.",
)
ap_prototype_job = dg.define_asset_job(
    "ap_prototype",
    dg.AssetSelection.assets(["l1db", "write_batches"]) - _WHOLE_CHECKS,
    tags=WRITER | _DAY,
    executor_def=ONE_PROCESS,
    description="The AP prototype over one visit, or a range of visits in one run.",
)
nightly_job = dg.define_asset_job(
    "nightly",
    dg.AssetSelection.assets(["l1db", "nightly_merge"]),
    tags=WRITER | _HOUR,
    executor_def=ONE_PROCESS,
    description="Merge the nightly table of the L1 database.",
)
timing_report_job = dg.define_asset_job(
    "timing_report",
    dg.AssetSelection.assets(["l1db", "timing_report"]),
    tags=_HOUR,
    executor_def=ONE_PROCESS,
    description="Write the page on timing and growth of the L1 database.",
)
schema_comparison_job = dg.define_asset_job(
    "schema_comparison",
    dg.AssetSelection.assets(["l1db", "schema_comparison"]),
    tags=_DAY,
    description="Run the same visits through a list of configurations, side by side.",
)
verify_l1db_job = dg.define_asset_job(
    "verify_l1db",
    _WHOLE_CHECKS,
    tags=WRITER | _DAY | UPKEEP,  # no visit is stored meanwhile
    executor_def=ONE_PROCESS,
    description="Check every invariant of the L1 database; reads all of it.",
)
jobs = [
    set_up_job,
    night_visits_job,
    ap_prototype_job,
    nightly_job,
    timing_report_job,
    schema_comparison_job,
    verify_l1db_job,
    verify_night_job,
    compact_job,
    expire_job,
]

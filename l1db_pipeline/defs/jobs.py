"""The L1DB jobs, each runnable from the UI and with ``dagster job execute``."""

import dagster as dg

__all__ = [
    "ap_prototype_job",
    "jobs",
    "night_visits_job",
    "nightly_job",
    "schema_comparison_job",
    "set_up_job",
    "timing_report_job",
]

# one writer at a time: the run queue holds further runs back
_WRITER = {"l1db/writer": "true"}

set_up_job = dg.define_asset_job(
    "set_up",
    dg.AssetSelection.assets(["l1db", "variable_sources"], ["l1db", "schema"]),
    description="Make the variable sources and the tables of the L1 database.",
)
night_visits_job = dg.define_asset_job(
    "night_visits",
    dg.AssetSelection.assets(
        ["l1db", "variable_sources"], ["l1db", "schema"], ["l1db", "night_visits"]
    ),
    description="Register the visits of an archived night as partitions.",
)
ap_prototype_job = dg.define_asset_job(
    "ap_prototype",
    dg.AssetSelection.assets(["l1db", "write_batches"]),
    tags=_WRITER,
    executor_def=dg.in_process_executor,  # one step: no process of its own
    description="The AP prototype over one visit, or a range of visits in one run.",
)
nightly_job = dg.define_asset_job(
    "nightly",
    dg.AssetSelection.assets(["l1db", "nightly_merge"]),
    tags=_WRITER,
    description="Merge the nightly table of the L1 database.",
)
timing_report_job = dg.define_asset_job(
    "timing_report",
    dg.AssetSelection.assets(["l1db", "timing_report"]),
    description="Write the page on timing and growth of the L1 database.",
)
schema_comparison_job = dg.define_asset_job(
    "schema_comparison",
    dg.AssetSelection.assets(["l1db", "schema_comparison"]),
    description="Run the same visits through a list of configurations, side by side.",
)
jobs = [
    set_up_job,
    night_visits_job,
    ap_prototype_job,
    nightly_job,
    timing_report_job,
    schema_comparison_job,
]

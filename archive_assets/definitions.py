"""The code location of the visit sequence archive and the visit simulations."""

import dagster as dg

from archive_assets.defs.automation import schedules, sensors
from archive_assets.defs.comparison import night_comparison
from archive_assets.defs.completed import completed_assets
from archive_assets.defs.environment import scheduler_environment
from archive_assets.defs.index import index_assets, tonight_is_published
from archive_assets.defs.integrity import (
    archive_verification,
    existing_sequences,
    gc_job,
    observe_job,
)
from archive_assets.defs.jobs import jobs
from archive_assets.defs.morning_after import completed_comparison
from archive_assets.defs.night_report import night_report
from archive_assets.defs.resources import environment_resources
from archive_assets.defs.sequences import sequence_assets
from archive_assets.defs.simulations import simulation_assets
from pipeline_runtime.dagster.executors import executor

__all__ = ["build_definitions", "defs"]


def build_definitions(resources: dict[str, object]) -> dg.Definitions:
    """Return the code location with the given resources."""
    return dg.Definitions(
        assets=[
            scheduler_environment,
            *completed_assets,
            *simulation_assets,
            *sequence_assets,
            *index_assets,
            night_comparison,
            completed_comparison,
            night_report,
            archive_verification,
            existing_sequences,
        ],
        asset_checks=[tonight_is_published],
        jobs=[*jobs, gc_job, observe_job],
        schedules=schedules,
        sensors=sensors,
        resources=resources,
        executor=executor(),
    )


defs = build_definitions(environment_resources())

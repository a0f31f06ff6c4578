"""The code location of the visit sequence archive and the visit simulations.

Importing it reads nothing of the environment: loading the location does, and a wrong
value is then an error of one line before all others.
"""

import dagster as dg

from pipeline_runtime.dagster.executors import executor
from pipeline_runtime.dagster.source_links import with_source
from pipeline_runtime.environment import check_environment

__all__ = ["build_definitions", "defs"]


def build_definitions(resources: dict[str, object]) -> dg.Definitions:
    """Return the code location with the given resources."""
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
    from archive_assets.defs.night_report import merged_nights, night_report
    from archive_assets.defs.sequences import sequence_assets
    from archive_assets.defs.simulations import simulation_assets
    from archive_assets.defs.upkeep import garbage_is_collected, night_verification

    return dg.Definitions(
        assets=with_source(
            [
                scheduler_environment,
                *completed_assets,
                *simulation_assets(),
                *sequence_assets,
                *index_assets,
                night_comparison,
                completed_comparison,
                night_report,
                merged_nights,
                archive_verification,
                night_verification,
                existing_sequences,
            ]
        ),
        asset_checks=[tonight_is_published, garbage_is_collected],
        jobs=[*jobs, gc_job, observe_job],
        schedules=schedules(),
        sensors=sensors(),
        resources=resources,
        executor=executor(),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the code location as the environment describes it."""
    check_environment()  # before modules that read it are imported
    from archive_assets.defs.resources import environment_resources

    return build_definitions(environment_resources())

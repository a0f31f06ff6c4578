"""The code location of the L1 database and the AP prototype.

Importing it reads nothing of the environment: loading the location does, and a wrong
value is then an error of one line before all others.
"""

import os

import dagster as dg

from pipeline_runtime.dagster.executors import executor
from pipeline_runtime.dagster.source_links import with_source
from pipeline_runtime.environment import check_environment, forget_empty

__all__ = ["build_definitions", "defs", "environment_resources"]


def environment_resources() -> dict[str, object]:
    """Return the resources as the environment describes them."""
    from l1db_pipeline.defs.archive import ArchivedVisitsResource, archive_resources
    from l1db_pipeline.defs.resources import (
        L1dbResource,
        ReportsResource,
        SourcesResource,
    )

    forget_empty(os.environ)  # Dagster reads those of EnvVar by itself
    return {
        "l1db": L1dbResource(url=dg.EnvVar("L1DB_URL")),
        "sources": SourcesResource(folder=dg.EnvVar("L1DB_SOURCES")),
        "reports": ReportsResource(folder=dg.EnvVar("L1DB_REPORTS")),
        "archived_visits": ArchivedVisitsResource(),
        **archive_resources(),
    }


def build_definitions(resources: dict[str, object]) -> dg.Definitions:
    """Return the code location with the given resources."""
    from l1db_pipeline.defs.archive import archived_nights
    from l1db_pipeline.defs.automation import schedules, sensors
    from l1db_pipeline.defs.checks import checks
    from l1db_pipeline.defs.comparison import schema_comparison
    from l1db_pipeline.defs.jobs import jobs
    from l1db_pipeline.defs.night_visits import night_visits
    from l1db_pipeline.defs.nightly import nightly_merge
    from l1db_pipeline.defs.reports import timing_report
    from l1db_pipeline.defs.schema import l1db_schema
    from l1db_pipeline.defs.sources import variable_sources
    from l1db_pipeline.defs.upkeep import (
        history_compaction,
        months_expiry,
        night_verification,
    )
    from l1db_pipeline.defs.write_batches import l1db_write_batches

    return dg.Definitions(
        assets=with_source(
            [
                archived_nights,
                variable_sources,
                l1db_schema,
                night_visits,
                l1db_write_batches,
                nightly_merge,
                timing_report,
                schema_comparison,
                night_verification,
                history_compaction,
                months_expiry,
            ]
        ),
        asset_checks=checks,
        jobs=jobs,
        schedules=schedules(),
        sensors=sensors(),
        resources=resources,
        executor=executor(),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the code location as the environment describes it."""
    check_environment()  # before modules that read it are imported
    return build_definitions(environment_resources())

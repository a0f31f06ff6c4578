"""The morning after a night: its completed visits against every simulated variant."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from archive_assets.defs.names import NOMINAL, archived_variants
from archive_assets.defs.partitions import night_at, night_of, nights
from archive_assets.defs.resources import ArchiveMetadataResource, SimulationsResource
from archive_assets.defs.tables import frame_schema, frame_table
from pipeline_runtime.dagster.executors import ONE_PROCESS
from pipeline_runtime.dagster.retries import patiently
from pipeline_runtime.dagster.run_tags import SOON, deadline
from pipeline_runtime.environment import text_of

if TYPE_CHECKING:
    from archive_assets.nights.page import Section
    from archive_assets.reading.morning_after import MorningAfter

__all__ = [
    "completed_comparison",
    "completed_comparison_is_due",
    "completed_comparison_job",
    "completed_part",
]


@dg.asset(
    key_prefix="archive",
    deps=archived_variants(),
    partitions_def=nights,
    group_name="archive",
    kinds={"pandas"},
    owners=["team:survey-scheduling"],
    tags={"telescope": NOMINAL.telescope.value},
    code_version="1",
    retry_policy=patiently(2),
    backfill_policy=dg.BackfillPolicy.multi_run(),
    description=(
        "Which variant of the night came true: completed visits matched with each, "
        "offsets in time, airmass and depth, counts by band."
    ),
)
def completed_comparison(
    context: dg.AssetExecutionContext,
    archive_metadata: ArchiveMetadataResource,
    simulations: SimulationsResource,
) -> dg.MaterializeResult[None]:
    """Compare the visits made on a night with those simulated."""
    import pandas as pd

    from archive_assets.reading.morning_after import NoVisitsError

    try:
        found = _compare(archive_metadata, simulations, night_of(context))
    except NoVisitsError as error:
        return dg.MaterializeResult(metadata={"completed": 0, "answer": str(error)})
    table = pd.DataFrame([one.numbers() for one in found.variants])
    return dg.MaterializeResult(
        metadata={
            "answer": found.answer,
            "completed": found.best.n_completed,
            "variants": frame_table(table),
            "dagster/column_schema": frame_schema(table),
            **{f"matched/{one.name}": one.share for one in found.variants},
        }
    )


def _compare(
    archive_metadata: ArchiveMetadataResource,
    simulations: SimulationsResource,
    night: date,
) -> "MorningAfter":
    """Match a night's completed visits; an error of ours says why there are none."""
    from archive_assets.nights.covered import prenight_simulations
    from archive_assets.nights.report import newest_sequences
    from archive_assets.reading.completed import completed_visits
    from archive_assets.reading.morning_after import NoVisitsError, compare_completed

    telescope = NOMINAL.telescope
    source = simulations.completed(telescope) or text_of("CONSDB_URL")
    if not source:
        raise NoVisitsError(
            "no completed visits are configured: set "
            f"COMPLETED_VISITS_{telescope.name} or CONSDB_URL"
        )
    with archive_metadata.open() as archive:
        index = prenight_simulations(archive, night, telescope.value)
    made = completed_visits(source, night, telescope.value)
    return compare_completed(made, newest_sequences(index)[0], night)


def completed_part(
    archive_metadata: ArchiveMetadataResource,
    simulations: SimulationsResource,
    night: date,
) -> "Section":
    """Return the section of a night's page; of no visits it is well, and says so."""
    from archive_assets.nights.page import Section, attempt
    from archive_assets.reading.morning_after import (
        COMPLETED,
        NoVisitsError,
        completed_section,
    )

    def make() -> Section:
        try:
            return completed_section(_compare(archive_metadata, simulations, night))
        except NoVisitsError as error:
            return Section(title=COMPLETED, summary=str(error))

    return attempt(COMPLETED, make)


completed_comparison_job = dg.define_asset_job(
    "completed_comparison",
    dg.AssetSelection.assets(completed_comparison),
    tags=deadline(hours=1) | SOON,
    executor_def=ONE_PROCESS,
    description="Compare the completed visits of a night with its simulations.",
)


@dg.schedule(
    job=completed_comparison_job,
    cron_schedule=text_of("NIGHT_REPORT_CRON"),
    execution_timezone=text_of("NIGHTLY_TIMEZONE"),
    description="Compare last night's completed visits; switch it on with `nightly`.",
)
def completed_comparison_is_due(
    context: dg.ScheduleEvaluationContext,
) -> dg.RunRequest:
    """Ask for the comparison of last night."""
    night = night_at(context.scheduled_execution_time - timedelta(days=1))
    return dg.RunRequest(run_key=f"completed:{night}", partition_key=night)

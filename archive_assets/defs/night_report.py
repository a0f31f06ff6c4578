"""The page of a night, written whatever failed: as an asset, and by a deadline."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import dagster as dg

from archive_assets.defs.index import INDEX_KEY
from archive_assets.defs.morning_after import completed_part
from archive_assets.defs.names import NOMINAL, Plan, archived_key, plans
from archive_assets.defs.partitions import night_of, nights
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    PrenightIndexResource,
    SimulationsResource,
)
from pipeline_runtime.dagster.executors import ONE_PROCESS
from pipeline_runtime.dagster.following import follows
from pipeline_runtime.dagster.materializations import latest_number
from pipeline_runtime.dagster.night_runs import night_runs, slowest, upkeep_runs
from pipeline_runtime.dagster.run_tags import SOON, deadline
from pipeline_runtime.dagster.tables import link
from pipeline_runtime.dagster.visit_names import MERGED_KEY, STORED_KEY, VISITS_NAME

if TYPE_CHECKING:
    from archive_assets.nights.page import Section

__all__ = ["merged_nights", "night_report", "night_report_job"]

_SHOWN = 10


merged_nights = dg.AssetSpec(MERGED_KEY, partitions_def=nights)
"""Of the other location: its partitions must be known while that one is away, else its
news would count for every night."""


@dg.asset(
    key_prefix="archive",
    deps=[INDEX_KEY, MERGED_KEY],
    partitions_def=nights,
    group_name="archive",
    kinds={"html", "s3"},
    owners=["team:survey-scheduling"],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.multi_run(),
    automation_condition=follows(INDEX_KEY, MERGED_KEY),
    description=(
        "Page of the night for the person on duty, beside the indexes: what is "
        "simulated, archived, published and stored, what failed, what to do."
    ),
)
def night_report(
    context: dg.AssetExecutionContext,
    archive_metadata: ArchiveMetadataResource,
    prenight_index_store: PrenightIndexResource,
    simulations: SimulationsResource,
) -> dg.MaterializeResult[None]:
    """Write the page of a night."""
    from archive_assets.errors import EXPECTED_ERRORS
    from archive_assets.nights.page import NightPage, attempt, page_text, publish_page
    from archive_assets.nights.page_sections import (
        ARCHIVED,
        INDEXED,
        archived_section,
        index_section,
        night_drawings,
    )

    night = night_of(context)
    visits = {
        plan.name: _archived_visits(context.instance, plan, night) for plan in plans()
    }

    def archived() -> "Section":
        with archive_metadata.open() as archive:
            return archived_section(archive, night, visits)

    pictures: dict[str, bytes] = {}
    try:
        with archive_metadata.open() as archive:
            pictures = night_drawings(archive, night, NOMINAL.telescope.value)
    except (*EXPECTED_ERRORS, OSError) as error:
        context.log.warning("no pictures: %s", error)
    page = NightPage(
        day_obs=night,
        written=datetime.now(UTC),
        sections=[
            attempt(ARCHIVED, archived),
            attempt(INDEXED, lambda: index_section(prenight_index_store.url, night)),
            _stored(context.instance, night),
            completed_part(archive_metadata, simulations, night),
            *_runs(context.instance, night),
        ],
    )
    url = publish_page(page, prenight_index_store.url, pictures)
    return dg.MaterializeResult(
        metadata={
            "page": link(url),
            "headline": page.headline,
            "to_do": len(page.to_do),
            "text": dg.MetadataValue.md(f"```\n{page_text(page)}\n```"),
        }
    )


def _archived_visits(
    instance: dg.DagsterInstance, plan: Plan, night: date
) -> int | None:
    return latest_number(instance, archived_key(plan), night, "visits")


def _stored(instance: dg.DagsterInstance, night: date) -> "Section":
    """Return how many of a night's visits the AP prototype stored, and how fast."""
    from archive_assets.nights.page import Section

    registered = [
        key
        for key in instance.get_dynamic_partitions(VISITS_NAME)
        if key.startswith(f"{night:%Y%m%d}-")
    ]
    n_stored, slow = slowest(
        instance, STORED_KEY, registered, whole="Visit", most=_SHOWN
    )
    steps = sorted({step for one in slow for step in one.seconds} - {"Visit"})
    missing = len(registered) - n_stored
    said = f"{n_stored} of {len(registered)} visits; the slowest:"
    if missing:
        said = f"{n_stored} of {len(registered)} visits: launch ap_prototype for them"
    return Section(
        title="Stored by the AP prototype",
        summary=said if registered else "no visits are registered",
        is_well=bool(registered) and not missing,
        columns=("visit", "seconds", *steps),
        rows=[
            (
                one.key,
                f"{one.seconds['Visit']:.2f}",
                *(f"{one.seconds.get(step, 0):.2f}" for step in steps),
            )
            for one in slow
        ],
    )


def _runs(instance: dg.DagsterInstance, night: date) -> "Iterator[Section]":
    """Yield the sections on checks, failures and runs."""
    from archive_assets.nights.page import Section

    found = night_runs(instance, night.isoformat())
    n_bad = len(found.checks)
    yield Section(
        title="Checks",
        summary=f"{found.n_checks - n_bad} of {found.n_checks} passed",
        is_well=not n_bad,
        columns=("asset", "check", "problem"),
        rows=found.checks,
    )
    yield Section(
        title="Failures",
        summary=(
            "open the run and press Re-execute, from failure"
            if found.failed
            else f"no final failures; {found.n_step_retries} steps were tried again"
        ),
        is_well=not found.failed,
        columns=("what", "error", "run"),
        rows=found.failed,
    )
    yield Section(
        title="Runs",
        summary=f"{len(found.runs)}, the newest first",
        columns=("job", "status", "run"),
        rows=found.runs,
    )
    upkeep = upkeep_runs(instance)
    failed = [job for job, status, *_ in upkeep if status == "failure"]
    yield Section(
        title="Upkeep",
        summary=(
            f"launch again: {', '.join(failed)}"
            if failed
            else "the latest of each job"
            if upkeep
            else "none yet: switch its schedules on"
        ),
        is_well=not failed,
        columns=("job", "status", "started", "run"),
        rows=upkeep,
    )


night_report_job = dg.define_asset_job(
    "night_report",
    dg.AssetSelection.assets(night_report),
    tags=deadline(hours=1) | SOON,
    executor_def=ONE_PROCESS,
    description="Write the page of a night, whatever failed.",
)

"""The pre-night index and the nightly statistics of a night."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from archive_assets.defs.names import NOMINAL, archived_key, plans
from archive_assets.defs.partitions import night_at, night_of, nights
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    PrenightIndexResource,
)
from archive_assets.defs.tables import columns_schema, frame_schema, frame_table
from pipeline_runtime.dagster.checks import check_result
from pipeline_runtime.dagster.following import follows, never
from pipeline_runtime.dagster.retries import patiently
from pipeline_runtime.dagster.tables import link

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INDEX_KEY", "TONIGHT_CHECK", "index_assets", "tonight_is_published"]

_RETRIES = patiently(3)
_NOMINAL = "lists_nominal"
INDEX_KEY = dg.AssetKey(["archive", "prenight_index"])
TONIGHT_CHECK = dg.AssetCheckKey(INDEX_KEY, "tonight_is_published")
_SEQUENCES = [archived_key(plan) for plan in plans()]


@dg.asset(
    key_prefix="archive",
    deps=_SEQUENCES,
    partitions_def=nights,
    group_name="archive",
    kinds={"json", "s3"},
    owners=["team:survey-scheduling"],
    code_version="1",
    retry_policy=_RETRIES,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    automation_condition=follows(*_SEQUENCES),
    op_tags={"dagster/priority": "1"},  # people wait for it, for no comparison
    description=(
        "JSON list of all simulations of a night, one a telescope; also for the later "
        "nights that the night's simulations cover."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            _NOMINAL,
            asset=["archive", "prenight_index"],
            description="The published index of the night lists a nominal simulation.",
        )
    ],
)
def prenight_index(
    context: dg.AssetExecutionContext,
    archive_metadata: ArchiveMetadataResource,
    prenight_index_store: PrenightIndexResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster 1.13 wants it bare
    """Publish the index of each night that the night's simulations cover."""
    from archive_assets.nights.covered import covered_nights, missing_nominal
    from archive_assets.nights.index import TELESCOPES, write_prenight_index
    from archive_assets.nights.index_json import COLUMNS

    night = night_of(context)
    urls: dict[str, dg.MetadataValue] = {}
    nominal = NOMINAL.telescope.value, NOMINAL.variant.tags
    with archive_metadata.open() as archive:
        for covered in covered_nights(archive, night, TELESCOPES):
            for telescope in TELESCOPES:
                url = write_prenight_index(
                    archive, covered, telescope, prenight_index_store.url
                )
                urls[f"url/{telescope}_{covered}"] = link(url)
                context.log.info("published %s", url)
    missing = missing_nominal(prenight_index_store.url, night, *nominal)
    return dg.MaterializeResult(
        metadata={
            "indexes": len(urls),
            "dagster/column_schema": columns_schema(COLUMNS),
            **urls,
        },
        check_results=[check_result(_NOMINAL, missing)],
    )


@dg.asset(
    key_prefix="archive",
    deps=_SEQUENCES,
    partitions_def=nights,
    group_name="archive",
    kinds={"postgresql"},
    owners=["team:survey-scheduling"],
    code_version="1",
    retry_policy=_RETRIES,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    automation_condition=follows(*_SEQUENCES),
    description="Statistics of each simulation's visits of the night, side by side.",
)
def nightly_statistics(
    context: dg.AssetExecutionContext, archive_metadata: ArchiveMetadataResource
) -> dg.MaterializeResult[None]:
    """Show the statistics that the archive holds of the night."""
    night = night_of(context)
    with archive_metadata.open() as archive:
        found = archive.nightly(night, night)
    return dg.MaterializeResult(
        metadata={
            "rows": len(found),
            "statistics": frame_table(found),
            "dagster/column_schema": frame_schema(found),
            **_trends(found),
        }
    )


@dg.asset_check(
    asset=INDEX_KEY,
    name=TONIGHT_CHECK.name,
    # else it would run with each index that follows, whose night is another one
    automation_condition=never(),
    description="Tonight's own partition was published; other nights do not count.",
)
def tonight_is_published(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Look for the index of tonight; `night_is_due` asks when it must be there."""
    night = night_at(datetime.now(UTC))
    found = context.instance.get_latest_storage_id_by_partition(
        INDEX_KEY, dg.DagsterEventType.ASSET_MATERIALIZATION, {night}
    )
    missing = (
        f"the index of {night} is not published: look at the runs of {night} of "
        "simulate, archive and prenight_index, and run what failed again"
    )
    return check_result(
        TONIGHT_CHECK.name, [] if night in found else [missing], asset_key=INDEX_KEY
    )


def _trends(found: "pd.DataFrame") -> dict[str, float]:
    """Return the median of each quantity, as numbers that the UI plots by night."""
    by_name = found.groupby("value_name")["median"].median()
    return {f"median/{name}": float(value) for name, value in by_name.dropna().items()}


index_assets = [prenight_index, nightly_statistics]

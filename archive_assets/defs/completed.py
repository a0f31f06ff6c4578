"""Completed visits: from where the simulations of a night start, kept and archived."""

from typing import TYPE_CHECKING

import dagster as dg

from archive_assets.defs.names import completed_key, telescopes
from archive_assets.defs.partitions import night_of, nights
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    DataStoreResource,
    SimulationsResource,
)
from archive_assets.defs.tables import visits_schema
from archive_assets.simulation import Telescope
from pipeline_runtime.dagster.pools import ARCHIVE
from pipeline_runtime.dagster.retries import patiently
from pipeline_runtime.dagster.tables import link

if TYPE_CHECKING:
    from archive_assets.archiving.completed_visits import CompletedVisits

__all__ = ["completed_assets"]

_RETRIES = patiently(3)


def _completed_asset(telescope: Telescope) -> dg.AssetsDefinition:
    @dg.asset(
        key=completed_key(telescope),
        deps=["scheduler_environment"],
        partitions_def=nights,
        group_name="simulation",
        kinds={"hdf5", "postgresql"},
        owners=["team:survey-scheduling"],
        tags={"telescope": telescope.value},
        description=(
            f"Visits of {telescope.value} before the night, from which its simulations "
            "start: archived, so that the start can be recovered. Without "
            f"$COMPLETED_VISITS_{telescope.name} there are none."
        ),
        code_version="1",
        pool=ARCHIVE,
        retry_policy=_RETRIES,
        backfill_policy=dg.BackfillPolicy.multi_run(),
        metadata={"dagster/column_schema": visits_schema()},
    )
    def completed(
        context: dg.AssetExecutionContext,
        archive_metadata: ArchiveMetadataResource,
        data_store: DataStoreResource,
        simulations: SimulationsResource,
    ) -> dg.MaterializeResult[None]:
        from archive_assets.archiving.completed_visits import keep_completed

        source = simulations.completed(telescope)
        if source is None:
            context.log.info("none are configured: the simulations start empty")
            return dg.MaterializeResult(
                metadata={"visits": 0, "start": "empty: none are configured"},
                data_version=dg.DataVersion("empty"),
            )
        with archive_metadata.open() as archive:
            kept = keep_completed(
                archive,
                data_store.open(),
                source,
                outbox=simulations.work,
                telescope=telescope.value,
                first_day_obs=night_of(context),
            )
        return _result(kept)

    return completed


def _result(kept: "CompletedVisits") -> dg.MaterializeResult[None]:
    start = f"after {kept.last_day_obs}" if kept.n_visits else "empty: no visits yet"
    return dg.MaterializeResult(
        metadata={
            "visits": kept.n_visits,
            "start": start,
            "visitseq_uuid": str(kept.visitseq_uuid or ""),
            "visitseq_url": link(kept.visitseq_url),
        },
        data_version=dg.DataVersion(kept.sha256 or "empty"),
    )


completed_assets = [_completed_asset(telescope) for telescope in telescopes()]

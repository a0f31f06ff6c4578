"""Archived visit sequences: a simulation's objects and its metadata, as one act."""

from datetime import date

import dagster as dg

from archive_assets.archiving import archive_finished
from archive_assets.defs.names import Plan, archived_key, plans, simulation_key
from archive_assets.defs.partitions import nights
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    DataStoreResource,
    SimulationsResource,
)
from archive_assets.simulation.outbox import finished_simulation

__all__ = ["sequence_assets"]

_RETRIES = dg.RetryPolicy(max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL)


def _sequence_asset(plan: Plan) -> dg.AssetsDefinition:
    @dg.asset(
        key=archived_key(plan),
        deps=[simulation_key(plan)],
        partitions_def=nights,
        group_name="archive",
        kinds={"hdf5", "postgresql"},
        owners=["team:survey-scheduling"],
        tags={"telescope": plan.telescope.value, "variant": plan.variant.name},
        description=(
            f"Visits, files, tags and statistics of the {plan.variant.name} "
            f"simulation of {plan.telescope.value}, archived in one transaction."
        ),
        code_version="1",
        pool="archive",
        retry_policy=_RETRIES,
        backfill_policy=dg.BackfillPolicy.multi_run(),
        op_tags={"dagster/priority": str(-plan.order)},
    )
    def archived(
        context: dg.AssetExecutionContext,
        archive_metadata: ArchiveMetadataResource,
        data_store: DataStoreResource,
        simulations: SimulationsResource,
    ) -> dg.MaterializeResult[None]:
        finished = finished_simulation(
            simulations.work,
            plan.telescope.value,
            date.fromisoformat(context.partition_key),
            plan.variant.name,
        )
        with archive_metadata.open() as vsarch:
            archived = archive_finished(
                vsarch, data_store.open(), finished, plan.variant
            )
        said = "was archived before" if archived.already_archived else "is archived"
        context.log.info("%s %s", archived.uuid, said)
        return dg.MaterializeResult(
            metadata={
                "visitseq_uuid": str(archived.uuid),
                "visitseq_url": dg.MetadataValue.url(archived.url),
                "visits": finished.n_visits,
                "last_day_obs": finished.last_day_obs.isoformat(),
                "already_archived": archived.already_archived,
                "tags": list(plan.variant.tags),
            }
        )

    return archived


sequence_assets = [_sequence_asset(plan) for plan in plans()]

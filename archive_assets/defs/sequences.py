"""Archived visit sequences: a simulation's objects and its metadata, as one act."""

from collections.abc import Iterator

import dagster as dg

from archive_assets.defs.names import Plan, archived_key, plans, simulation_key
from archive_assets.defs.partitions import night_of, nights
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    DataStoreResource,
    SimulationsResource,
)
from archive_assets.defs.tables import visits_schema
from pipeline_runtime.dagster.checks import check_result, refuse
from pipeline_runtime.dagster.following import follows
from pipeline_runtime.dagster.pools import ARCHIVE
from pipeline_runtime.dagster.retries import patiently
from pipeline_runtime.dagster.tables import link

__all__ = ["sequence_assets"]

_HASH = "hashes_hold"
_STATISTICS = "statistics_present"
_RETRIES = patiently(3)


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
        pool=ARCHIVE,
        retry_policy=_RETRIES,
        backfill_policy=dg.BackfillPolicy.multi_run(),
        automation_condition=follows(simulation_key(plan)),
        op_tags={"dagster/priority": str(-plan.order)},
        metadata={"dagster/column_schema": visits_schema()},
        check_specs=[
            dg.AssetCheckSpec(
                _HASH,
                asset=archived_key(plan),
                blocking=True,
                description="Every object, read back, has the hash that is recorded.",
            ),
            dg.AssetCheckSpec(
                _STATISTICS,
                asset=archived_key(plan),
                description="The statistics that the variant asks for are there.",
            ),
        ],
    )
    def archived(
        context: dg.AssetExecutionContext,
        archive_metadata: ArchiveMetadataResource,
        data_store: DataStoreResource,
        simulations: SimulationsResource,
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        from archive_assets.archiving.finished_simulation import (
            archive_finished,
            missing_statistics,
        )
        from archive_assets.integrity.problems import MISSING_STATISTIC
        from archive_assets.integrity.verify import verify_archive
        from archive_assets.simulation.outbox import finished_simulation

        finished = finished_simulation(
            simulations.work,
            plan.telescope.value,
            night_of(context),
            plan.variant.name,
        )
        with archive_metadata.open() as vsarch:
            store = data_store.open()
            archived = archive_finished(vsarch, store, finished, plan.variant)
            report = verify_archive(vsarch, store, uuids=[archived.uuid])
            missing = missing_statistics(vsarch, archived.uuid, finished, plan.variant)
        intact = check_result(
            _HASH,
            # statistics can be computed again: the next check names those that lack
            [
                f"{p.kind}: {p.detail}"
                for p in report.problems
                if p.kind != MISSING_STATISTIC
            ],
            metadata={"objects": report.n_objects, "bytes": report.n_bytes},
        )
        yield intact
        yield check_result(_STATISTICS, missing, severity=dg.AssetCheckSeverity.WARN)
        refuse(intact)
        said = "was archived before" if archived.already_archived else "is archived"
        context.log.info("%s %s", archived.uuid, said)
        yield dg.MaterializeResult(
            metadata={
                "visitseq_uuid": str(archived.uuid),
                "visitseq_url": link(archived.url),
                "visits": finished.n_visits,
                "last_day_obs": finished.last_day_obs.isoformat(),
                "already_archived": archived.already_archived,
                "tags": list(plan.variant.tags),
            }
        )

    return archived


sequence_assets = [_sequence_asset(plan) for plan in plans()]

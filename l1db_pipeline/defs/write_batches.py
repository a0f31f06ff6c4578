"""L1DB write batches: one partition a visit, one transaction a visit."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from l1db_pipeline.defs.archive import (
    ARCHIVED_KEY,
    SEQUENCE,
    ArchivedVisitsResource,
    ArchiveMetadataResource,
    DataStoreResource,
)
from l1db_pipeline.defs.partitions import by_night, keys_of_run, visit_key, visits
from l1db_pipeline.defs.pictures import figure_picture
from l1db_pipeline.defs.resources import L1dbResource, SourcesResource
from l1db_pipeline.defs.schema import schema_columns
from pipeline_runtime.dagster.pools import L1DB
from pipeline_runtime.dagster.retries import patiently
from pipeline_runtime.dagster.tables import table
from pipeline_runtime.dagster.visit_names import STORED_KEY

if TYPE_CHECKING:
    from l1db_pipeline.report.visit_costs import VisitCost
    from l1db_pipeline.schema.config import L1dbConfig
    from l1db_pipeline.store.base import L1Store
    from l1db_pipeline.visit.process import VisitSummary

__all__ = ["WriteBatchesConfig", "l1db_write_batches"]

_PROGRESS_EVERY = 10
_WRITTEN = ("DiaObject", "DiaSource", "DiaForcedSource")


class WriteBatchesConfig(dg.Config):
    """How visits are simulated; kept in the database with its first visit."""

    seed: int = Field(default=1, ge=0, description="Seed of everything random.")
    n_noise: int = Field(
        default=5150,
        ge=0,
        le=1_000_000,
        description="Mean transients and false positives in a visit.",
    )
    fill: bool = Field(
        default=False, description="Fill every column, not only the required ones."
    )


@dg.multi_asset(
    name="l1db_write_batches",
    specs=[
        dg.AssetSpec(
            STORED_KEY,
            deps=[
                ["l1db", "variable_sources"],
                ["l1db", "schema"],
                # a visit needs one night of it; no mapping that the web server
                # can evaluate knows which
                dg.AssetDep(ARCHIVED_KEY, partition_mapping=dg.AllPartitionMapping()),
            ],
            group_name="l1db",
            kinds={"postgresql", "python"},
            owners=["team:data-management"],
            code_version="1",
            skippable=True,  # each visit reports itself as soon as it is stored
            partitions_def=visits,
            description=(
                "DIAObjects, DIASources and DIAForcedSources of a visit: read, match, "
                "forced photometry, store in one transaction."
            ),
        )
    ],
    partitions_def=visits,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=L1DB,
    retry_policy=patiently(3),
)
def l1db_write_batches(  # noqa: PLR0917 - Dagster passes all by name
    context: dg.AssetExecutionContext,
    config: WriteBatchesConfig,
    l1db: L1dbResource,
    sources: SourcesResource,
    archived_visits: ArchivedVisitsResource,
    archive_metadata: ArchiveMetadataResource,
    data_store: DataStoreResource,
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """Run the AP prototype over visits; each is an event once it is stored."""
    from l1db_pipeline.report.visit_costs import VisitCost
    from l1db_pipeline.runs.archived_night import NightRun, NightSequence
    from l1db_pipeline.sources.kept_sources import SOURCES_FILE

    run = NightRun(
        config=l1db.l1db_config(),
        sources_file=sources.path / SOURCES_FILE,
        seed=config.seed,
        n_noise=config.n_noise,
        fill=config.fill,
    )
    with l1db.open() as store:
        for night, visit_ids in by_night(keys_of_run(context)).items():
            table, uuid = archived_visits.read(
                context.instance, archive_metadata, data_store, night
            )
            sequence = NightSequence(night=night, visitseq_uuid=uuid)
            summaries = run.run(store, table, visit_ids, sequence=sequence)
            costs: list[VisitCost] = []
            for n_done, summary in enumerate(summaries, start=1):
                columns = _columns(run.config) if n_done == len(visit_ids) else {}
                yield _event(summary, uuid, columns)
                if (cost := VisitCost.of(summary)) is not None:
                    costs.append(cost)
                if n_done % _PROGRESS_EVERY == 0:
                    context.log.info(
                        "%s: %d of %d visits", night, n_done, len(visit_ids)
                    )
            if costs:
                yield _costs(night, costs)
            _log_counts(context, store)


def _columns(config: "L1dbConfig") -> dict[str, dg.TableSchema]:
    """Return the keys of the rows that a visit writes; the asset ``schema`` has all."""
    from l1db_pipeline.schema.load import load_schema

    schema = load_schema(config.schema_file, column_map=config.column_map)
    tables = [schema.table(name) for name in _WRITTEN]
    # all 208 would push the plots off the page
    keys = (
        (table, table.column(name)) for table in tables for name in table.primary_key
    )
    return {"dagster/column_schema": schema_columns(keys)}


def _event(
    summary: "VisitSummary", visitseq_uuid: str, columns: Mapping[str, dg.TableSchema]
) -> dg.AssetMaterialization:
    outcome = summary.outcome.value if summary.outcome else "not stored"
    return dg.AssetMaterialization(
        asset_key=STORED_KEY,
        partition=visit_key(summary.visit_id),
        metadata={
            "outcome": outcome,
            SEQUENCE: visitseq_uuid,
            **_numbers(summary),
            **columns,
        },
    )


def _costs(night: date, costs: "Sequence[VisitCost]") -> dg.AssetObservation:
    """Return what the page of the run shows of a night's visits."""
    from l1db_pipeline.report.plots import costs_figure
    from l1db_pipeline.report.visit_costs import SLOWEST_COLUMNS, slowest_rows

    return dg.AssetObservation(
        STORED_KEY,
        description=f"{night}: what {len(costs)} visits cost",
        metadata={
            "picture/visits": figure_picture(costs_figure(costs), "visits"),
            "slowest": table(slowest_rows(costs), SLOWEST_COLUMNS),
            "seconds": round(sum(cost.wall_s for cost in costs), 3),
            "CPU_seconds": round(sum(cost.cpu_s for cost in costs), 3),
            "rows": sum(cost.n_rows for cost in costs),
        },
    )


def _numbers(summary: "VisitSummary") -> dict[str, float]:
    """Return what the web UI plots; nothing of a visit that was stored before."""
    if not summary.steps:
        return {}
    seconds = {
        f"seconds/{timing.step}": round(timing.real_s, 4)
        for timing in summary.steps
        if timing.step in {"Visit", "Objects-read", "Source-read", "L1-store", "DIA"}
    }
    return {
        "objects": summary.n_objects,
        "sources": summary.n_sources,
        "objects_known": summary.n_objects_known,
        "sources_read": summary.n_sources_found,
        "forced_sources_read": summary.n_forced_sources_found,
        **seconds,
    }


def _log_counts(context: dg.AssetExecutionContext, store: "L1Store") -> None:
    last = store.last_visit()
    context.log.info("last complete visit: %s", last.visit_id if last else "none")

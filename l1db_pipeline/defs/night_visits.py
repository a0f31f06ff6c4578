"""The visits of an archived night, registered as partitions."""

from collections.abc import Sequence
from datetime import date

import dagster as dg
from pydantic import Field

from l1db_pipeline.defs.archive import (
    ARCHIVED_KEY,
    NIGHT_VISITS_KEY,
    SEQUENCE,
    ArchivedVisitsResource,
    ArchiveMetadataResource,
    DataStoreResource,
    nights,
)
from l1db_pipeline.defs.partitions import (
    key_night,
    keys_before,
    register,
    visit_key,
)
from pipeline_runtime.dagster.following import follows
from pipeline_runtime.dagster.pools import VISITS
from pipeline_runtime.dagster.retries import patiently
from pipeline_runtime.dagster.visit_names import STORED_KEY, VISITS_NAME

__all__ = ["NIGHT_VISITS_KEY", "NightVisitsConfig", "night_visits"]


class NightVisitsConfig(dg.Config):
    """How long the visits of old nights stay among the partitions."""

    keep_nights: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description=(
            "Visits of earlier nights leave the list of partitions once they are "
            "stored; the ledger of the L1 database keeps them."
        ),
    )


@dg.asset(
    key=NIGHT_VISITS_KEY,
    deps=[ARCHIVED_KEY, ["archive", "existing_sequences"]],
    partitions_def=nights,
    group_name="l1db",
    kinds={"python"},
    owners=["team:data-management"],
    code_version="1",
    pool=VISITS,
    retry_policy=patiently(2),
    backfill_policy=dg.BackfillPolicy.multi_run(),
    automation_condition=follows(ARCHIVED_KEY),
    description=(
        "The visits of the sequence that the night's own partition archived (else of "
        "the newest nominal one), as partitions of l1db_write_batches."
    ),
)
def night_visits(
    context: dg.AssetExecutionContext,
    config: NightVisitsConfig,
    archived_visits: ArchivedVisitsResource,
    archive_metadata: ArchiveMetadataResource,
    data_store: DataStoreResource,
) -> dg.MaterializeResult[None]:
    """Register the visits of a night, and prune those of old nights."""
    from l1db_pipeline.runs.archived_night import night_visit_ids

    night = date.fromisoformat(context.partition_key)
    keep_nights = config.keep_nights
    visits, uuid = archived_visits.choose(
        context.instance, archive_metadata, data_store, night
    )
    keys = [visit_key(visit_id) for visit_id in night_visit_ids(visits, night).tolist()]
    register(context.instance, night, sorted(keys))
    present = context.instance.get_dynamic_partitions(VISITS_NAME)
    old = _stored(context.instance, keys_before(present, night, keep_nights))
    for key in old:
        context.instance.delete_dynamic_partition(VISITS_NAME, key)
    return dg.MaterializeResult(
        metadata={
            "visits": len(keys),
            "first_visit": min(keys, default=""),
            "last_visit": max(keys, default=""),
            SEQUENCE: uuid,
            "pruned": len(old),
        }
    )


def _stored(instance: dg.DagsterInstance, keys: Sequence[str]) -> list[str]:
    """Return the visits that were stored since their night was registered.

    In a backfill of months, nights are registered long before their visits' turn.
    """
    nights_of = {key: key_night(key).isoformat() for key in keys}
    materialized = dg.DagsterEventType.ASSET_MATERIALIZATION
    registered = instance.get_latest_storage_id_by_partition(
        NIGHT_VISITS_KEY, materialized, set(nights_of.values())
    )
    stored = instance.get_latest_storage_id_by_partition(
        STORED_KEY, materialized, set(keys)
    )
    return [
        key for key in keys if stored.get(key, -1) > registered.get(nights_of[key], -1)
    ]

"""The nightly merge: rows of DiaObjectNightly move into DiaObject; then vacuum."""

import dagster as dg

from l1db_pipeline.defs.archive import nights
from l1db_pipeline.defs.resources import L1dbResource
from pipeline_runtime.dagster.pools import L1DB
from pipeline_runtime.dagster.retries import patiently

__all__ = ["nightly_merge"]


@dg.asset(
    key_prefix="l1db",
    deps=[["l1db", "night_visits"]],
    partitions_def=nights,
    group_name="l1db",
    kinds={"postgresql"},
    owners=["team:data-management"],
    code_version="1",
    pool=L1DB,
    retry_policy=patiently(3),
    backfill_policy=dg.BackfillPolicy.single_run(),
    description=(
        "Rows of DiaObjectNightly, moved into DiaObject after the night; none unless "
        "the L1 database is configured with `dia_object_nightly`. Then all tables are "
        "vacuumed, and on PostgreSQL frozen, which nothing else does."
    ),
)
def nightly_merge(l1db: L1dbResource) -> dg.MaterializeResult[None]:
    """Merge the nightly table; a second run finds it empty."""
    with l1db.open() as store:
        moved = store.merge_nightly()
    return dg.MaterializeResult(metadata={"rows_moved": moved})

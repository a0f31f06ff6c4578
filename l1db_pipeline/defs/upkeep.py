"""Upkeep by schedule: nights are verified, history is compacted, old months expire."""

from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
from pydantic import Field

from l1db_pipeline.defs.archive import nights
from l1db_pipeline.defs.resources import L1dbResource
from pipeline_runtime.dagster.checks import check_result
from pipeline_runtime.dagster.executors import ONE_PROCESS
from pipeline_runtime.dagster.pools import L1DB
from pipeline_runtime.dagster.retries import patiently
from pipeline_runtime.dagster.run_tags import UPKEEP, WRITER, deadline

__all__ = [
    "CompactionConfig",
    "ExpiryConfig",
    "compact_job",
    "expire_job",
    "history_compaction",
    "months_expiry",
    "night_verification",
    "verify_night_job",
]

_CONSISTENT = "night_is_consistent"
_SHOWN = 100
_NOON = time(12, tzinfo=UTC)  # of UTC-12 it is midnight, when a night begins


@dg.asset(
    key_prefix="l1db",
    deps=[["l1db", "nightly_merge"]],
    partitions_def=nights,
    group_name="l1db",
    kinds={"postgresql"},
    owners=["team:data-management"],
    code_version="1",
    pool=L1DB,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    description=(
        "The night's rows, chunks and ledger entries against each other, as "
        "`l1db verify --day-obs`."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            _CONSISTENT,
            asset=["l1db", "night_verification"],
            description="Every invariant holds on what the night's visits wrote.",
        )
    ],
)
def night_verification(
    context: dg.AssetExecutionContext, l1db: L1dbResource
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster 1.13 wants it bare
    """Verify the visits of a night."""
    from l1db_pipeline.runs.kept_settings import verify_settings
    from l1db_pipeline.store.base import Verification

    begin = datetime.combine(date.fromisoformat(context.partition_key), _NOON)
    scope = Verification(since=begin, until=begin + timedelta(days=1))
    with l1db.open() as store:
        findings = [*store.verify(scope=scope), *verify_settings(store, scope)]
    return dg.MaterializeResult(
        metadata={f"checked/{name}": n for name, n in scope.proved.items()},
        check_results=[
            check_result(
                _CONSISTENT,
                [str(finding) for finding in findings[:_SHOWN]],
                metadata={"findings": len(findings)},
            )
        ],
    )


class CompactionConfig(dg.Config):
    """What to compact."""

    keep_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="Packed history of these last days stays as it is.",
    )


@dg.asset(
    key_prefix="l1db",
    deps=[["l1db", "schema"]],
    group_name="l1db",
    kinds={"postgresql"},
    owners=["team:data-management"],
    code_version="1",
    pool=L1DB,
    retry_policy=patiently(2),
    description=(
        "Packed history of past months, merged into one chunk a pixel and month; each "
        "part is a transaction of its own, so that a run that ends is gone on with."
    ),
)
def history_compaction(
    config: CompactionConfig, l1db: L1dbResource
) -> dg.MaterializeResult[None]:
    """Compact packed history; what is read stays the same."""
    before = datetime.now(UTC) - timedelta(days=config.keep_days)
    with l1db.open() as store:
        n_fewer = store.compact_history(before=before)
    return dg.MaterializeResult(metadata={"chunks_fewer": n_fewer})


class ExpiryConfig(dg.Config):
    """What to keep."""

    keep_months: int = Field(
        default=12,
        ge=1,
        le=1200,
        description="Whole months kept before that of the latest visit.",
    )


@dg.asset(
    key_prefix="l1db",
    deps=[["l1db", "schema"]],
    group_name="l1db",
    kinds={"postgresql"},
    owners=["team:data-management"],
    code_version="1",
    pool=L1DB,
    retry_policy=patiently(2),
    description=(
        "Months whose sources, forced sources and ended versions were deleted for "
        "good, as `l1db expire --keep`. Nothing goes before a whole window is there."
    ),
)
def months_expiry(
    config: ExpiryConfig, l1db: L1dbResource
) -> dg.MaterializeResult[None]:
    """Let months expire that no visit reads any more."""
    from l1db_pipeline.store.retention import expire_months

    with l1db.open() as store:
        plan = expire_months(store, keep=config.keep_months)
    return dg.MaterializeResult(
        metadata={
            "months": [month.month for month in plan.months],
            "kept_from": "everything"
            if plan.before is None
            else f"{plan.before:%Y-%m}",
        }
    )


verify_night_job = dg.define_asset_job(
    "verify_l1db_night",
    dg.AssetSelection.assets(night_verification),
    tags=WRITER | deadline(hours=2) | UPKEEP,  # no visit is stored meanwhile
    executor_def=ONE_PROCESS,
    description="Check every invariant on the visits of a night.",
)
compact_job = dg.define_asset_job(
    "compact_l1db",
    dg.AssetSelection.assets(history_compaction),
    tags=WRITER | deadline(hours=5) | UPKEEP,
    executor_def=ONE_PROCESS,
    description="Merge the packed history of past months.",
)
expire_job = dg.define_asset_job(
    "expire_l1db",
    dg.AssetSelection.assets(months_expiry),
    tags=WRITER | deadline(hours=5) | UPKEEP,
    executor_def=ONE_PROCESS,
    description="Delete for good the months that no visit reads any more.",
)

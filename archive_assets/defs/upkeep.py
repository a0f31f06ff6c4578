"""Upkeep by schedule: what was archived last night is read back, garbage is listed."""

from uuid import UUID

import dagster as dg

from archive_assets.defs.integrity import GarbageConfig, archive_verification
from archive_assets.defs.names import archived_key, plans
from archive_assets.defs.partitions import night_of, nights
from archive_assets.defs.resources import ArchiveMetadataResource, DataStoreResource
from pipeline_runtime.dagster.checks import check_result
from pipeline_runtime.dagster.executors import ONE_PROCESS
from pipeline_runtime.dagster.materializations import latest_text
from pipeline_runtime.dagster.pools import ARCHIVE
from pipeline_runtime.dagster.run_tags import UPKEEP, deadline

__all__ = ["garbage_is_collected", "night_verification", "verify_night_job"]

_SOUND = "night_is_sound"


@dg.asset(
    key_prefix="archive",
    deps=[archived_key(plan) for plan in plans()],
    partitions_def=nights,
    group_name="archive",
    kinds={"postgresql", "hdf5"},
    owners=["team:survey-scheduling"],
    code_version="1",
    pool=ARCHIVE,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    description="The night's archived objects, read back and compared with hashes.",
    check_specs=[
        dg.AssetCheckSpec(
            _SOUND,
            asset=["archive", "night_verification"],
            description="No object of the night is missing, cut short or changed.",
        )
    ],
)
def night_verification(
    context: dg.AssetExecutionContext,
    archive_metadata: ArchiveMetadataResource,
    data_store: DataStoreResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster 1.13 wants it bare
    """Verify the sequences that the night's own partitions archived."""
    from archive_assets.integrity.verify import verify_archive

    night = night_of(context)
    told = (
        latest_text(context.instance, archived_key(plan), night, "visitseq_uuid")
        for plan in plans()
    )
    uuids = [UUID(text) for text in told if text]
    n_objects = n_bytes = 0
    problems: list[str] = []
    if uuids:  # none would be all of them
        with archive_metadata.open() as archive:
            report = verify_archive(archive, data_store.open(), uuids=uuids)
        n_objects, n_bytes = report.n_objects, report.n_bytes
        problems = [f"{p.kind}: {p.subject}, {p.detail}" for p in report.problems]
    return dg.MaterializeResult(
        metadata={
            "sequences": len(uuids),
            "objects": n_objects,
            "MB": n_bytes / 1e6,
        },
        check_results=[check_result(_SOUND, problems)],
    )


@dg.asset_check(
    asset=archive_verification,
    name="garbage_is_collected",
    pool=ARCHIVE,
    description="Lists what the job `gc` would remove; removes nothing.",
)
def garbage_is_collected(
    archive_metadata: ArchiveMetadataResource, data_store: DataStoreResource
) -> dg.AssetCheckResult:
    """List the garbage of the archive."""
    from archive_assets.integrity.collect import collect_garbage

    ages = GarbageConfig()
    with archive_metadata.open() as archive:
        found = collect_garbage(
            archive,
            data_store.open(),
            trash_days=ages.trash_days,
            orphan_days=ages.orphan_days,
        )
    listed = [
        *(f"sequence {uuid} is in the trash: run gc" for uuid in found.sequences),
        *(f"{url} has no sequence: run gc" for url in found.orphans),
    ]
    return check_result(
        "garbage_is_collected",
        listed,
        metadata={"MB": found.n_bytes / 1e6},
        severity=dg.AssetCheckSeverity.WARN,
    )


verify_night_job = dg.define_asset_job(
    "verify_night",
    dg.AssetSelection.assets(night_verification),
    tags=deadline(hours=2) | UPKEEP,
    executor_def=ONE_PROCESS,
    description="Read back what was archived of a night.",
)

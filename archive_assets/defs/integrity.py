"""Care of the archive: verified, cleared of garbage, its services tried."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import dagster as dg
from pydantic import Field, field_validator

from archive_assets.defs.names import NOMINAL, archived_key, plans
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    DataStoreResource,
    PrenightIndexResource,
    SimulationsResource,
)
from archive_assets.defs.tables import columns_schema, table
from archive_assets.errors import EXPECTED_ERRORS
from pipeline_runtime.dagster.checks import check_result, refuse
from pipeline_runtime.dagster.pools import ARCHIVE
from pipeline_runtime.dagster.run_tags import UPKEEP, deadline

__all__ = [
    "GarbageConfig",
    "VerificationConfig",
    "archive_verification",
    "existing_sequences",
    "gc_job",
    "observe_job",
]

_PROBLEM_COLUMNS = dict.fromkeys(("kind", "subject", "detail"), "string")
_ANSWER = "services_answer"
_SOUND = "archive_is_sound"
_VERIFICATION = dg.AssetKey(["archive", "archive_verification"])
_SEQUENCES = [archived_key(plan) for plan in plans()]


class VerificationConfig(dg.Config):
    """What to verify."""

    sequences: list[str] = Field(
        default_factory=list, description="UUIDs; the whole archive if empty."
    )
    repair: bool = Field(
        default=False,
        description="Repair what can be repaired without loss: hashes, indexes.",
    )

    @field_validator("sequences")
    @classmethod
    def _are_uuids(cls, sequences: list[str]) -> list[str]:
        for text in sequences:
            UUID(text)
        return sequences


@dg.multi_asset(
    name="archive__archive_verification",
    can_subset=True,  # services_answer can be tried alone
    specs=[
        dg.AssetSpec(
            _VERIFICATION,
            deps=_SEQUENCES,
            group_name="archive",
            kinds={"postgresql", "hdf5"},
            owners=["team:survey-scheduling"],
            code_version="1",
            skippable=True,
            metadata={"dagster/column_schema": columns_schema(_PROBLEM_COLUMNS)},
            description=(
                "Every object against its hash, rows and indexes against each other."
            ),
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            _ANSWER,
            asset=_VERIFICATION,
            blocking=True,
            description=(
                "Database, schema, rights, object store and index of the archive can "
                "be used. Tried first; can be executed alone, in seconds."
            ),
        ),
        dg.AssetCheckSpec(
            _SOUND,
            asset=_VERIFICATION,
            description="No object is missing, cut short or changed; no row dangles.",
        ),
    ],
    pool=ARCHIVE,
)
def archive_verification(
    context: dg.AssetExecutionContext,
    config: VerificationConfig,
    archive_metadata: ArchiveMetadataResource,
    data_store: DataStoreResource,
    prenight_index_store: PrenightIndexResource,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """Try the services, then compare all that the archive knows with what is there."""
    answer = _services_answer(archive_metadata, data_store, prenight_index_store)
    yield answer
    if context.selected_asset_keys:
        refuse(answer)
        yield _verified(config, archive_metadata, data_store, prenight_index_store)


def _verified(
    config: VerificationConfig,
    archive_metadata: ArchiveMetadataResource,
    data_store: DataStoreResource,
    prenight_index_store: PrenightIndexResource,
) -> dg.MaterializeResult[None]:
    from archive_assets.integrity.verify import verify_archive

    with archive_metadata.open() as archive:
        report = verify_archive(
            archive,
            data_store.open(),
            uuids=[UUID(text) for text in config.sequences],
            index_base=prenight_index_store.url,
            repair=config.repair,
        )
    rows = [
        {"kind": p.kind, "subject": p.subject, "detail": p.detail}
        for p in report.problems
    ]
    left = [
        f"{p.kind}: {p.subject}, {p.detail}"
        for p in report.problems
        if not p.is_repaired
    ]
    return dg.MaterializeResult(
        asset_key=_VERIFICATION,
        metadata={
            "objects": report.n_objects,
            "MB": report.n_bytes / 1e6,
            "indexes": report.n_indexes,
            "problems": len(report.problems),
            "found": table(rows, _PROBLEM_COLUMNS),
        },
        check_results=[check_result(_SOUND, left, asset_key=_VERIFICATION)],
    )


def _services_answer(
    archive_metadata: ArchiveMetadataResource,
    data_store: DataStoreResource,
    prenight_index_store: PrenightIndexResource,
) -> dg.AssetCheckResult:
    from archive_assets.integrity.doctor import examine

    try:
        with archive_metadata.open() as archive:
            found = list(examine(archive, data_store.open(), prenight_index_store.url))
        problems = [f"{f.subject}: {f.detail}" for f in found if not f.is_well]
    except (*EXPECTED_ERRORS, OSError) as error:
        problems = [str(error)]
    return check_result(_ANSWER, problems, asset_key=_VERIFICATION)


class GarbageConfig(dg.Config):
    """What may be deleted, and whether it is."""

    apply: bool = Field(
        default=False, description="Delete; by default only list what would be deleted."
    )
    trash_days: int = Field(
        default=30, ge=1, le=3650, description="Days in the trash before removal."
    )
    orphan_days: int = Field(
        default=7,
        ge=1,
        le=3650,
        description="Age in days of the unreferenced objects to delete.",
    )
    simulation_days: int = Field(
        default=14,
        ge=1,
        le=3650,
        description="Days for which finished simulations are kept on this machine.",
    )


@dg.op(
    pool=ARCHIVE,
    description="Delete what no sequence refers to; by default only list it.",
)
def collect(
    context: dg.OpExecutionContext,
    config: GarbageConfig,
    archive_metadata: ArchiveMetadataResource,
    data_store: DataStoreResource,
    simulations: SimulationsResource,
) -> None:
    """Collect the garbage of the archive and of the simulations' folder."""
    from archive_assets.integrity.collect import collect_garbage
    from archive_assets.simulation.outbox import remove_older

    with archive_metadata.open() as archive:
        done = collect_garbage(
            archive,
            data_store.open(),
            trash_days=config.trash_days,
            orphan_days=config.orphan_days,
            apply=config.apply,
        )
    before = datetime.now(UTC) - timedelta(days=config.simulation_days)
    folders = remove_older(simulations.work, before, dry_run=not config.apply)
    context.add_output_metadata(
        {
            "removed": config.apply,
            "sequences": len(done.sequences),
            "unreferenced_objects": len(done.orphans),
            "MB": done.n_bytes / 1e6,
            "simulation_folders": [str(folder) for folder in folders],
            "list": dg.MetadataValue.json(json.loads(json.dumps(done.as_json()))),
        }
    )


@dg.job(
    name="gc",
    tags=deadline(hours=1) | UPKEEP,
    description="Delete what no sequence refers to; a dry run unless `apply`.",
)
def gc_job() -> None:
    """Collect garbage."""
    collect()


existing_sequences = dg.AssetSpec(
    ["archive", "existing_sequences"],
    group_name="archive",
    kinds={"postgresql", "hdf5"},
    owners=["team:survey-scheduling"],
    code_version="1",
    description=(
        "The newest nominal sequence of the archive, whoever archived it: observed by "
        "the job `observe`, never made here."
    ),
)


@dg.op(description="Look up the newest nominal sequence.")
def observe_newest(
    context: dg.OpExecutionContext, archive_metadata: ArchiveMetadataResource
) -> None:
    """Observe the newest nominal sequence."""
    from archive_assets.reading.newest_visits import newest_sequence

    with archive_metadata.open() as archive:
        newest = newest_sequence(archive, NOMINAL.telescope.value, NOMINAL.variant.tags)
    context.log_event(
        dg.AssetObservation(
            asset_key=existing_sequences.key,
            metadata={"visitseq_uuid": str(newest)},
            tags={"dagster/data_version": str(newest)},
        )
    )


@dg.job(
    name="observe",
    tags=deadline(hours=1) | UPKEEP,
    description="Observe the sequences that others archived.",
)
def observe_job() -> None:
    """Observe the archive."""
    observe_newest()

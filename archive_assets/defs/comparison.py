"""All variants of a night side by side, and how they differ from the nominal one."""

from typing import TYPE_CHECKING

import dagster as dg

from archive_assets.defs.names import NOMINAL, archived_variants
from archive_assets.defs.partitions import night_of, nights
from archive_assets.defs.resources import ArchiveMetadataResource, SimulationsResource
from archive_assets.defs.tables import frame_schema, frame_table
from pipeline_runtime.dagster.following import follows
from pipeline_runtime.dagster.pictures import picture
from pipeline_runtime.dagster.retries import patiently

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["night_comparison"]


@dg.asset(
    key_prefix="archive",
    deps=archived_variants(),
    partitions_def=nights,
    group_name="archive",
    kinds={"matplotlib"},
    owners=["team:survey-scheduling"],
    tags={"telescope": NOMINAL.telescope.value},
    code_version="1",
    retry_policy=patiently(2),
    backfill_policy=dg.BackfillPolicy.multi_run(),
    automation_condition=follows(*archived_variants()),
    description=(
        "Altitude and airmass of every archived variant of the night side by side, "
        "and their differences to the nominal one."
    ),
)
def night_comparison(
    context: dg.AssetExecutionContext,
    archive_metadata: ArchiveMetadataResource,
    simulations: SimulationsResource,
) -> dg.MaterializeResult[None]:
    """Draw the variants of a night."""
    from archive_assets.nights.covered import prenight_simulations
    from archive_assets.nights.report import newest_sequences
    from archive_assets.simulation.variants_report import (
        differences,
        write_variants_report,
    )

    night = night_of(context)
    telescope = NOMINAL.telescope.value
    with archive_metadata.open() as archive:
        index = prenight_simulations(archive, night, telescope)
    sequences, note = newest_sequences(index)
    if not sequences:
        return dg.MaterializeResult(metadata={"variants": 0})
    folder = simulations.work / telescope / night.isoformat()
    paths = write_variants_report(folder, sequences, night, note=note)
    found = differences(sequences, night)
    return dg.MaterializeResult(
        metadata={
            "variants": len(sequences),
            "differences": frame_table(found),
            "dagster/column_schema": frame_schema(found),
            **{f"picture/{kind}": picture(path) for kind, path in paths.items()},
            **{f"file/{k}": dg.MetadataValue.path(path) for k, path in paths.items()},
            **_trends(found),
        }
    )


def _trends(found: "pd.DataFrame") -> dict[str, float]:
    """Return numbers by variant, which the UI plots by night."""
    numbers = found.set_index("variant")[["visits", "airmass", "same_fields"]]
    return {
        f"{quantity}/{variant}": float(value)
        for quantity, column in numbers.items()
        for variant, value in column.dropna().items()
    }

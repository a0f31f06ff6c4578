"""Pictures of a simulated night in an asset's metadata."""

from datetime import date
from pathlib import Path

import dagster as dg

from pipeline_runtime.dagster.pictures import picture

__all__ = ["night_pictures"]


def night_pictures(
    folder: Path, opsim_path: Path, name: str, night: date, note: str
) -> dict[str, dg.MetadataValue]:
    """Return the pictures of a simulated night by name; none without visits."""
    from archive_assets.simulation.night_report import write_night_report
    from visit_tables.opsim.frame import read_opsim

    visits = read_opsim(opsim_path)
    if visits.empty:
        return {}
    paths = write_night_report(folder, {name: visits}, night, note=note)
    return {f"picture/{kind}": picture(path) for kind, path in paths.items()}

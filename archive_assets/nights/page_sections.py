"""What the archive and the index know of a night, as sections of its page."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archive_assets.archiving.finished_simulation import SYNTHETIC_TAG
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.nights.index import (
    MAX_AGE,
    TELESCOPES,
    prenight_index_path,
)
from archive_assets.nights.index_json import index_frame, load_index
from archive_assets.nights.page import Section
from archive_assets.nights.report import newest_sequences
from archive_assets.objects.transfer import store_errors
from archive_assets.simulation.night_report import write_night_report

__all__ = ["archived_section", "index_section", "night_drawings"]

ARCHIVED = "Simulated and archived"
INDEXED = "Published in the index"


def archived_section(
    archive: VisitSequenceArchiveMetadata,
    day_obs: date,
    expected: Mapping[str, int | None],
) -> Section:
    """Return the simulations of a night: UUIDs, links, inputs.

    Parameters
    ----------
    archive
        The metadata database.
    day_obs
        First night of the simulations.
    expected
        Variants that the night should have, with the visits of each if known.
    """
    rows = []
    for telescope in TELESCOPES:
        frame = archive.sims_on_night_with_stats(
            day_obs, ("prenight",), telescope, MAX_AGE
        )
        for uuid, row in index_frame(frame).iterrows():
            if row["first_day_obs"] == day_obs:
                rows.append(_simulation(str(uuid), row, expected))
    found = {row[0] for row in rows}
    missing = [name for name in expected if name not in found]
    said = f"{len(expected) - len(missing)} of {len(expected)} variants"
    if missing:
        said += (
            f"; missing: {', '.join(missing)}: materialize their simulations and "
            "archived sequences for this night"
        )
    return Section(
        title=ARCHIVED,
        summary=said,
        is_well=not missing,
        columns=(
            "variant",
            "visits, all nights",
            "scheduler",
            "inputs",
            "UUID",
            "visits file",
        ),
        rows=rows,
    )


def _simulation(
    uuid: str, row: Any, expected: Mapping[str, int | None]
) -> tuple[str, ...]:
    kwargs = (
        row["sim_runner_kwargs"] if isinstance(row["sim_runner_kwargs"], dict) else {}
    )
    variant = kwargs.get("variant")
    name = variant.get("name", "") if isinstance(variant, dict) else ""
    parent = row["parent_last_day_obs"]
    start = f"after {parent}" if row["parent_visitseq_uuid"] else "starts empty"
    fallback = "synthetic site data, " if SYNTHETIC_TAG in row["tags"] else ""
    named = f"{row['telescope']}_{name}" if name else str(row["visitseq_label"])
    return (
        named,
        str(expected.get(named) or ""),
        str(row["scheduler_version"] or ""),
        f"{fallback}{start}",
        uuid,
        str(row["visitseq_url"] or ""),
    )


def index_section(index_base: str, day_obs: date) -> Section:
    """Return whether and when the indexes of a night were published."""
    rows, n_missing = [], 0
    for telescope in TELESCOPES:
        location = prenight_index_path(day_obs, telescope, index_base)
        try:
            with store_errors(location):
                index = load_index(location.read(), location.geturl())
        except FileNotFoundError:
            n_missing += 1
            rows.append((telescope, "not published", "", location.geturl()))
            continue
        when = f"{index.generated:%Y-%m-%d %H:%M}" if index.generated else ""
        rows.append((telescope, str(len(index.frame)), when, location.geturl()))
    said = "all telescopes" if not n_missing else "launch the job prenight_index"
    return Section(
        title=INDEXED,
        summary=said,
        is_well=not n_missing,
        columns=("telescope", "simulations", "published (UTC)", "index"),
        rows=rows,
    )


def night_drawings(
    archive: VisitSequenceArchiveMetadata, day_obs: date, telescope: str
) -> dict[str, bytes]:
    """Return the pictures of a night's newest simulations; none without visits."""
    frame = archive.sims_on_night_with_stats(day_obs, ("prenight",), telescope, MAX_AGE)
    sequences, note = newest_sequences(index_frame(frame))
    if not sequences or next(iter(sequences.values())).empty:
        return {}
    with TemporaryDirectory() as folder:
        paths = write_night_report(Path(folder), sequences, day_obs, note=note)
        return {kind: path.read_bytes() for kind, path in paths.items()}

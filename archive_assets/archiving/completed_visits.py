"""The completed visits from which a night's simulations start, kept and archived."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from archive_assets.archiving.sequence import ArchivedSequence, archive_visit_sequence
from archive_assets.errors import ArchiveError
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.objects.datastore import DataStore
from archive_assets.simulation.base import ParentVisits, Telescope
from pipeline_runtime.documents import read_json
from visit_tables.columns import Batch
from visit_tables.content_hash import VisitsDigest
from visit_tables.day_obs import mjd_of_date, night_mjds
from visit_tables.files import iterate_visits
from visit_tables.hdf5.write import replacing_file, write_batches

__all__ = [
    "CompletedVisits",
    "NoCompletedVisitsError",
    "archive_completed",
    "keep_completed",
    "starting_point",
]

_FOLDER = "completed_visits"
_VISITS_FILE = "visits.h5"
_RECORD_FILE = "completed.json"


class NoCompletedVisitsError(ArchiveError):
    """A site has completed visits, but those of a night are not kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletedVisits:
    """The visits before a night, in a file that does not change any more.

    Attributes
    ----------
    path
        ``visits.h5``; no file if there are none.
    last_day_obs
        The night before: the last that they cover, with visits or without.
    n_visits
        How many there are; with none, a simulation starts empty.
    sha256
        Canonical hash of the visits, hexadecimal; empty if there are none.
    visitseq_uuid, visitseq_url
        The archived sequence, if there are visits.
    """

    path: Path
    telescope: str
    last_day_obs: date
    n_visits: int
    sha256: str = ""
    visitseq_uuid: UUID | None = None
    visitseq_url: str = ""

    def parent(self) -> ParentVisits | None:
        """Return what a simulation receives of them, `None` if it starts empty."""
        if not self.n_visits:
            return None
        return ParentVisits(
            path=self.path,
            telescope=Telescope(self.telescope),
            last_day_obs=self.last_day_obs,
            visitseq_uuid=self.visitseq_uuid,
        )


def archive_completed(
    vsarch: VisitSequenceArchiveMetadata, store: DataStore, parent: ParentVisits
) -> ArchivedSequence:
    """Archive completed visits; the same ones are archived only once."""
    return archive_visit_sequence(
        vsarch=vsarch,
        store=store,
        visits=parent.path,
        label=f"Completed visits through {parent.last_day_obs}",
        telescope=str(parent.telescope),
        kind="completed",
        last_day_obs=parent.last_day_obs,
        stats_columns=(),
        idempotency_key=f"completed:{parent.telescope}:{{}}".format,
        query=f"visits of {parent.path.name} through {parent.last_day_obs}",
    )


def keep_completed(
    vsarch: VisitSequenceArchiveMetadata,
    store: DataStore,
    source: Path,
    *,
    outbox: Path,
    telescope: str,
    first_day_obs: date,
) -> CompletedVisits:
    """Archive the visits before a night, and keep them for its simulations.

    Parameters
    ----------
    vsarch, store
        Where they are archived.
    source
        Opsim file or ``visits.h5`` that the site adds to; visits of the night and
        later are left out, so that a night can be simulated again.
    outbox, telescope, first_day_obs
        Whose simulations start from them.

    Raises
    ------
    ArchiveError
        If the file cannot be read, or the archive refuses.
    """
    place = _place(outbox, telescope, first_day_obs)
    place.mkdir(parents=True, exist_ok=True)
    path, last = place / _VISITS_FILE, first_day_obs - timedelta(days=1)
    n_visits, sha256 = _copy_before(source, path, first_day_obs)
    kept = CompletedVisits(
        path=path,
        telescope=telescope,
        last_day_obs=last,
        n_visits=n_visits,
        sha256=sha256,
    )
    if (parent := kept.parent()) is not None:
        archived = archive_completed(vsarch, store, parent)
        kept = replace(
            kept,
            visitseq_uuid=archived.uuid,
            visitseq_url=archived.url,
        )
    _record(place / _RECORD_FILE, kept)
    return kept


def starting_point(
    outbox: Path, telescope: str, first_day_obs: date, source: Path | None
) -> ParentVisits | None:
    """Return the completed visits from which a night's simulations start.

    Parameters
    ----------
    outbox, telescope, first_day_obs
        Whose simulations.
    source
        The site's file of completed visits; without one simulations start empty.

    Raises
    ------
    NoCompletedVisitsError
        If the site has a file, but its visits were not kept for the night.
    """
    if source is None:
        return None
    place = _place(outbox, telescope, first_day_obs)
    try:
        record = read_json(place / _RECORD_FILE)
    except FileNotFoundError:
        raise NoCompletedVisitsError(
            f"the completed visits of {telescope} before {first_day_obs} are not kept "
            f"in {place}: materialize completed_visits of the night first"
        ) from None
    uuid = record["visitseq_uuid"]
    return CompletedVisits(
        path=place / _VISITS_FILE,
        telescope=telescope,
        last_day_obs=date.fromisoformat(record["last_day_obs"]),
        n_visits=record["n_visits"],
        visitseq_uuid=UUID(uuid) if uuid else None,
    ).parent()


def _place(outbox: Path, telescope: str, first_day_obs: date) -> Path:
    return outbox / telescope / first_day_obs.isoformat() / _FOLDER


def _copy_before(source: Path, path: Path, day_obs: date) -> tuple[int, str]:
    """Write the visits before a night to a new file; return their number and hash."""
    n_visits = sum(int(is_before.sum()) for is_before, _ in _batches(source, day_obs))
    if not n_visits:
        return 0, ""
    digest = VisitsDigest()

    def kept() -> Iterator[Batch]:
        for is_before, batch in _batches(source, day_obs):
            chosen = {name: values[is_before] for name, values in batch.items()}
            digest.update(chosen)
            yield chosen

    write_batches(path, [("observations", n_visits, kept())])
    return n_visits, digest.digest().hex()


def _batches(source: Path, day_obs: date) -> Iterator[tuple[NDArray[np.bool_], Batch]]:
    for batch in iterate_visits(source):
        if batch:
            yield night_mjds(batch) < mjd_of_date(day_obs), batch


def _record(path: Path, kept: CompletedVisits) -> None:
    record = {
        "last_day_obs": kept.last_day_obs.isoformat(),
        "n_visits": kept.n_visits,
        "visitseq_uuid": str(kept.visitseq_uuid or ""),
    }
    with replacing_file(path) as partial:
        partial.write_text(json.dumps(record))

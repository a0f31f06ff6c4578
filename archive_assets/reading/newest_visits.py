"""The visits file of a night's newest sequence, checked and at hand as a local path."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

from typing_extensions import override

from archive_assets.errors import ArchiveError
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.errors import MissingFileError
from archive_assets.metadata.nights import ANY_AGE_DAYS
from archive_assets.metadata.selects import SearchCriteria
from archive_assets.metadata.sequences import visits_object_sha256
from archive_assets.objects.datastore import DataStore

__all__ = [
    "ArchivedVisits",
    "NoArchivedVisitsError",
    "newest_sequence",
    "newest_visits_file",
    "visits_file_of",
]


class NoArchivedVisitsError(ArchiveError, LookupError):
    """No archived sequence covers a night."""

    def __init__(self, day_obs: date, telescope: str, tags: Sequence[str]) -> None:
        super().__init__(day_obs, telescope, tags)
        self.day_obs = day_obs
        self.telescope = telescope
        self.tags = tags

    @override
    def __str__(self) -> str:
        return (
            f"no archived sequence of {self.telescope} tagged {', '.join(self.tags)} "
            f"covers {self.day_obs}: simulate and archive the night first"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedVisits:
    """A visits file, and whose it is."""

    visitseq_uuid: UUID
    path: Path


def newest_sequence(
    archive: VisitSequenceArchiveMetadata, telescope: str, tags: Sequence[str]
) -> UUID | None:
    """Return the newest sequence with visits and all tags, `None` if there is none."""
    found = archive.search(
        SearchCriteria(telescope=telescope, tags=tags, with_visits=True, limit=1)
    )
    return None if found.empty else UUID(str(found.iloc[0]["visitseq_uuid"]))


@contextmanager
def newest_visits_file(
    archive: VisitSequenceArchiveMetadata,
    store: DataStore,
    day_obs: date,
    *,
    tags: Sequence[str],
    telescope: str,
    preferred: UUID | None = None,
) -> Iterator[ArchivedVisits]:
    """Give the visits file of the newest sequence of a night as a local file.

    Parameters
    ----------
    archive, store
        Metadata and objects.
    day_obs
        A night that the sequence covers.
    tags, telescope
        What the sequence must have.
    preferred
        Taken in place of the newest if it is one of these sequences.

    Raises
    ------
    NoArchivedVisitsError
        If there is no such sequence, or its visits are not archived.
    ArchiveError
        If the object is missing or not what was archived.
    """
    found = archive.sims_on_nights(day_obs, day_obs, tags, telescope, ANY_AGE_DAYS)
    archived = [row for row in found.to_dict("records") if row["visitseq_url"]]
    if not archived:
        raise NoArchivedVisitsError(day_obs, telescope, tags)
    chosen = max(
        archived,
        key=lambda row: (row["visitseq_uuid"] == preferred, row["creation_time"]),
    )
    with visits_file_of(archive, store, chosen["visitseq_uuid"]) as given:
        yield given


@contextmanager
def visits_file_of(
    archive: VisitSequenceArchiveMetadata, store: DataStore, visitseq_uuid: UUID
) -> Iterator[ArchivedVisits]:
    """Give the visits file of a sequence as a local file.

    Raises
    ------
    ArchiveError
        If there is no such sequence, it has no visits, or the object is missing or
        not what was archived.
    """
    url = archive.get_visitseq_url(visitseq_uuid)
    if not url:
        raise MissingFileError(visitseq_uuid, "visits")
    with archive.transaction() as connection:
        sha256 = visits_object_sha256(connection, visitseq_uuid)
    path = store.get(url, sha256)
    yield ArchivedVisits(visitseq_uuid=visitseq_uuid, path=path)

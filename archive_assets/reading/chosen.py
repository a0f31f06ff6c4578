"""Which sequence a person means: a UUID, or the newest with some tags."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from typing_extensions import override

from archive_assets.errors import ArchiveError
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.search import row_of_sequence
from archive_assets.metadata.selects import SearchCriteria

__all__ = ["Chosen", "NoSuchSequenceError", "choose_sequence"]


class NoSuchSequenceError(ArchiveError, LookupError):
    """No archived sequence has the tags that were given."""

    def __init__(self, tags: str, day_obs: date | None) -> None:
        super().__init__(tags, day_obs)
        self.tags = tags
        self.day_obs = day_obs

    @override
    def __str__(self) -> str:
        night = f" covers {self.day_obs}" if self.day_obs else " is archived"
        return (
            f"no sequence tagged {self.tags} with visits{night}: give the UUID of a "
            "sequence or other tags; vseqarchive search lists the sequences"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A sequence, and how it was chosen."""

    uuid: UUID
    label: str
    how: str
    """For people: ``as given``, or of how many matches it is the newest."""

    @override
    def __str__(self) -> str:
        return f"{self.uuid} {self.label!r} ({self.how})"


def choose_sequence(
    vsarch: VisitSequenceArchiveMetadata,
    given: UUID | str,
    *,
    day_obs: date | None = None,
) -> Chosen:
    """Return the sequence of a UUID, or the newest one that has all of some tags.

    Parameters
    ----------
    vsarch
        The archive.
    given
        A UUID, as text or not; or tags with commas between them.
    day_obs
        A night that a sequence found by its tags must cover.

    Raises
    ------
    NoSuchSequenceError
        If no sequence with archived visits has the tags.
    UnknownSequenceError
        If there is no sequence of the UUID.
    """
    uuid = _as_uuid(given)
    if uuid is not None:
        with vsarch.transaction() as connection:
            row = row_of_sequence(connection, uuid, "visitseq")
        return Chosen(uuid=uuid, label=str(row["visitseq_label"]), how="as given")
    tags = [tag.strip() for tag in str(given).split(",") if tag.strip()]
    found = vsarch.search(SearchCriteria(day_obs=day_obs, tags=tags, with_visits=True))
    if found.empty or not tags:
        raise NoSuchSequenceError(str(given), day_obs)
    newest = found.iloc[0]
    return Chosen(
        uuid=UUID(str(newest["visitseq_uuid"])),
        label=str(newest["visitseq_label"]),
        how=f"newest of {len(found)} tagged {', '.join(tags)}",
    )


def _as_uuid(given: UUID | str) -> UUID | None:
    if isinstance(given, UUID):
        return given
    try:
        return UUID(given)
    except ValueError:
        return None

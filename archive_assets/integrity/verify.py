"""Verify an archive: objects against their hashes, rows and indexes against rows."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from uuid import UUID

from lsst.resources import ResourcePath

from archive_assets.errors import EXPECTED_ERRORS
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.inventory import (
    RegisteredObject,
    adopt_object_hash,
    delete_orphan_rows,
    inconsistencies,
    registered_objects,
    registered_urls,
)
from archive_assets.metadata.nights import simulations_on_nights
from archive_assets.metadata.values import today_day_obs
from archive_assets.nights.index import (
    PUBLISHED_AGE,
    TELESCOPES,
    prenight_index_path,
    write_prenight_index,
)
from archive_assets.nights.index_json import (
    IndexFileError,
    index_frame,
    load_index,
    source_sha256,
)
from archive_assets.objects.datastore import (
    DataStore,
    ObjectNotFoundError,
    StoredObject,
    StoreError,
)
from archive_assets.objects.transfer import store_errors
from visit_tables.content_hash import HASH_ALGORITHM, visits_sha256

__all__ = ["Problem", "Report", "verify_archive"]

_INDEX_NIGHTS = (-1, 3)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be.

    Attributes
    ----------
    kind
        ``missing``, ``truncated``, ``changed``, ``unreadable``, ``unverified``,
        ``orphan``, ``staged``, ``stale index``, ``dangling parent``...
    subject
        UUID and file type, URL, or table.
    detail
        What was found.
    is_repaired
        Whether `verify_archive` mended it.
    """

    kind: str
    subject: str
    detail: str
    is_repaired: bool = False


@dataclass(slots=True)
class Report:
    """What was checked, and what was found."""

    n_objects: int = 0
    n_bytes: int = 0
    n_indexes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is left to mend."""
        return all(problem.is_repaired for problem in self.problems)

    def as_json(self) -> dict[str, object]:
        """Return the report as values that JSON can hold."""
        return {**asdict(self), "sound": self.is_sound}


def verify_archive(
    vsarch: VisitSequenceArchiveMetadata,
    store: DataStore,
    *,
    uuids: Sequence[UUID] = (),
    index_base: str | None = None,
    nights: tuple[date, date] | None = None,
    repair: bool = False,
) -> Report:
    """Compare all that the archive knows with what is there.

    Parameters
    ----------
    vsarch, store
        The two halves of the archive.
    uuids
        Check only the objects of these sequences; everything if empty.
    index_base
        Where the pre-night indexes are; None for ``PRENIGHT_INDEX_URL``.
    nights
        First and last night whose indexes are checked; from yesterday to three days
        ahead by default.
    repair
        Mend what loses nothing: record the hash of an object that has none, publish
        a stale index anew, delete rows that belong to no sequence.

    Returns
    -------
    report
        Objects in the trash are not looked at.
    """
    report = Report()
    with vsarch.transaction() as connection:
        known = list(registered_objects(connection, HASH_ALGORITHM, uuids))
    for thing in known:
        report.n_objects += 1
        problem = _check_object(vsarch, store, thing, report, repair=repair)
        if problem is not None:
            report.problems.append(problem)
    if uuids:
        return report
    report.problems += _store_problems(vsarch, store)
    report.problems += _row_problems(vsarch, repair=repair)
    first, last = nights or _default_nights()
    for telescope in TELESCOPES:
        night = first
        while night <= last:
            report.n_indexes += 1
            report.problems += _index_problems(
                vsarch, night, telescope, index_base, repair=repair
            )
            night += timedelta(days=1)
    return report


def _default_nights() -> tuple[date, date]:
    today = today_day_obs()
    first, last = (today + timedelta(days=days) for days in _INDEX_NIGHTS)
    return first, last


def _check_object(
    vsarch: VisitSequenceArchiveMetadata,
    store: DataStore,
    thing: RegisteredObject,
    report: Report,
    *,
    repair: bool,
) -> Problem | None:
    subject = f"{thing.uuid} {thing.file_type}"
    try:
        found = store.info(thing.url)
    except ObjectNotFoundError:
        return Problem("missing", subject, f"nothing at {thing.url}")
    except (*EXPECTED_ERRORS, OSError) as error:
        return Problem("unreadable", subject, str(error))
    report.n_bytes += found.size
    if thing.sha256 is not None and thing.sha256 != found.sha256:
        return _difference(subject, thing, found)
    if thing.content_sha256 is not None:
        problem = _check_content(store, thing, subject)
        if problem is not None:
            return problem
    if thing.sha256 is not None:
        return None
    if repair and found.sha256 is not None:
        with vsarch.transaction() as connection:
            adopt_object_hash(connection, thing, found.sha256, found.size)
    detail = f"no hash of {thing.url} was recorded"
    return Problem("unverified", subject, detail, is_repaired=repair)


def _difference(subject: str, thing: RegisteredObject, found: StoredObject) -> Problem:
    if thing.size is not None and found.size < thing.size:
        detail = f"{thing.url} has {found.size} bytes of {thing.size}"
        return Problem("truncated", subject, detail)
    expected = (thing.sha256 or b"").hex()
    actual = (found.sha256 or b"").hex()
    detail = f"{thing.url} has SHA-256 {actual}, recorded {expected}"
    return Problem("changed", subject, detail)


def _check_content(
    store: DataStore, thing: RegisteredObject, subject: str
) -> Problem | None:
    """Compare the visits with the hash of the sequence."""
    try:
        content = visits_sha256(store.get(thing.url))
    except (*EXPECTED_ERRORS, OSError) as error:
        return Problem("unreadable", subject, str(error))
    if content == thing.content_sha256:
        return None
    detail = f"the visits at {thing.url} are not those that were recorded"
    return Problem("changed", subject, detail)


def _store_problems(
    vsarch: VisitSequenceArchiveMetadata, store: DataStore
) -> Iterator[Problem]:
    with vsarch.transaction() as connection:
        known = {ResourcePath(url).geturl() for url in registered_urls(connection)}
    for thing in store.list_objects():
        if thing.url.geturl() not in known:
            yield Problem("orphan", thing.url.geturl(), f"{thing.size} bytes of nobody")
    for thing in store.list_staged():
        yield Problem("staged", thing.url.geturl(), "left by an interrupted writer")


def _row_problems(
    vsarch: VisitSequenceArchiveMetadata, *, repair: bool
) -> list[Problem]:
    with vsarch.transaction() as connection:
        found = inconsistencies(connection)
        if repair and any(one.kind == "orphan rows" for one in found):
            delete_orphan_rows(connection)
    return [
        Problem(
            one.kind,
            one.subject,
            one.detail,
            is_repaired=repair and one.kind == "orphan rows",
        )
        for one in found
    ]


def _index_problems(
    vsarch: VisitSequenceArchiveMetadata,
    night: date,
    telescope: str,
    base: str | None,
    *,
    repair: bool,
) -> list[Problem]:
    """Compare the index of a night with the rows that it was made of."""
    location = prenight_index_path(night, telescope, base)
    with vsarch.transaction() as connection:
        rows = index_frame(
            simulations_on_nights(
                connection,
                night,
                night,
                tags=["prenight"],
                telescope=telescope,
                max_age_days=PUBLISHED_AGE,
                with_stats=True,
            )
        )
    detail = ""
    try:
        with store_errors(location):
            content = location.read()
        index = load_index(content, location.geturl())
        if index.source_sha256 is None:  # the original made it, or it is empty
            if set(index.frame.index) != set(rows.index):
                detail = "it lists other simulations than the database"
        elif index.source_sha256 != source_sha256(rows):
            detail = "its rows have changed since it was made"
    except FileNotFoundError:
        if not rows.empty:
            detail = f"it is missing, {len(rows)} simulations cover the night"
    except (IndexFileError, StoreError) as error:
        detail = str(error)
    if not detail:
        return []
    if repair:
        write_prenight_index(vsarch, night, telescope, base)
    return [Problem("stale index", location.geturl(), detail, is_repaired=repair)]

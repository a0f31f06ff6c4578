"""Verify an archive: objects against their hashes, rows and indexes against rows."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

from lsst.resources import ResourcePath
from sqlalchemy import Connection

from archive_assets.errors import EXPECTED_ERRORS
from archive_assets.integrity.problems import Problem, Report
from archive_assets.integrity.verify_visits import visits_problems
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
from archive_assets.objects.transfer import read_object
from pipeline_runtime.documents import DocumentError
from visit_tables.content_hash import HASH_ALGORITHM, file_sha256
from visit_tables.day_obs import today_day_obs

__all__ = ["Problem", "Report", "verify_archive"]

_INDEX_NIGHTS = (-1, 3)


def verify_archive(
    vsarch: VisitSequenceArchiveMetadata,
    store: DataStore,
    *,
    uuids: Sequence[UUID] = (),
    index_base: str | None = None,
    nights: tuple[date, date] | None = None,
    repair: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
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
        Repair what loses nothing: record the hash of an object that has none, publish
        a stale index again, delete rows that belong to no sequence.
    progress
        Called after each object with the objects done so far and their number.

    Returns
    -------
    report
        Objects in the trash are not looked at.
    """
    report = Report()
    with vsarch.transaction() as connection:
        known = list(registered_objects(connection, HASH_ALGORITHM, uuids))
    for number, thing in enumerate(known, 1):
        report.n_objects += 1
        for invariant, problem in _check_object(
            vsarch, store, thing, report, repair=repair
        ):
            report.take(invariant, problem)
        progress(number, len(known))
    if uuids:
        return report
    report.problems += _store_problems(vsarch, store)
    broken = _row_problems(vsarch, repair=repair)
    report.problems += broken
    if not broken:
        report.take("rows hold together", None)
    first, last = nights or _default_nights()
    for telescope in TELESCOPES:
        night = first
        while night <= last:
            report.n_indexes += 1
            found = _index_problem(vsarch, night, telescope, index_base, repair=repair)
            report.take("indexes equal their rows", found)
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
) -> Iterator[tuple[str, Problem | None]]:
    """Yield what was compared of an object, and the problem if it does not hold."""
    subject = f"{thing.uuid} {thing.file_type}"
    yield "objects lie in their store", _way_out(store, thing.url, subject)
    try:
        found = store.info(thing.url)
    except ObjectNotFoundError:
        detail = f"nothing at {thing.url}"
        yield "", Problem("missing", subject, detail)
        return
    except (*EXPECTED_ERRORS, OSError) as error:
        yield "", Problem("unreadable", subject, str(error))
        return
    report.n_bytes += found.size
    if thing.sha256 is not None:
        problem = _difference(subject, thing, found)
        yield "objects have their recorded SHA-256 and size", problem
        if problem is not None:
            return
    if thing.file_type == "visits":
        path = store.get(thing.url)
        if thing.content_sha256 is not None:
            problem = _check_content(path, thing, subject)
            yield "visits have their recorded hash", problem
            if problem is not None:
                return
        with vsarch.transaction() as connection:
            yield from _checked_visits(connection, thing, path, subject)
    if thing.sha256 is not None:
        return
    if repair and found.sha256 is not None:
        with vsarch.transaction() as connection:
            adopt_object_hash(connection, thing, found.sha256, found.size)
    detail = f"no hash of {thing.url} was recorded"
    yield "", Problem("unverified", subject, detail, is_repaired=repair)


def _checked_visits(
    connection: Connection, thing: RegisteredObject, path: Path, subject: str
) -> Iterator[tuple[str, Problem | None]]:
    try:
        yield from visits_problems(connection, thing.uuid, path)
    except (*EXPECTED_ERRORS, OSError) as error:
        yield "", Problem("unreadable", subject, str(error))


def _way_out(store: DataStore, url: str, subject: str) -> Problem | None:
    """Tell whether an object of this store on a disk is really somewhere else."""
    place = ResourcePath(url, forceDirectory=False)
    if place.scheme != "file" or place.relative_to(store.base) is None:
        return None
    named, base = Path(place.ospath), Path(store.base.ospath)
    if named.resolve() == base.resolve() / named.relative_to(base):
        return None
    detail = f"{named} is a symbolic link to {named.resolve()}"
    return Problem("symlink", subject, detail)


def _difference(
    subject: str, thing: RegisteredObject, found: StoredObject
) -> Problem | None:
    if thing.sha256 == found.sha256:
        if thing.size in {None, found.size}:
            return None
        detail = f"{thing.url} has {found.size} bytes, recorded {thing.size}"
        return Problem("changed size", subject, detail)
    if thing.size is not None and found.size < thing.size:
        detail = f"{thing.url} has {found.size} bytes of {thing.size}"
        return Problem("truncated", subject, detail)
    expected = (thing.sha256 or b"").hex()
    actual = (found.sha256 or b"").hex()
    detail = f"{thing.url} has SHA-256 {actual}, recorded {expected}"
    return Problem("changed", subject, detail)


def _check_content(path: Path, thing: RegisteredObject, subject: str) -> Problem | None:
    """Compare the visits with the hash of the sequence."""
    try:
        content = file_sha256(path)
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
    for thing in store.list_objects(hidden=True):
        if thing.url.geturl() not in known:
            yield Problem("orphan", thing.url.geturl(), "no sequence refers to it")
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


def _index_problem(
    vsarch: VisitSequenceArchiveMetadata,
    night: date,
    telescope: str,
    base: str | None,
    *,
    repair: bool,
) -> Problem | None:
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
        index = load_index(read_object(location), location.geturl())
        if index.source_sha256 is None:  # the original made it, or it is empty
            if set(index.frame.index) != set(rows.index):
                detail = "it lists other simulations than the database"
        elif index.source_sha256 != source_sha256(rows):
            detail = "its rows have changed since it was made"
        elif index.source_sha256 != source_sha256(index.frame):
            detail = "it was edited: it does not hold the rows that it was made of"
    except FileNotFoundError:
        if not rows.empty:
            detail = f"it is missing, {len(rows)} simulations cover the night"
    except (DocumentError, IndexFileError, StoreError) as error:
        detail = str(error)
    if not detail:
        return None
    if repair:
        write_prenight_index(vsarch, night, telescope, base)
    return Problem("stale index", location.geturl(), detail, is_repaired=repair)

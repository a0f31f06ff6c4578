"""Examine an archive's surroundings: database, rights, store, index, versions."""

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sqlalchemy import text

from archive_assets.errors import EXPECTED_ERRORS
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.roles import missing_rights
from archive_assets.metadata.schema import schema_state
from archive_assets.nights.index import prenight_index_path
from archive_assets.objects.datastore import DataStore
from archive_assets.objects.transfer import store_errors

__all__ = ["Finding", "examine"]

_PACKAGES = ("psycopg", "sqlalchemy", "alembic", "lsst-resources", "pandas", "h5py")
_CLOCK_TOLERANCE_S = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    subject
        What was looked at.
    is_well
        Whether it is as it should be.
    detail
        What was found, and what to do about it.
    """

    subject: str
    is_well: bool
    detail: str


def examine(
    vsarch: VisitSequenceArchiveMetadata,
    store: DataStore,
    index_base: str | None = None,
    *,
    write: bool = False,
) -> Iterator[Finding]:
    """Look at everything that the archive needs, one after the other.

    Parameters
    ----------
    vsarch, store, index_base
        The archive, and where its indexes are.
    write
        Also try to write, read and delete a small object of the store.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    python = f"Python {platform.python_version()} at {sys.executable}"
    yield Finding("versions", True, f"{python}; {versions}")
    checks: list[tuple[str, Callable[[], tuple[bool, str]]]] = [
        ("database", lambda: _database(vsarch)),
        ("schema", lambda: _schema(vsarch)),
        ("rights", lambda: _rights(vsarch)),
        ("store", lambda: _store(store, write=write)),
        ("index", lambda: _index(index_base)),
    ]
    for subject, check in checks:
        try:
            is_well, detail = check()
        except (*EXPECTED_ERRORS, OSError) as error:
            is_well, detail = False, str(error)
        yield Finding(subject, is_well, detail)


def _database(vsarch: VisitSequenceArchiveMetadata) -> tuple[bool, str]:
    with vsarch.transaction() as connection:
        row = connection.execute(
            text(
                "SELECT current_setting('server_version'), current_user, "
                "clock_timestamp()"
            )
        ).one()
    behind = abs((datetime.now(UTC) - row[2]).total_seconds())
    place = vsarch.database.settings.place
    found = f"PostgreSQL {row[0]} as {row[1]}, {place}"
    if behind > _CLOCK_TOLERANCE_S:
        return False, f"{found}; its clock differs by {behind:.0f} s from ours"
    return True, found


def _schema(vsarch: VisitSequenceArchiveMetadata) -> tuple[bool, str]:
    state = schema_state(vsarch.database)
    if state.revision is None:
        return False, "no archive there: run `vseqarchive schema create`"
    if not state.is_current:
        return False, (
            f"revision {state.revision}, this version needs {state.head}: run "
            "`vseqarchive schema upgrade`"
        )
    return True, f"revision {state.revision}, up to date"


def _rights(vsarch: VisitSequenceArchiveMetadata) -> tuple[bool, str]:
    with vsarch.transaction() as connection:
        reading = missing_rights(connection, "reader")
        writing = missing_rights(connection, "writer")
    if reading:
        return False, f"cannot read: missing {', '.join(reading)}"
    if writing:
        return True, f"can read but not write (missing {', '.join(writing)})"
    return True, "can read and write"


def _store(store: DataStore, *, write: bool) -> tuple[bool, str]:
    url = store.base.geturl()
    if not store.exists(store.base.root_uri()):
        return False, f"there is no {store.base.root_uri().geturl()}"
    if not write:
        there = store.exists(store.base)
        return True, f"{url} is there" if there else f"{url} is empty or not made yet"
    location = store.location("doctor", datetime.now(UTC), uuid4(), "probe")
    with TemporaryDirectory() as folder:
        probe = Path(folder) / "probe"
        probe.write_bytes(b"doctor")
        stored = store.put(probe, location)
    store.delete(stored.url)
    return True, f"{url}: written, read back and deleted"


def _index(base: str | None) -> tuple[bool, str]:
    location = prenight_index_path(datetime.now(UTC).date(), "simonyi", base)
    with store_errors(location):
        found = "is there" if location.exists() else "is not there"
    return True, f"{location.geturl()} {found}"

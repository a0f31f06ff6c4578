"""Files added to recorded sequences: faults, and several writers at once."""

import hashlib
import itertools
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import pandas as pd
import psycopg
import pytest
from lsst.resources import ResourcePath
from sqlalchemy import Connection, event

from archive_assets.archiving import add_file as add_file_module
from archive_assets.archiving.sequence import archive_visit_sequence
from archive_assets.integrity.collect import collect_garbage
from archive_assets.integrity.verify import verify_archive
from archive_assets.metadata.errors import (
    DatabaseUnavailableError,
    DuplicateFileError,
)
from archive_assets.metadata.selects import SearchCriteria
from archive_assets.objects import datastore, transfer
from archive_assets.objects.datastore import DataStore
from archive_assets.vseqarchive import add_file
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from visit_tables.files import hdf5_to_opsimdb, iterate_visits
from visit_tables.frames import frame_of_batches
from visit_tables.hdf5.read import write_visits

pytestmark = pytest.mark.postgresql
Archive = VisitSequenceArchiveMetadata
LONG_AGO = "2020-01-01T00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    return DataStore(tmp_path / "store")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text("old")
    return path


@pytest.fixture
def uuid(vsarch: Archive, visits: pd.DataFrame, store: DataStore, notes: Path) -> UUID:
    """A sequence with a file of the content "old"; it was made long ago."""
    created = pd.Timestamp(LONG_AGO).to_pydatetime()
    uuid = vsarch.record_simulation_metadata(visits, "x", creation_time=created)
    add_file(vsarch, uuid, notes, "notes", store.base)
    return uuid


def contents(store: DataStore) -> list[bytes]:
    found = [*store.list_objects(), *store.list_staged()]
    return sorted(thing.url.read() for thing in found)


def problems(vsarch: Archive, store: DataStore) -> list[str]:
    index = store.base.join("../index").geturl()
    report = verify_archive(vsarch, store, index_base=index)
    return sorted(p.kind for p in report.problems if p.kind != "stale index")


def run_dying(line: int, connect: dict[str, str], *words: Any) -> tuple[int, int]:
    """Add a file in a process that is killed when it comes to so many lines of ours.

    Returns
    -------
    status, n_lines
        Of the process, and how many different lines it ran if ``line`` is 0.
    """
    files = {add_file_module.__file__, datastore.__file__, transfer.__file__}
    counted, counter = os.pipe()
    if not (child := os.fork()):
        lines: set[tuple[str, int]] = set()

        def trace(frame: FrameType, event: str, _: object) -> Any:
            if frame.f_code.co_filename not in files:
                return None
            if event == "line":
                lines.add((frame.f_code.co_filename, frame.f_lineno))
            if line and len(lines) == line:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        code = 1
        try:
            archive = VisitSequenceArchiveMetadata(connect, "vsmd_test")
            sys.settrace(trace)
            uuid, path, kind, base = words
            add_file(archive, uuid, path, kind, base, update=True)
            sys.settrace(None)
            os.write(counter, len(lines).to_bytes(4, "big"))
            code = 0
        finally:
            os._exit(code)
    os.close(counter)
    _, status = os.waitpid(child, 0)
    with os.fdopen(counted, "rb") as stream:
        return status, int.from_bytes(stream.read(), "big")


def content_of_row(vsarch: Archive, uuid: UUID) -> bytes:
    """Return the content of the registered object, compared with the row's hash."""
    url = vsarch.get_file_url(uuid, "notes")
    assert url is not None
    content = ResourcePath(url).read()
    assert hashlib.sha256(content).digest() == vsarch.get_file_sha256(uuid, "notes")
    return content


def test_row_and_object_are_equal_wherever_an_update_is_killed(
    vsarch: Archive,
    archive_connect: dict[str, str],
    store: DataStore,
    uuid: UUID,
    notes: Path,
) -> None:
    words = (archive_connect, uuid, notes, "notes", store.base)
    notes.write_text("0")
    status, n_lines = run_dying(0, *words)
    assert status == 0
    assert n_lines > 50

    ends = []
    before = b"0"
    for number, line in enumerate(range(1, n_lines, 2), 1):
        notes.write_text(str(number))
        status, _ = run_dying(line, *words)
        assert status == signal.SIGKILL
        after = content_of_row(vsarch, uuid)
        assert after in {before, str(number).encode()}
        ends.append(after != before)
        before = after

    assert set(problems(vsarch, store)) <= {"orphan", "staged"}
    assert set(ends) == {False, True}  # killed before the commit, and after it
    add_file(vsarch, uuid, notes, "notes", store.base, update=True)
    collect_garbage(vsarch, store, orphan_days=0, apply=True)
    assert contents(store) == [notes.read_bytes()]
    assert problems(vsarch, store) == []


def fail_at_commit(vsarch: Archive, number: int, *, after: bool) -> None:
    """Lose the answer to a commit; the server has done it only if ``after``."""
    commits = itertools.count(1)

    def lose(connection: Connection) -> None:
        if next(commits) != number:
            return
        driver = connection.connection.dbapi_connection
        assert driver is not None
        if after:
            driver.commit()
        raise psycopg.OperationalError("the connection is gone")

    event.listen(vsarch.database.engine, "commit", lose)


@pytest.mark.parametrize("after", [False, True])
def test_the_content_of_an_update_stays_exactly_if_its_commit_came_through(
    vsarch: Archive, store: DataStore, uuid: UUID, notes: Path, after: bool
) -> None:
    notes.write_text("new")
    fail_at_commit(vsarch, 1, after=after)

    with pytest.raises(DatabaseUnavailableError, match="is gone"):
        add_file(vsarch, uuid, notes, "notes", store.base, update=True)

    assert content_of_row(vsarch, uuid) == (b"new" if after else b"old")
    assert set(problems(vsarch, store)) <= ({"orphan"} if after else set())


@pytest.mark.parametrize("after", [False, True])
def test_objects_stay_exactly_if_the_commit_came_through(
    vsarch: Archive,
    store: DataStore,
    visits: pd.DataFrame,
    tmp_path: Path,
    after: bool,
) -> None:
    write_visits(tmp_path / "v.h5", {"observations": visits})
    arguments = {"vsarch": vsarch, "store": store, "visits": tmp_path / "v.h5"}

    fail_at_commit(vsarch, 2, after=after)  # the first asks for the same content
    with pytest.raises(DatabaseUnavailableError, match="is gone"):
        archive_visit_sequence(**arguments, label="x")  # type: ignore[arg-type]

    assert len(contents(store)) == len(vsarch.search(SearchCriteria())) == int(after)
    again = archive_visit_sequence(**arguments, label="x")  # type: ignore[arg-type]
    assert again.already_archived is after
    assert problems(vsarch, store) == []


def test_of_two_writers_one_wins_wholly(
    vsarch: Archive, store: DataStore, uuid: UUID, tmp_path: Path
) -> None:
    def update(number: int) -> None:
        origin = tmp_path / str(number) / "notes.txt"
        origin.parent.mkdir()
        origin.write_text(str(number))
        add_file(vsarch, uuid, origin, "notes", store.base, update=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(update, range(24)))

    assert problems(vsarch, store) == []
    assert len(contents(store)) == 1


def test_a_damaged_or_lost_object_is_mended_by_adding_it_again(
    vsarch: Archive, store: DataStore, uuid: UUID, notes: Path
) -> None:
    (thing,) = store.list_objects()
    damages: list[Callable[[], None]] = [
        lambda: thing.url.write(b"dam"),
        thing.url.remove,
    ]
    for damage in damages:
        damage()
        assert problems(vsarch, store) != []

        assert add_file(vsarch, uuid, notes, "notes", store.base) == thing.url

        assert problems(vsarch, store) == []
        assert contents(store) == [b"old"]


def test_archived_means_in_this_archive(
    vsarch: Archive, store: DataStore, visits: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere.h5"
    write_visits(path, {"observations": visits})
    uuid = vsarch.record_visitseq_metadata(visits, "x", url=path.as_uri())
    notes = tmp_path / "words.txt"
    notes.write_text("x")
    vsarch.register_file(uuid, "notes", hashlib.sha256(b"x").digest(), notes.as_uri())

    for origin, file_type in ((path, "visits"), (notes, "notes")):
        place = add_file(vsarch, uuid, origin, file_type, store.base)

        assert place.relative_to(store.base) is not None
        assert vsarch.get_file_url(uuid, file_type) == place.geturl()
        assert add_file(vsarch, uuid, origin, file_type, store.base) == place
    assert len(list(store.list_objects())) == 2
    assert path.exists()
    assert notes.exists()
    assert problems(vsarch, store) == []


def test_an_archived_file_can_be_archived_in_another_store(
    vsarch: Archive, store: DataStore, uuid: UUID, notes: Path, tmp_path: Path
) -> None:
    other = DataStore(tmp_path / "other")

    place = add_file(vsarch, uuid, notes, "notes", other.base)

    assert place.relative_to(other.base) is not None
    assert vsarch.get_file_url(uuid, "notes") == place.geturl()
    assert contents(store) == contents(other) == [b"old"]


def test_visits_of_an_opsim_file_replace_the_url_of_that_file(
    vsarch: Archive, store: DataStore, visits: pd.DataFrame, tmp_path: Path
) -> None:
    path, opsim = tmp_path / "v.h5", tmp_path / "o.db"
    write_visits(path, {"observations": visits})
    hdf5_to_opsimdb(path, opsim)
    recorded = frame_of_batches(iterate_visits(opsim))
    uuid = vsarch.record_visitseq_metadata(recorded, "x", url=opsim.as_uri())

    place = add_file(vsarch, uuid, opsim, "visits", store.base)

    assert place.basename() == "visits.h5"
    assert problems(vsarch, store) == []
    write_visits(path, {"observations": visits[:2]})
    with pytest.raises(DuplicateFileError):
        add_file(vsarch, uuid, path, "visits", store.base)
    add_file(vsarch, uuid, path, "visits", store.base, update=True)
    assert problems(vsarch, store) == []


def test_a_place_that_another_row_names_is_not_taken_away(
    vsarch: Archive, store: DataStore, uuid: UUID, notes: Path, visits: pd.DataFrame
) -> None:
    url = vsarch.get_file_url(uuid, "notes")
    other = vsarch.record_visitseq_metadata(visits, "uses the notes of another")
    vsarch.register_file(other, "notes", hashlib.sha256(b"old").digest(), str(url))
    notes.write_text("new")

    add_file(vsarch, uuid, notes, "notes", store.base, update=True)
    vsarch.trash(uuid)
    collect_garbage(vsarch, store, trash_days=0, orphan_days=0, apply=True)

    assert content_of_row(vsarch, other) == b"old"

"""Files added to recorded sequences: faults, and several writers at once."""

import itertools
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pandas as pd
import psycopg
import pytest
from sqlalchemy import Connection, event

from archive_assets.archiving.sequence import archive_visit_sequence
from archive_assets.integrity.collect import collect_garbage
from archive_assets.integrity.verify import verify_archive
from archive_assets.metadata.errors import DatabaseUnavailableError
from archive_assets.metadata.search import SearchCriteria
from archive_assets.objects.datastore import DataStore
from archive_assets.vseqarchive import add_file
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
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


_DIES = """
import json, os, sys
from pathlib import Path
from uuid import UUID
from archive_assets.objects import datastore
from archive_assets.objects import undo as store_undo
from archive_assets.vseqarchive import VisitSequenceArchiveMetadata, add_file

connect, base, uuid, origin, moment = json.loads(sys.argv[1])

def dying(function, *, first):
    def wrapped(*args, **kwargs):
        if first:
            function(*args, **kwargs)
        os.kill(os.getpid(), 9)
    return wrapped

if moment == "staged":
    datastore.stage = dying(datastore.stage, first=True)
elif moment == "put":
    datastore.DataStore.put = dying(datastore.DataStore.put, first=True)
else:
    store_undo._forget = dying(store_undo._forget, first=False)
archive = VisitSequenceArchiveMetadata(connect, "vsmd_test")
add_file(archive, UUID(uuid), Path(origin), "notes", base, update=True)
"""


@pytest.mark.parametrize(
    ("moment", "left", "found"),
    [
        ("staged", [b"new", b"old", b"old"], ["staged", "staged"]),
        ("put", [b"new", b"old"], ["changed", "staged"]),
        ("committed", [b"new", b"old"], ["staged"]),
    ],
)
def test_an_update_that_is_killed_is_told_by_verify_and_can_be_completed(
    vsarch: Archive,
    archive_connect: dict[str, str],
    store: DataStore,
    uuid: UUID,
    notes: Path,
    moment: str,
    left: list[bytes],
    found: list[str],
) -> None:
    notes.write_text("new")
    words = [archive_connect, store.base.geturl(), str(uuid), str(notes), moment]
    done = subprocess.run(
        [sys.executable, "-c", _DIES, json.dumps(words)],
        check=False,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr

    assert contents(store) == left
    assert problems(vsarch, store) == found
    add_file(vsarch, uuid, notes, "notes", store.base, update=True)
    collect_garbage(vsarch, store, apply=True)
    assert contents(store) == [b"new"]
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


def test_an_update_that_cannot_be_committed_puts_the_old_content_back(
    vsarch: Archive, store: DataStore, uuid: UUID, notes: Path
) -> None:
    notes.write_text("new")
    fail_at_commit(vsarch, 1, after=False)

    with pytest.raises(DatabaseUnavailableError, match="is gone"):
        add_file(vsarch, uuid, notes, "notes", store.base, update=True)

    assert contents(store) == [b"old"]
    assert problems(vsarch, store) == []


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
    for damage in (lambda: thing.url.write(b"dam"), thing.url.remove):
        damage()
        assert problems(vsarch, store) != []

        assert add_file(vsarch, uuid, notes, "notes", store.base) == thing.url

        assert problems(vsarch, store) == []
        assert contents(store) == [b"old"]

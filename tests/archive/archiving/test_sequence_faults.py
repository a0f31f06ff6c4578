"""What makes two sequences the same, and what a commit of unknown fate leaves."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg import sql
from sqlalchemy import Connection

from archive_assets.archiving.sequence import ArchivedSequence, archive_visit_sequence
from archive_assets.metadata.errors import DatabaseUnavailableError
from archive_assets.metadata.files import RegisteredFile
from archive_assets.metadata.selects import SearchCriteria
from archive_assets.objects.datastore import DataStore
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

pytestmark = pytest.mark.postgresql
Archive = VisitSequenceArchiveMetadata


@pytest.fixture
def opsim(tmp_path: Path) -> Path:
    """An opsim file of two visits in the night of 2026-12-01."""
    path = tmp_path / "opsim.db"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE observations (observationId INTEGER, observationStartMJD REAL, "
        "fieldRA REAL, fieldDec REAL, altitude REAL, azimuth REAL)"
    )
    connection.executemany(
        "INSERT INTO observations VALUES (?, ?, 10, -10, 50, 90)",
        [(1, 61376.1), (2, 61376.2)],
    )
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    return DataStore(tmp_path / "store")


class CommitOfUnknownFate:
    """The archive over a connection that is lost while the first COMMIT is answered.

    ``is_committed`` says whether the server got it; ``is_gone`` whether it stays
    away after that.
    """

    def __init__(self, archive: Archive, *, is_committed: bool, is_gone: bool) -> None:
        self._archive = archive
        self._is_committed = is_committed
        self._is_gone = is_gone
        self._n_lost = 0

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction; the one that writes loses its answer."""
        if self._n_lost and self._is_gone:
            raise DatabaseUnavailableError("the server is gone")
        with self._archive.transaction() as connection:
            yield connection
            sequences = sql.SQL("SELECT 1 FROM visitseq").as_string()
            has_written = connection.exec_driver_sql(sequences).first() is not None
            if has_written and not self._n_lost and not self._is_committed:
                self._n_lost += 1
                raise DatabaseUnavailableError("lost at COMMIT")
        if has_written and not self._n_lost:
            self._n_lost += 1
            raise DatabaseUnavailableError("lost at COMMIT")


def _n_objects(store: DataStore) -> int:
    found = [*store.list_objects(), *store.list_staged(), *store.list_trash()]
    return len(found)


@pytest.mark.parametrize(
    ("is_committed", "is_gone", "n_sequences", "n_objects"),
    [
        pytest.param(True, False, 1, 1, id="it came through"),
        pytest.param(True, True, 1, 1, id="it came through and nobody can tell"),
        pytest.param(False, False, 0, 0, id="it did not come through"),
        pytest.param(False, True, 0, 1, id="it did not and nobody can tell"),
    ],
)
def test_a_commit_of_unknown_fate_keeps_its_objects(
    vsarch: Archive,
    store: DataStore,
    opsim: Path,
    is_committed: bool,
    is_gone: bool,
    n_sequences: int,
    n_objects: int,
) -> None:
    losing = CommitOfUnknownFate(vsarch, is_committed=is_committed, is_gone=is_gone)

    with pytest.raises(DatabaseUnavailableError, match="lost at COMMIT"):
        archive_visit_sequence(vsarch=losing, store=store, visits=opsim, label="a")

    assert len(vsarch.search(SearchCriteria())) == n_sequences
    assert _n_objects(store) == n_objects
    again = archive_visit_sequence(vsarch=vsarch, store=store, visits=opsim, label="a")
    assert again.already_archived == (n_sequences == 1)
    assert store.get(again.url).is_file()


def _add(
    vsarch: Archive, store: DataStore | None, opsim: Path, **more: object
) -> ArchivedSequence:
    return archive_visit_sequence(
        vsarch=vsarch,
        store=store,
        visits=opsim,
        **{"label": "a night", **more},  # type: ignore[arg-type]  # cases of one table
    )


def test_a_key_of_the_content_says_so(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    done = _add(vsarch, store, opsim)

    found = vsarch.query(
        sql.SQL(
            "SELECT idempotency_key FROM visitseq_registry WHERE visitseq_uuid = {}"
        ).format(done.uuid)
    )
    assert [row[0][:8] for row in found if row] == ["content:"]
    assert [len(row[0]) for row in found if row] == [8 + 64]


FILE = RegisteredFile("file:///elsewhere/rewards.h5", bytes(32), 1)


@pytest.mark.parametrize(
    "more",
    [
        {"label": "another night"},
        {"telescope": "auxtel"},
        {"kind": "visitseq"},
        {"first_day_obs": "2026-11-30"},
        {"last_day_obs": "2026-12-02"},
        {"scheduler_version": "3.2"},
        {"registered": {"rewards": FILE}},
    ],
    ids=lambda more: next(iter(more)),
)
def test_all_that_describes_the_visits_is_part_of_the_content_key(
    vsarch: Archive, store: DataStore, opsim: Path, more: dict[str, object]
) -> None:
    first = _add(vsarch, store, opsim)

    other = _add(vsarch, store, opsim, **more)

    assert not other.already_archived
    assert other.uuid != first.uuid
    assert _add(vsarch, store, opsim, **more) == ArchivedSequence(
        other.uuid, other.url, already_archived=True
    )


def test_other_visits_and_other_files_are_another_content(
    vsarch: Archive, store: DataStore, opsim: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    uuids = set()
    for words in ("one", "two"):
        notes.write_text(words)
        uuids.add(_add(vsarch, store, opsim, files={"notes": notes}).uuid)
    uuids.add(_add(vsarch, store, opsim, files={"words": notes}).uuid)
    connection = sqlite3.connect(opsim)
    connection.execute("DELETE FROM observations WHERE observationId = 2")
    connection.commit()
    connection.close()
    uuids.add(_add(vsarch, store, opsim, files={"words": notes}).uuid)

    assert len(uuids) == 4


def test_time_tags_comments_and_environment_texts_are_no_part_of_it(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    first = _add(vsarch, store, opsim, creation_time=datetime(2026, 12, 2, tzinfo=UTC))

    again = _add(vsarch, store, opsim, tags=["x"], comments=["y"], author="z")

    assert again == ArchivedSequence(first.uuid, first.url, already_archived=True)


def test_an_environment_is_recorded_with_the_sequence_that_ran_in_it(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    packages = '[{"name": "numpy", "version": "2.3"}]'
    env_hash = hashlib.sha256(packages.encode()).digest()

    done = _add(vsarch, store, opsim, conda_env=(env_hash, packages))

    found = vsarch.query(
        sql.SQL(
            "SELECT s.conda_env_sha256, e.conda_env FROM simulations s "
            "JOIN conda_env e ON e.conda_env_hash = s.conda_env_sha256 "
            "WHERE s.visitseq_uuid = {}"
        ).format(done.uuid)
    )
    assert [(bytes(row[0]), row[1]) for row in found if row] == [
        (env_hash, [{"name": "numpy", "version": "2.3"}])
    ]
    assert _add(vsarch, store, opsim).uuid != done.uuid


def test_without_a_store_only_metadata_are_recorded(
    vsarch: Archive, opsim: Path
) -> None:
    done = _add(vsarch, None, opsim, registered={"rewards": FILE})

    assert done.url == ""
    assert str(vsarch.get_file_url(done.uuid, "rewards")) == FILE.url
    assert _add(vsarch, None, opsim, registered={"rewards": FILE}) == ArchivedSequence(
        done.uuid, "", already_archived=True
    )
    with pytest.raises(ValueError, match="without a store no files can be archived"):
        _add(vsarch, None, opsim, files={"notes": opsim})


def test_without_statistics_none_are_recorded(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    done = _add(vsarch, store, opsim, stats_columns=())

    assert vsarch.describe(done.uuid)["statistics"] == []
    assert vsarch.describe(done.uuid)["first_day_obs"] == "2026-12-01"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"comments": ["a", ""]}, "a comment must not be empty"),
        ({"author": " "}, "the author must not be empty"),
        ({"idempotency_key": ""}, "the idempotency key must not be empty"),
        ({"label": ""}, "the label must not be empty"),
        ({"registered": {"../x": FILE}}, "file type '../x' is not usable"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_said_is_refused_by_name(
    vsarch: Archive,
    store: DataStore,
    opsim: Path,
    more: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        _add(vsarch, store, opsim, **more)

    assert _n_objects(store) == 0
    assert vsarch.search(SearchCriteria()).empty


def test_a_file_named_as_the_visits_gets_its_type_before_its_name(
    vsarch: Archive, store: DataStore, opsim: Path, tmp_path: Path
) -> None:
    other = tmp_path / "visits.h5"
    other.write_text("not the visits")

    done = _add(vsarch, store, opsim, files={"more": other})

    url = str(vsarch.get_file_url(done.uuid, "more"))
    assert url.endswith("/more-visits.h5")
    assert store.get(url).read_text() == "not the visits"
    assert done.url.endswith("/visits.h5")

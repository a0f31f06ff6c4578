import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from archive_assets.archiving import sequence as archive_module
from archive_assets.archiving.sequence import ArchivedSequence, archive_visit_sequence
from archive_assets.errors import InvalidValueError
from archive_assets.metadata import statistics_rows
from archive_assets.metadata.nightly_statistics import DuplicateStatisticsError
from archive_assets.metadata.schema import create_schema
from archive_assets.metadata.selects import SearchCriteria
from archive_assets.objects.datastore import DataStore, StoreError
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from visit_tables.columns import VisitsFileError
from visit_tables.content_hash import file_sha256
from visit_tables.hdf5 import safe_pickle
from visit_tables.hdf5.read import read_visits
from visit_tables.opsim import batches as opsim_batches

pytestmark = pytest.mark.postgresql
Archive = VisitSequenceArchiveMetadata


@pytest.fixture
def opsim(tmp_path: Path) -> Path:
    """An opsim file of 60 visits on three nights."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "observationId": np.arange(60),
            "observationStartMJD": 61375.5 + np.sort(rng.uniform(0, 3, 60)),
            "fieldRA": rng.uniform(0, 360, 60),
            "fieldDec": rng.uniform(-60, 0, 60),
            "band": rng.choice(list("grizy"), 60),
            "visitExposureTime": 30.0,
            "rotSkyPos": 0.0,
            "night": 1,
            "altitude": rng.uniform(30, 80, 60),
            "azimuth": rng.uniform(0, 360, 60),
            "target_name": "somewhere",
        }
    )
    path = tmp_path / "opsim.db"
    with sqlite3.connect(path) as connection:
        frame.to_sql("observations", connection, index=False)
    connection.close()
    return path


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    return DataStore(tmp_path / "store")


def objects(store: DataStore) -> list[str]:
    found = [*store.list_objects(), *store.list_staged(), *store.list_trash()]
    return sorted(thing.url.basename() for thing in found)


def add(
    vsarch: Archive, store: DataStore, opsim: Path, **more: object
) -> ArchivedSequence:
    more = {"label": "a night", "tags": ["prenight", "ideal"], **more}
    return archive_visit_sequence(vsarch=vsarch, store=store, visits=opsim, **more)  # type: ignore[arg-type]


def test_everything_is_there_after_one_call(
    vsarch: Archive, store: DataStore, opsim: Path, tmp_path: Path
) -> None:
    rewards = tmp_path / "rewards.h5"
    rewards.write_bytes(b"rewards")
    created = datetime(2026, 12, 1, 11, tzinfo=UTC)

    done = add(
        vsarch, store, opsim, files={"rewards": rewards}, creation_time=created,
        comments=["good"], author="me", scheduler_version="3.1",
        sim_runner_kwargs={"nside": 32},
    )  # fmt: skip

    place = f"simonyi/2026-11-30/{done.uuid}"
    assert done.url.endswith(f"{place}/visits.h5")
    described = vsarch.describe(done.uuid)
    assert described["state"] == "complete"
    assert described["tags"] == ["ideal", "prenight"]
    assert described["statistics"] == ["altitude", "azimuth"]
    assert described["first_day_obs"] == "2026-12-01"
    assert described["last_day_obs"] == "2026-12-03"
    assert vsarch.get_visitseq_url(done.uuid) == done.url
    (comment,) = vsarch.get_comments(done.uuid).to_dict("records")
    assert (comment["comment"], comment["author"]) == ("good", "me")
    sha256 = vsarch.get_file_sha256(done.uuid, "rewards")
    stored = store.get(str(vsarch.get_file_url(done.uuid, "rewards")), sha256)
    assert stored.read_bytes() == b"rewards"
    assert len(vsarch.query_nightly_stats(done.uuid)) == 6
    assert len(read_visits(store.get(done.url))) == 60


@pytest.mark.parametrize("kind", ["VIRTUAL", "STORED"])
def test_generated_columns_are_archived_with_their_values(
    vsarch: Archive, store: DataStore, opsim: Path, tmp_path: Path, kind: str
) -> None:
    generated = tmp_path / "generated.db"
    with closing(sqlite3.connect(generated)) as made:
        made.execute(
            "CREATE TABLE observations (observationId INTEGER,"
            " observationStartMJD REAL,"
            " fieldRA REAL, fieldDec REAL, band TEXT, altitude REAL, azimuth REAL,"
            f" sum REAL AS (altitude + 1000) {kind})"
        )
        made.execute("ATTACH ? AS plain", (str(opsim),))
        made.execute(
            "INSERT INTO observations SELECT observationId, observationStartMJD,"
            " fieldRA, fieldDec, band, altitude, azimuth FROM plain.observations"
        )
        made.commit()

    visits = read_visits(store.get(add(vsarch, store, generated).url))

    assert visits["sum"].tolist() == (visits["altitude"] + 1000).tolist()
    assert len(visits) == 60


def test_the_same_content_again_gives_the_same_uuid(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    first = add(vsarch, store, opsim)
    second = add(vsarch, store, opsim, tags=["other"])

    assert second == ArchivedSequence(first.uuid, first.url, already_archived=True)
    assert add(vsarch, store, opsim, label="another").uuid != first.uuid
    assert objects(store) == ["visits.h5", "visits.h5"]
    assert vsarch.describe(first.uuid)["tags"] == ["ideal", "prenight"]


def test_a_key_of_the_caller_decides_what_is_the_same(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    first = add(vsarch, store, opsim, label="run at 1", idempotency_key="night 1")
    again = add(vsarch, store, opsim, label="run at 2", idempotency_key="night 1")
    with sqlite3.connect(opsim) as connection:
        connection.execute("DELETE FROM observations WHERE observationId = 3")
    connection.close()

    assert again.uuid == first.uuid
    with pytest.raises(ValueError, match="other visits are archived under the key"):
        add(vsarch, store, opsim, idempotency_key="night 1")
    assert objects(store) == ["visits.h5"]


def test_content_in_the_trash_is_archived_anew(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    first = add(vsarch, store, opsim)
    vsarch.trash(first.uuid)

    second = add(vsarch, store, opsim)

    assert second.uuid != first.uuid
    with pytest.raises(ValueError, match="archived again as"):
        vsarch.restore(first.uuid)


def test_concurrent_calls_leave_one_sequence(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: add(vsarch, store, opsim), range(4)))

    assert len({one.uuid for one in done}) == 1
    assert len(vsarch.search(SearchCriteria())) == 1
    assert objects(store) == ["visits.h5"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"label": "a\0b"}, "NUL"),
        ({"telescope": "../../x"}, "telescope '../../x' is not usable"),
        ({"files": {"../x": "rewards.h5"}}, "file type '../x' is not usable|no file"),
        ({"files": {"rewards": "absent.h5"}}, "no file absent"),
        ({"files": {"visits": "opsim.db"}}, "given as such"),
        ({"tags": ["", "x"]}, "a tag must not be empty"),
        ({"tags": "prenight"}, "must be a sequence"),
        ({"parent_visitseq_uuid": uuid4()}, "Visit sequence not found"),
        ({"kind": "dreams"}, "unknown table 'dreams'"),
        ({"kind": "completed", "config_url": "x"}, "unknown field 'config_url'"),
        ({"first_day_obs": "2026-12-09"}, "is after last_day_obs"),
        ({"stats_columns": ["absent"]}, "no column 'absent'"),
        ({"conda_env": (bytes(32), "[]")}, "not that of the environment"),
    ],
)
def test_a_wrong_argument_leaves_nothing(
    vsarch: Archive,
    store: DataStore,
    opsim: Path,
    more: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        add(vsarch, store, opsim, **more)

    assert objects(store) == []
    assert vsarch.search(SearchCriteria()).empty


def test_visits_that_contradict_their_sidereal_time_are_refused(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    with sqlite3.connect(opsim) as connection:
        connection.execute("ALTER TABLE observations ADD observationStartLST REAL")
        connection.execute(
            "UPDATE observations SET observationStartLST = 1 + "
            "(209.7112 + 360.98564736629 * (observationStartMJD - 51544.5)) % 360"
        )
    connection.close()

    with pytest.raises(VisitsFileError, match=r"opsim.db: row 0: .*sidereal time"):
        add(vsarch, store, opsim)

    assert objects(store) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("fieldRA = 361", "row 0 .* fieldRA is 361.0, not within 0..360"),
        ("fieldDec = 9e999", "fieldDec is inf, not within -90..90"),
        ("observationStartMJD = 10", "observationStartMJD is 10.0, not within 41317"),
    ],
)
def test_visits_with_a_place_or_time_that_none_has_are_refused(
    vsarch: Archive, store: DataStore, opsim: Path, change: str, problem: str
) -> None:
    with closing(sqlite3.connect(opsim)) as connection, connection:
        connection.execute(f"UPDATE observations SET {change}")

    with pytest.raises(VisitsFileError, match=rf"opsim.db: .*{problem}"):
        add(vsarch, store, opsim)

    assert objects(store) == []


def test_an_error_at_the_last_step_leaves_nothing(
    vsarch: Archive, store: DataStore, opsim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = statistics_rows.insert_rows

    def twice(*arguments: object) -> int:
        insert(*arguments)  # type: ignore[arg-type]
        return insert(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(archive_module, "insert_rows", twice)

    with pytest.raises(DuplicateStatisticsError, match="Nothing was changed"):
        add(vsarch, store, opsim)

    assert objects(store) == []
    assert vsarch.search(SearchCriteria()).empty


def test_a_database_that_goes_away_leaves_no_object(
    postgres_dsn: str,
    database_dsn: str,
    store: DataStore,
    opsim: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = conninfo_to_dict(database_dsn)
    put = DataStore.put

    def put_and_lose(self: DataStore, *args: object, **kwargs: object) -> object:
        stored = put(self, *args, **kwargs)  # type: ignore[arg-type]
        with psycopg.connect(postgres_dsn, autocommit=True) as server:
            name = sql.Identifier(str(connect["dbname"]))
            server.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name)
            )
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s",
                (connect["dbname"],),
            )
        return stored

    monkeypatch.setattr(DataStore, "put", put_and_lose)
    with Archive(connect, "vsmd") as archive:
        create_schema(archive.database)
        with pytest.raises(ConnectionError, match="not currently accepting"):
            add(archive, store, opsim)

    assert objects(store) == []


def test_a_store_that_goes_away_leaves_an_orphan_at_most(
    vsarch: Archive,
    store: DataStore,
    opsim: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    put = DataStore.put
    there, away = tmp_path / "store", tmp_path / "away"

    def put_and_lose(self: DataStore, *args: object, **kwargs: object) -> object:
        if not away.exists():
            stored = put(self, *args, **kwargs)  # type: ignore[arg-type]
            there.rename(away)
            there.write_text("no folder any more")
            return stored
        return put(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(DataStore, "put", put_and_lose)
    with pytest.raises(StoreError, match="Not a directory"):
        add(vsarch, store, opsim, files={"notes": tmp_path / "notes.txt"})
    monkeypatch.undo()
    there.unlink()
    away.rename(there)

    assert vsarch.search(SearchCriteria()).empty
    assert objects(store) == ["visits.h5"]
    assert add(vsarch, store, opsim).already_archived is False


def test_two_files_of_one_name_are_both_stored(
    vsarch: Archive, store: DataStore, opsim: Path, tmp_path: Path
) -> None:
    files = {}
    for file_type in ("scheduler", "observatory"):
        (tmp_path / file_type).mkdir()
        files[file_type] = tmp_path / file_type / "state.p"
        files[file_type].write_text(file_type)

    done = add(vsarch, store, opsim, files=files)

    for file_type in files:
        url = str(vsarch.get_file_url(done.uuid, file_type))
        assert store.get(url).read_text() == file_type


@pytest.mark.parametrize("kind", ["completed", "visitseq"])
def test_other_kinds_are_archived_too(
    vsarch: Archive, store: DataStore, opsim: Path, kind: str
) -> None:
    done = add(vsarch, store, opsim, kind=kind, first_day_obs=date(2026, 11, 1))

    described = vsarch.describe(done.uuid)
    assert described["kind"] == kind
    assert described["first_day_obs"] == "2026-11-01"
    assert described["daily_id"] is None


@pytest.mark.filterwarnings("ignore:\nyour performance may suffer")
def test_a_file_with_pickles_is_stored_without_them(
    vsarch: Archive, store: DataStore, opsim: Path, tmp_path: Path
) -> None:
    with sqlite3.connect(opsim) as connection:
        frame = pd.read_sql("SELECT * FROM observations", connection)
    connection.close()
    old = tmp_path / "old.h5"
    frame.to_hdf(old, key="observations", format="fixed")
    ours = add(vsarch, store, opsim)

    done = add(vsarch, store, old, label="from a fixed file")

    stored = store.get(done.url)
    pd.testing.assert_frame_equal(read_visits(stored), read_visits(store.get(ours.url)))
    with h5py.File(stored) as file:
        assert "table" in file["observations"]
    hashes = {vsarch.describe(one.uuid)["visitseq_sha256"] for one in (ours, done)}
    assert len(hashes) == 1


def test_an_opsim_file_is_read_once_and_what_was_written_is_not_read_back(
    vsarch: Archive, store: DataStore, opsim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources: list[object] = []
    pieces = opsim_batches._Source.pieces

    def counted(source: Any, *texts: Any) -> Any:
        sources.append(source)
        return pieces(source, *texts)

    def refused(*_: object) -> None:
        raise AssertionError("an HDF5 file was read as a stranger's")

    monkeypatch.setattr(opsim_batches._Source, "pieces", counted)
    monkeypatch.setattr(safe_pickle, "_load", refused)

    done = add(vsarch, store, opsim)

    assert not done.already_archived
    assert len(sources) == 1  # a file of one table


def test_a_key_may_be_made_from_the_hash_of_the_visits(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    done = add(vsarch, store, opsim, idempotency_key="night 1:{}".format)

    row = vsarch.query("SELECT idempotency_key FROM visitseq_registry")[0]
    assert row == (f"night 1:{file_sha256(opsim).hex()}",)
    assert add(vsarch, store, opsim, idempotency_key=row[0]).uuid == done.uuid


def test_statistics_are_by_default_of_the_usual_columns_that_are_there(
    vsarch: Archive, store: DataStore, opsim: Path
) -> None:
    connection = sqlite3.connect(opsim)
    connection.execute("ALTER TABLE observations DROP COLUMN altitude")
    connection.close()

    done = add(vsarch, store, opsim)
    with pytest.raises(InvalidValueError, match="no column 'altitude'"):
        add(vsarch, store, opsim, stats_columns=["altitude"], label="asked for")

    assert vsarch.describe(done.uuid)["statistics"] == ["azimuth"]

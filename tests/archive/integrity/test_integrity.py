import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection

from archive_assets.archiving.sequence import archive_visit_sequence
from archive_assets.cli.vseqarchive import main
from archive_assets.integrity.collect import collect_garbage
from archive_assets.integrity.verify import Report, verify_archive
from archive_assets.metadata import sequences
from archive_assets.metadata.selects import SearchCriteria
from archive_assets.objects.datastore import DataStore
from archive_assets.prenightindex import prenight_index_path, write_prenight_index
from archive_assets.simulation.outbox import remove_older
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from visit_tables.day_obs import today_day_obs
from visit_tables.hdf5.read import write_visits

pytestmark = pytest.mark.postgresql
Archive = VisitSequenceArchiveMetadata
TODAY = today_day_obs()


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    return DataStore(tmp_path / "store")


@pytest.fixture
def index_base(tmp_path: Path) -> str:
    return (tmp_path / "index").as_uri()


@pytest.fixture
def uuid(vsarch: Archive, store: DataStore, tmp_path: Path, index_base: str) -> UUID:
    """A sound archive: one sequence with a file, and the index of tonight."""
    mjd = (TODAY - pd.Timestamp("1858-11-17").date()).days + 0.6
    path = tmp_path / "visits.h5"
    frame = pd.DataFrame(
        {"observationStartMJD": mjd + np.arange(5) / 100, "altitude": 50.0,
         "azimuth": 10.0, "band": "r"}
    )  # fmt: skip
    write_visits(path, {"observations": frame})
    done = archive_visit_sequence(
        vsarch=vsarch, store=store, visits=path, label="a night",
        tags=["prenight"], files={"rewards": path},
    )  # fmt: skip
    write_prenight_index(vsarch, TODAY, "simonyi", index_base)
    return done.uuid


@pytest.fixture
def verify(vsarch: Archive, store: DataStore, index_base: str) -> Callable[..., Report]:
    def run(**options: object) -> Report:
        return verify_archive(vsarch, store, index_base=index_base, **options)  # type: ignore[arg-type]

    return run


def kinds(report: Report) -> list[str]:
    return [problem.kind for problem in report.problems]


@pytest.mark.usefixtures("uuid")
def test_a_sound_archive_has_no_problems(verify: Callable[..., Report]) -> None:
    report = verify()

    assert report.problems == []
    assert report.is_sound
    assert (report.n_objects, report.n_indexes) == (2, 10)


def local(vsarch: Archive, uuid: UUID, file_type: str = "visits") -> Path:
    url = vsarch.get_file_url(uuid, file_type)
    assert url is not None
    return Path(url.removeprefix("file://"))


def test_damage_to_an_object_is_named(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report]
) -> None:
    path = local(vsarch, uuid)
    content = path.read_bytes()

    path.write_bytes(content[:-10])
    assert kinds(verify()) == ["truncated"]
    path.write_bytes(content[:-1] + b"x")
    assert kinds(verify()) == ["changed"]
    path.unlink()
    assert kinds(verify()) == ["missing"]
    (problem,) = verify(uuids=[uuid]).problems
    assert problem.subject == f"{uuid} visits"


def test_visits_of_another_content_are_named(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report]
) -> None:
    path = local(vsarch, uuid)
    frame = pd.DataFrame({"observationStartMJD": [1.0], "altitude": [1.0]})
    write_visits(path, {"observations": frame})
    vsarch.set_visitseq_url(uuid, path.as_uri())  # its bytes count as unknown now

    (problem,) = verify().problems

    assert problem.kind == "changed"
    assert "not those that were recorded" in problem.detail


def test_an_object_without_a_hash_gets_one(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report]
) -> None:
    vsarch.set_visitseq_url(uuid, local(vsarch, uuid).as_uri())

    assert kinds(verify()) == ["unverified"]
    assert verify(repair=True).is_sound
    assert verify().problems == []


def test_orphans_and_leftovers_are_named(
    store: DataStore, uuid: UUID, verify: Callable[..., Report], tmp_path: Path
) -> None:
    del uuid
    lost = tmp_path / "store/simonyi/2020-01-01/x/lost.h5"
    lost.parent.mkdir(parents=True)
    lost.write_bytes(b"lost")
    (lost.parent / ".staged-abc-half.h5").write_bytes(b"half")

    assert sorted(kinds(verify())) == ["orphan", "staged"]
    assert len(list(store.list_objects())) == 3


def test_rows_that_do_not_hold_together_are_named(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report]
) -> None:
    vsarch.query(
        f"SET session_replication_role = replica; "
        f"INSERT INTO tags VALUES ('{uuid4()}', 'lone'); "
        f"UPDATE simulations SET parent_visitseq_uuid = '{uuid4()}', "
        f"conda_env_sha256 = sha256('x') WHERE visitseq_uuid = '{uuid}'; "
        "SET session_replication_role = origin",
        commit=True,
        return_result=False,
    )
    write = [kind for kind in kinds(verify()) if kind != "stale index"]

    assert sorted(write) == ["dangling parent", "orphan rows", "unknown environment"]
    repaired = verify(repair=True)
    assert not repaired.is_sound
    assert "orphan rows" not in kinds(verify())


def test_a_stale_index_is_named_and_published_anew(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report], index_base: str
) -> None:
    vsarch.tag(uuid, "nominal")
    stale = verify()
    assert kinds(stale) == ["stale index"]
    assert "have changed" in stale.problems[0].detail

    assert verify(repair=True).is_sound
    assert verify().is_sound
    location = prenight_index_path(TODAY, "simonyi", index_base)
    location.remove()
    assert "it is missing" in verify().problems[0].detail
    location.write(b"{")
    assert "is not JSON" in verify().problems[0].detail


def test_an_index_of_the_original_is_compared_by_its_simulations(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report], index_base: str
) -> None:
    location = prenight_index_path(TODAY, "simonyi", index_base)
    records = json.loads(location.read())
    theirs = {key: dict(list(row.items())[:18]) for key, row in records.items()}

    location.write(json.dumps(theirs).encode())
    assert verify().is_sound
    location.write(b"{}")
    assert "other simulations" in verify().problems[0].detail
    vsarch.untag(uuid, "prenight")
    assert verify().is_sound
    location.write(json.dumps(theirs).encode())
    assert "other simulations" in verify().problems[0].detail


def age(*paths: Path, days: float) -> None:
    """Let files have been written some days ago."""
    written = time.time() - days * 86400
    for path in paths:
        os.utime(path, (written, written))


def test_an_object_is_as_old_as_the_store_says_not_as_its_archiver_says(
    vsarch: Archive, store: DataStore, tmp_path: Path
) -> None:
    claims_2020 = tmp_path / f"store/simonyi/2020-01-01/{uuid4()}/running.h5"
    claims_2030 = tmp_path / f"store/simonyi/2030-01-01/{uuid4()}/old.h5"
    for path in (claims_2020, claims_2030):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    age(claims_2030, days=8)

    done = collect_garbage(vsarch, store, apply=True)

    assert done.orphans == [claims_2030.as_uri()]
    assert claims_2020.exists()


def test_gc_beside_an_archiving_of_the_past_leaves_its_objects(
    vsarch: Archive, store: DataStore, uuid: UUID, tmp_path: Path, monkeypatch: Any
) -> None:
    del uuid
    record = sequences.complete_sequence

    def collect_first(connection: Connection, new: UUID) -> None:
        done = collect_garbage(vsarch, store, apply=True)
        assert done.orphans == []
        record(connection, new)

    monkeypatch.setattr(sequences, "complete_sequence", collect_first)
    done = archive_visit_sequence(
        vsarch=vsarch, store=store, visits=tmp_path / "visits.h5", label="past",
        creation_time=datetime(2020, 1, 1, tzinfo=UTC),
    )  # fmt: skip

    assert store.exists(done.url)


def test_a_folder_of_simulations_is_as_old_as_what_was_written_last(
    tmp_path: Path,
) -> None:
    for night in ("2020-01-01", "2020-01-02"):
        (tmp_path / "simonyi" / night / "nominal").mkdir(parents=True)
        (tmp_path / "simonyi" / night / "nominal" / "opsim.db").write_bytes(b"")
    old = tmp_path / "simonyi" / "2020-01-02"
    age(*old.rglob("*"), old, days=15)
    before = datetime.now(UTC) - timedelta(days=14)

    assert remove_older(tmp_path, before, dry_run=True) == [old]
    assert remove_older(tmp_path, before, dry_run=False) == [old]
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["2020-01-01"]


def test_garbage_is_shown_before_it_goes(
    vsarch: Archive, store: DataStore, uuid: UUID, tmp_path: Path
) -> None:
    young = tmp_path / f"store/simonyi/{TODAY}/{uuid4()}/young.h5"
    old = tmp_path / f"store/simonyi/2020-01-01/{uuid4()}/old.h5"
    for path in (young, old):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"lost")
    age(old, days=8)
    vsarch.trash(uuid)

    shown = collect_garbage(vsarch, store, trash_days=0)
    assert not shown.is_done
    assert shown.sequences == [str(uuid)]
    assert shown.orphans == [old.as_uri()]
    assert old.exists()
    assert collect_garbage(vsarch, store).sequences == []  # not long in the trash

    done = collect_garbage(vsarch, store, trash_days=0, apply=True)
    assert (done.sequences, done.orphans) == (shown.sequences, shown.orphans)
    assert [thing.url.basename() for thing in store.list_objects()] == ["young.h5"]
    with pytest.raises(ValueError, match="Visit sequence not found"):
        vsarch.describe(uuid)
    for table in ("tags", "files", "nightly_stats"):
        assert vsarch.query(f"SELECT count(*) FROM {table}")[0] == (0,)


_DIES = """
import json, os, sys
from archive_assets.archiving.sequence import archive_visit_sequence
from archive_assets.objects.datastore import DataStore
from archive_assets.metadata.database import MetadataDatabase
from archive_assets.metadata.settings import connection_settings
from archive_assets.metadata import sequences

connect, store, visits = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
sequences.complete_sequence = lambda *_: os.kill(os.getpid(), 9)
archive_visit_sequence(
    vsarch=MetadataDatabase(connection_settings(connect, "vsmd_test")),
    store=DataStore(store), visits=visits, label="cut short",
    creation_time=__import__("datetime").datetime.fromisoformat("2020-01-01T00:00Z"),
)
"""


def test_a_process_that_is_killed_leaves_only_an_orphan(
    vsarch: Archive,
    archive_connect: dict[str, str],
    store: DataStore,
    uuid: UUID,
    tmp_path: Path,
) -> None:
    arguments = [json.dumps(archive_connect), str(tmp_path / "store")]
    program = [sys.executable, "-c", _DIES, *arguments, str(tmp_path / "visits.h5")]
    done = subprocess.run(program, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr

    assert list(vsarch.search(SearchCriteria())["visitseq_uuid"]) == [uuid]
    report = verify_archive(vsarch, store, index_base=str(tmp_path / "index"))
    assert [p.kind for p in report.problems if p.kind != "stale index"] == ["orphan"]
    collect_garbage(vsarch, store, orphan_days=0, apply=True)
    assert len(list(store.list_objects())) == 2


def test_what_was_archived_again_cannot_be_restored_beside_it(
    vsarch: Archive, store: DataStore, uuid: UUID, tmp_path: Path
) -> None:
    path = tmp_path / "visits.h5"
    vsarch.trash(uuid)
    again = archive_visit_sequence(
        vsarch=vsarch, store=store, visits=path, label="a night",
        files={"rewards": path},
    )  # fmt: skip

    with pytest.raises(ValueError, match=f"archived again as {again.uuid}"):
        vsarch.restore(uuid)

    vsarch.trash(again.uuid)
    vsarch.restore(uuid)
    assert list(vsarch.search(SearchCriteria())["visitseq_uuid"]) == [uuid]


def test_a_parent_stays_in_the_trash(
    vsarch: Archive, store: DataStore, uuid: UUID, visits: pd.DataFrame
) -> None:
    child = vsarch.record_simulation_metadata(
        visits, "child", parent_visitseq_uuid=uuid
    )
    vsarch.trash(uuid)

    done = collect_garbage(vsarch, store, trash_days=0, apply=True)

    assert done.kept == {str(uuid): f"it is the parent of {child}"}
    assert local(vsarch, uuid).exists()


@pytest.fixture
def run(
    archive_connect: dict[str, str],
    tmp_path: Path,
    index_base: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Result]:
    monkeypatch.setenv("ARCHIVE_URL", (tmp_path / "store").as_uri())
    monkeypatch.setenv("PRENIGHT_INDEX_URL", index_base)
    options = [
        "--database", archive_connect["dbname"], "--host", archive_connect["host"],
        "--user", archive_connect["user"], "--port", archive_connect["port"],
    ]  # fmt: skip

    def invoke(*words: object, code: int = 0, schema: str = "vsmd_test") -> Result:
        arguments = [*options, "--schema", schema, *map(str, words)]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return invoke


def test_verify_ends_with_3_if_something_is_wrong(
    run: Callable[..., Result], vsarch: Archive, uuid: UUID
) -> None:
    assert "2 objects" in run("verify").stdout
    local(vsarch, uuid, "rewards").unlink()

    report = json.loads(run("verify", "--json", code=3).stdout)

    assert report["sound"] is False
    assert report["problems"][0]["kind"] == "missing"
    assert run("verify", uuid, code=3).stdout.startswith(f"missing: {uuid} rewards")
    assert "not found" in run("verify", uuid4(), code=1).stderr
    nights = ("--index-from", TODAY, "--index-to", TODAY + timedelta(days=1))
    assert "and 4 indexes" in run("verify", *nights, code=3).stdout


def test_delete_restore_and_gc(
    run: Callable[..., Result], vsarch: Archive, uuid: UUID
) -> None:
    run("delete", uuid)
    assert run("search", "--format", "uuid").stdout == ""
    assert "1 sequences" in run("gc", "--trash-days", 0).stdout
    run("restore", uuid)
    assert len(vsarch.search(SearchCriteria())) == 1
    run("delete", uuid)
    assert "removed" in run("gc", "--trash-days", 0, "--apply").stdout
    assert json.loads(run("gc", "--json").stdout)["sequences"] == []
    assert "not found" in run("restore", uuid, code=1).stderr


def test_the_doctor_says_what_is_well_and_what_is_not(
    run: Callable[..., Result], archive_connect: dict[str, str]
) -> None:
    del archive_connect
    well = run("doctor", "--write").stdout
    ill = run("doctor", code=3, schema="nowhere").stdout

    assert [line[:4] for line in well.splitlines()] == ["ok  "] * 6
    assert "written, read back and deleted" in well
    assert "FAIL schema: no archive there" in ill
    assert json.loads(run("doctor", "--json").stdout)[0]["subject"] == "versions"


def test_the_schema_is_made_and_shown_by_commands(
    run: Callable[..., Result], vsarch: Archive
) -> None:
    try:
        assert run("schema", "current", code=3, schema="made").stdout == "none\n"
        assert "at revision 0003" in run("schema", "create", schema="made").stdout
        assert run("schema", "current", schema="made").stdout == "0003\n"
        assert "is at revision" in run("schema", "upgrade", schema="made").stdout
        again = run("schema", "create", code=1, schema="made")
        assert again.stderr.startswith("Error: Schema already exists: made")
        run("roles", schema="made")
        assert run("roles", schema="made").stdout == "all roles were there\n"
    finally:
        vsarch.query(
            "DROP SCHEMA IF EXISTS made CASCADE", commit=True, return_result=False
        )


def test_an_archive_moves_to_another_store_and_a_second_move_changes_nothing(
    run: Callable[..., Result], vsarch: Archive, uuid: UUID, tmp_path: Path
) -> None:
    old, new = (tmp_path / "store").as_uri(), (tmp_path / "new").as_uri()
    trashed_uuid = vsarch.record_visitseq_metadata(
        pd.DataFrame({"observationStartMJD": [1.0]}), "x", url="file:///elsewhere.h5"
    )
    before = {kind: local(vsarch, uuid, kind) for kind in ("visits", "rewards")}
    vsarch.trash(trashed_uuid)

    assert "2 objects would be moved, 1 " in run("move", old, new, "--dry-run").stdout
    assert {kind: local(vsarch, uuid, kind) for kind in before} == before
    assert not (tmp_path / "new").exists()
    assert run("move", old, new).stdout.startswith("2 objects (")
    assert run("move", old, new).stdout.startswith("0 objects (0 bytes) moved, 3 ")

    for kind, path in before.items():
        moved = local(vsarch, uuid, kind)
        assert moved.relative_to(tmp_path / "new") == path.relative_to(
            tmp_path / "store"
        )
        assert moved.read_bytes() == path.read_bytes()
    report = verify_archive(
        vsarch, DataStore(new), uuids=[uuid], index_base=str(tmp_path / "index")
    )
    assert report.problems == []
    assert "lies within" in run("move", new, new + "/sub", code=1).stderr


def test_a_move_leaves_what_is_damaged_and_completes_what_was_cut_short(
    run: Callable[..., Result], vsarch: Archive, uuid: UUID, tmp_path: Path
) -> None:
    old, new = (tmp_path / "store").as_uri(), (tmp_path / "new").as_uri()
    path = local(vsarch, uuid, "rewards")
    content = path.read_bytes()
    path.write_bytes(b"damaged")

    assert f"not moved: {uuid} rewards" in run("move", old, new, code=3).stdout
    assert local(vsarch, uuid, "rewards") == path
    assert local(vsarch, uuid).is_relative_to(tmp_path / "new")
    path.write_bytes(content)
    copied = tmp_path / "new" / path.relative_to(tmp_path / "store")
    copied.write_bytes(content)  # a move was killed before it set the URL

    assert run("move", old, new).stdout.startswith("1 objects")
    assert local(vsarch, uuid, "rewards") == copied


def test_verify_says_what_it_proved_and_of_how_much(
    run: Callable[..., Result], uuid: UUID
) -> None:
    report = json.loads(run("verify", "--json").stdout)

    assert report["proved"] == {
        "objects lie in their store": 2,
        "objects have their recorded SHA-256 and size": 2,
        "visits have their recorded hash": 1,
        "visits lie in their window of nights": 1,
        "statistics equal those of the visits": 2,
        "rows hold together": 1,
        "indexes equal their rows": 10,
    }
    for words in (
        ("--day-obs", TODAY),
        ("--since", TODAY - timedelta(days=1)),
        (uuid,),
    ):
        assert "2 objects" in run("verify", *words).stdout
    assert "no sequence" in run("verify", "--day-obs", "2020-01-01", code=1).stderr


_DAMAGES = {
    "mean": ("UPDATE nightly_stats SET mean = mean + 1", "changed statistic"),
    "count": ("UPDATE nightly_stats SET count = 4", "changed statistic"),
    "p95": ("UPDATE nightly_stats SET p95 = NULL", "changed statistic"),
    "night": ("UPDATE nightly_stats SET day_obs = day_obs + 1", "changed statistic"),
    "window": (("UPDATE simulations SET first_day_obs = first_day_obs + 1, "
               "last_day_obs = last_day_obs + 1"), "nights"),
    "hash": ("UPDATE simulations SET visitseq_sha256 = sha256('x')", "changed"),
    "bytes": ("UPDATE visitseq_registry SET visits_sha256 = sha256('x')", "changed"),
    "size": ("UPDATE visitseq_registry SET visits_size = 1", "changed size"),
    "file size": ("UPDATE files SET file_size = 1", "changed size"),
    "file hash": ("UPDATE files SET file_sha256 = sha256('x')", "changed"),
    "kind": ("UPDATE visitseq_registry SET kind = 'completed'", "wrong kind"),
    "day": (("UPDATE visitseq_registry SET sim_creation_day_obs = '2020-01-01'; "
            "INSERT INTO daily_counters VALUES ('2020-01-01', 1)"), "creation day"),
    "number": ("UPDATE visitseq_registry SET daily_id = NULL", "creation day"),
    "counter": ("UPDATE daily_counters SET last_daily_id = 0", "daily counter"),
    "algorithm": ("UPDATE visitseq_registry SET hash_algorithm = 'x'", "unknown hash"),
    "file algorithm": ("UPDATE files SET hash_algorithm = 'md5'", "unknown hash"),
}  # fmt: skip


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_changed_column_that_steers_reads_is_named(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report], damage: str
) -> None:
    del uuid
    statement, kind = _DAMAGES[damage]
    assert verify().problems == []
    vsarch.query(statement, commit=True, return_result=False)

    assert kind in kinds(verify())


def test_a_night_whose_statistics_were_deleted_is_named(
    vsarch: Archive, store: DataStore, verify: Callable[..., Report], tmp_path: Path
) -> None:
    mjd = (TODAY - pd.Timestamp("1858-11-17").date()).days + 0.6
    write_visits(
        path := tmp_path / "two.h5",
        {"observations": pd.DataFrame(
            {"observationStartMJD": mjd + np.array([0.0, 0.1, 1.0, 1.1]),
             "altitude": 50.0, "azimuth": 10.0, "band": "r"}
        )},
    )  # fmt: skip
    archive_visit_sequence(vsarch=vsarch, store=store, visits=path, label="two")
    assert verify().problems == []
    vsarch.query(
        "DELETE FROM nightly_stats WHERE value_name = 'altitude' AND day_obs = %s",
        (TODAY,),
        commit=True,
        return_result=False,
    )

    (problem,) = verify().problems
    assert problem.kind == "missing statistic"
    assert f"the night {TODAY}" in problem.detail


def test_deleted_statistics_of_the_only_night_are_named_until_they_are_recorded_again(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report]
) -> None:
    kept = vsarch.query_nightly_stats(uuid)
    assert set(kept["value_name"]) == {"altitude", "azimuth"}
    vsarch.query("DELETE FROM nightly_stats", commit=True, return_result=False)

    gone = verify()

    assert kinds(gone).count("missing statistic") == len(kept)
    assert set(kinds(gone)) == {"missing statistic", "stale index"}
    vsarch.insert_nightly_stats(uuid, kept.drop(columns="visitseq_uuid"))
    assert verify().problems == []


def test_a_symbolic_link_out_of_the_store_is_named(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report], tmp_path: Path
) -> None:
    path = local(vsarch, uuid)
    path.rename(tmp_path / "outside.h5")
    path.symlink_to(tmp_path / "outside.h5")
    assert kinds(verify()) == ["symlink"]
    path.unlink()
    (tmp_path / "outside.h5").rename(path)
    assert verify().problems == []

    folder = path.parent
    folder.rename(tmp_path / "folder")
    folder.symlink_to(tmp_path / "folder")
    assert "symlink" in kinds(verify())


def test_a_hidden_extra_file_is_named(
    vsarch: Archive, uuid: UUID, verify: Callable[..., Report]
) -> None:
    extra = local(vsarch, uuid).with_name(".extra.h5")
    extra.write_bytes(b"x")

    (problem,) = verify().problems

    assert (problem.kind, problem.subject) == ("orphan", extra.as_uri())


@pytest.mark.usefixtures("uuid")
def test_an_edited_index_is_named(
    verify: Callable[..., Report], index_base: str
) -> None:
    location = prenight_index_path(TODAY, "simonyi", index_base)
    location.write(location.read().replace(b"a night", b"a day"))

    assert "it was edited" in verify().problems[0].detail
    assert verify(repair=True).is_sound
    assert verify().problems == []

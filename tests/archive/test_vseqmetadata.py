import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pandas as pd
import pytest
from archive.recorded import SHA, add, count, statistics
from astropy.time import Time
from lsst.resources import ResourcePath
from psycopg import sql
from psycopg2 import sql as psycopg2_sql
from sqlalchemy.exc import DatabaseError

from archive_assets import vseqmetadata
from archive_assets.metadata.errors import DatabaseUnavailableError
from archive_assets.metadata.selects import SearchCriteria
from archive_assets.vseqmetadata import (
    JSON_DUMP_LIMIT,
    VisitSequenceArchiveMetadata,
    compute_visits_sha256,
)

pytestmark = pytest.mark.postgresql
Archive = VisitSequenceArchiveMetadata


def test_each_kind_is_seen_through_the_parent_table(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    early = vsarch.record_completed_metadata(visits, "seen", query="SELECT 1")
    late = add(vsarch, visits)
    mixed = vsarch.record_mixed_metadata(
        visits, "both", "2026-11-30", 20261201, early, late
    )
    other = vsarch.record_visitseq_metadata(visits, "other", url="file:///x.h5")

    found = vsarch.query("SELECT visitseq_uuid FROM visitseq")

    assert {row[0] for row in found} == {early, late, mixed, other}  # type: ignore[index]
    assert vsarch.get_visitseq_metadata(early, "completed")["query"] == "SELECT 1"
    row = vsarch.get_visitseq_metadata(mixed, "mixedvisitseq")
    assert row["last_early_day_obs"] == date(2026, 11, 30)
    assert row["late_parent_uuid"] == late


def test_metadata_has_the_types_of_its_columns(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    parent = vsarch.record_completed_metadata(visits, "before")
    created = Time("2026-12-01T13:00:00", scale="tai")
    uuid = add(
        vsarch,
        visits,
        creation_time=created,
        conda_env_sha256=SHA,
        parent_visitseq_uuid=parent,
        parent_last_day_obs=20261130,
        sim_runner_kwargs={"nside": 32},
    )
    vsarch.tag(uuid, "prenight", "ideal")

    row = vsarch.get_visitseq_metadata(uuid, "simulations_extra")

    assert list(row.index) == [
        "sim_creation_day_obs", "daily_id", "visitseq_uuid", "visitseq_label",
        "visitseq_url", "telescope", "first_day_obs", "last_day_obs",
        "creation_time", "scheduler_version", "config_url", "sim_runner_kwargs",
        "conda_env_sha256", "parent_visitseq_uuid", "parent_last_day_obs", "tags",
        "comments", "files",
    ]  # fmt: skip
    assert row["creation_time"] == created.utc.to_datetime(timezone=UTC)
    assert row["sim_creation_day_obs"] == date(2026, 12, 1)
    assert row["parent_last_day_obs"] == date(2026, 11, 30)
    assert row["daily_id"] == 1
    assert row["conda_env_sha256"] == SHA
    assert row["parent_visitseq_uuid"] == parent
    assert row["sim_runner_kwargs"] == {"nside": 32}
    assert row["tags"] == ["ideal", "prenight"]
    assert row["visitseq_url"] is None


def test_the_content_hash_is_stored_with_its_algorithm(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)

    described = vsarch.describe(uuid)

    assert described["visitseq_sha256"] == compute_visits_sha256(visits).hex()
    assert described["hash_algorithm"] != "rubin_sim-records"


def test_a_value_that_json_cannot_hold_is_kept_as_text(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits, sim_runner_kwargs={"a": {1}, "b": "x" * 5000, "c": 1})

    kwargs = vsarch.get_visitseq_metadata(uuid, "simulations")["sim_runner_kwargs"]

    assert kwargs["a"] == ["Not json serializable", "{1}"]
    assert len(kwargs["b"][1]) == JSON_DUMP_LIMIT
    assert kwargs["c"] == 1


def test_a_tag_is_stored_once_and_can_be_removed(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)

    vsarch.tag(uuid, "nominal", "nominal")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: vsarch.tag(uuid, "nominal"), range(16)))

    assert count(vsarch, "tags") == 1
    vsarch.untag(uuid, "nominal")
    assert not vsarch.is_tagged(uuid, "nominal")
    with pytest.raises(ValueError, match="is not tagged with nominal"):
        vsarch.untag(uuid, "nominal")


def test_comments_at_one_instant_are_all_shown(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)
    assert vsarch.get_comments(uuid).empty
    vsarch.query(
        "INSERT INTO comments SELECT %s, '2026-12-01T00:00Z', 'me', word "
        "FROM unnest(%s::text[]) AS word",
        (uuid, ["first", "second"]),
        commit=True,
        return_result=False,
    )

    row = vsarch.get_visitseq_metadata(uuid, "simulations_extra")

    assert row["comments"] == {"2026-12-01T00:00:00+00:00": "first\nsecond"}
    comments = vsarch.get_comments(uuid)
    assert list(comments.columns) == [
        "visitseq_uuid", "comment_time", "author", "comment",
    ]  # fmt: skip
    assert list(comments["comment"]) == ["first", "second"]


def test_a_registered_file_is_replaced_only_when_asked(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)
    vsarch.register_file(uuid, "rewards", SHA, "file:///a/rewards.h5")

    with pytest.raises(ValueError, match=f"rewards is already registered for {uuid}"):
        vsarch.register_file(uuid, "rewards", SHA[::-1], "file:///b/rewards.h5")

    assert vsarch.get_file_url(uuid, "rewards") == "file:///a/rewards.h5"
    vsarch.register_file(
        uuid, "rewards", SHA[::-1], ResourcePath("file:///b/rewards.h5"), update=True
    )
    assert vsarch.get_file_sha256(uuid, "rewards") == SHA[::-1]
    assert vsarch.get_file_url(uuid, "rewards") == "file:///b/rewards.h5"


def test_the_visits_are_registered_as_url_of_the_sequence(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)
    assert vsarch.get_visitseq_url(uuid) is None

    vsarch.set_visitseq_url(uuid, "file:///visits.h5")

    assert vsarch.get_file_url(uuid, "visits") == "file:///visits.h5"
    with pytest.raises(ValueError, match="set_visitseq_url"):
        vsarch.register_file(uuid, "visits", SHA, "file:///visits.h5")


def test_statistics_can_be_added_often_on_one_instance(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuids = [add(vsarch, visits) for _ in range(12)]
    for uuid in uuids:
        vsarch.insert_nightly_stats(uuid, statistics())

    stored = vsarch.query_nightly_stats(uuids[-1])

    assert list(stored.columns) == [
        "visitseq_uuid", "day_obs", "value_name", "accumulated", "count", "mean",
        "std", "min", "p05", "q1", "median", "q3", "p95", "max",
    ]  # fmt: skip
    assert list(stored["count"]) == [2, 2, 2]
    assert stored["std"].isna().all()


def test_a_duplicate_statistic_changes_nothing(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)
    vsarch.insert_nightly_stats(uuid, statistics(1))

    with pytest.raises(DatabaseError, match="Nothing was changed"):
        vsarch.insert_nightly_stats(uuid, statistics(3))

    assert len(vsarch.query_nightly_stats(uuid)) == 1


def test_nightly_and_accumulated_statistics_are_kept_apart(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)
    vsarch.tag(uuid, "prenight")
    vsarch.insert_nightly_stats(uuid, statistics(mean=1.0))
    vsarch.insert_nightly_stats(uuid, statistics(mean=7.0, accumulated=True))

    (nightly,) = vsarch.sims_on_night_with_stats("2026-12-02", ["prenight"])["stats"]
    (through,) = vsarch.sims_on_night_with_stats(
        "2026-12-02", ["prenight"], accumulated=True
    )["stats"]

    assert nightly["altitude"]["mean"] == 1.0
    assert through["altitude"]["mean"] == 7.0
    ranged = vsarch.nightly("2026-12-01", "2026-12-31", tags=["prenight"])
    assert list(ranged["mean"]) == [1.0, 1.0, 1.0]


def test_simulations_are_found_by_the_nights_they_cover(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)
    vsarch.tag(uuid, "prenight", "ideal", "nominal")

    def found(*days: object, **criteria: object) -> int:
        return len(vsarch.sims_on_nights(*days, **criteria))  # type: ignore[arg-type]

    assert found("2026-12-01", 20261203) == 1
    assert found(date(2026, 12, 3)) == 1
    assert found("2026-12-03", "2026-12-04") == 0
    assert found("2026-12-02", tags=()) == 1
    assert found("2026-12-02", tags=("ideal", "delay_60")) == 0
    assert found("2026-12-02", telescope="auxtel") == 0
    assert found() == 0
    assert len(vsarch.sims_on_night_with_stats("2026-12-02", tags=())) == 1


def test_an_old_simulation_is_left_out(vsarch: Archive, visits: pd.DataFrame) -> None:
    old = datetime.now(UTC) - timedelta(days=3)
    uuid = add(vsarch, visits, creation_time=old)
    vsarch.tag(uuid, "prenight", "ideal", "nominal")

    assert vsarch.sims_on_nights("2026-12-02").empty
    assert len(vsarch.sims_on_nights("2026-12-02", max_simulation_age=4)) == 1


def test_an_empty_result_has_its_columns_and_types(vsarch: Archive) -> None:
    found = vsarch.sims_on_night_with_stats("2026-12-02")

    assert len(found.columns) == 19
    assert str(found["creation_time"].dtype) == "datetime64[us, UTC]"
    assert str(found["daily_id"].dtype) == "int64"


def test_a_daily_id_never_changes(vsarch: Archive, visits: pd.DataFrame) -> None:
    noon = datetime(2026, 12, 1, 12, tzinfo=UTC)
    first = add(vsarch, visits, creation_time=noon + timedelta(hours=2))
    before = add(vsarch, visits, creation_time=noon)
    vsarch.query(
        "DELETE FROM simulations WHERE visitseq_uuid = %s", (before,),
        commit=True, return_result=False,
    )  # fmt: skip
    third = add(vsarch, visits, creation_time=noon)

    assert vsarch.get_sim_uuid("2026-12-01", 1) == first
    assert vsarch.get_sim_uuid(date(2026, 12, 1), "3") == third
    with pytest.raises(ValueError, match="No simulation 2 from 2026-12-01"):
        vsarch.get_sim_uuid(20261201, 2)


def test_a_daily_id_does_not_depend_on_the_time_zone_of_the_session(
    archive_connect: dict[str, str], visits: pd.DataFrame
) -> None:
    kwargs = {**archive_connect, "options": "-c timezone=America/Los_Angeles"}
    with Archive(kwargs, "vsmd_test") as there:
        uuid = add(there, visits, creation_time=Time("2026-12-01T14:00:00"))

        assert there.get_sim_uuid("2026-12-01", 1) == uuid
        days = there.query("SELECT sim_creation_day_obs FROM simulations_extra")
    assert days[0] == (date(2026, 12, 1),)


def test_concurrent_simulations_get_different_daily_ids(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    with ThreadPoolExecutor(8) as pool:
        uuids = list(pool.map(lambda _: add(vsarch, visits), range(16)))

    rows = vsarch.query("SELECT daily_id FROM simulations_extra")

    assert len(set(uuids)) == 16
    assert sorted(row[0] for row in rows) == list(range(1, 17))  # type: ignore[index]


def test_an_environment_is_stored_once(vsarch: Archive, visits: pd.DataFrame) -> None:
    text = '[{"name": "numpy", "version": "2.4.6", "channel": "conda-forge"}]'
    env_hash = __import__("hashlib").sha256(text.encode()).digest()

    assert vsarch.record_conda_env(env_hash, text) == env_hash
    with pytest.warns(UserWarning, match="already saved"):
        vsarch.record_conda_env(env_hash, text)

    assert vsarch.conda_env_is_saved(env_hash)
    uuid = add(vsarch, visits, conda_env_sha256=env_hash)
    versions = vsarch.get_software_versions_for_sim(uuid, ["numpy", "absent"])
    assert versions.loc["numpy", "package_version"] == "2.4.6"
    with pytest.raises(ValueError, match="not that of the environment"):
        vsarch.record_conda_env(SHA, text)
    with pytest.raises(ValueError, match="or neither"):
        vsarch.record_conda_env(env_hash)


def test_search_finds_any_kind_by_each_criterion(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    parent = vsarch.record_completed_metadata(visits, "seen so far")
    uuid = add(
        vsarch, visits, scheduler_version="3.1", parent_visitseq_uuid=parent,
        label="Nominal start", creation_time=Time("2026-12-01T14:00:00"),
    )  # fmt: skip
    vsarch.tag(uuid, "prenight", "ideal")

    def found(**criteria: object) -> list[UUID]:
        return list(vsarch.search(SearchCriteria(**criteria))["visitseq_uuid"])  # type: ignore[arg-type]

    assert set(found()) == {parent, uuid}
    for criteria in (
        {"day_obs": date(2026, 12, 3)},
        {"tags": ["ideal", "prenight"]},
        {"kind": "simulations"},
        {"label": "nominal"},
        {"scheduler_version": "3.1"},
        {"parent": parent},
        {"created_from": date(2026, 12, 1), "created_to": date(2026, 12, 1)},
    ):
        assert found(**criteria) == [uuid], criteria
    assert found(kind="completed") == [parent]
    assert found(tags=["ideal", "absent"]) == []
    assert len(found(limit=1)) == 1
    with pytest.raises(ValueError, match="unknown table 'dreams'"):
        found(kind="dreams")


def test_trash_hides_a_sequence_until_it_is_restored(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)

    vsarch.trash(uuid)

    assert vsarch.search(SearchCriteria()).empty
    assert vsarch.sims_on_nights("2026-12-02", tags=()).empty
    with pytest.raises(ValueError, match="in the trash already"):
        vsarch.trash(uuid)
    vsarch.restore(uuid)
    assert len(vsarch.search(SearchCriteria())) == 1


def test_a_query_changes_nothing_unless_it_is_committed(
    vsarch: Archive, visits: pd.DataFrame
) -> None:
    uuid = add(vsarch, visits)

    assert vsarch.query("DELETE FROM simulations", return_result=False) == (None,)

    assert vsarch.get_visitseq_metadata(uuid)["visitseq_uuid"] == uuid
    frame = vsarch.pd_read_sql(
        "SELECT visitseq_label FROM {} WHERE visitseq_uuid = %s",
        [sql.Identifier("simulations")],
        (uuid,),
    )
    assert frame.to_dict("list") == {"visitseq_label": ["a night"]}


def test_a_server_that_is_not_there_is_named_without_a_hang() -> None:
    nowhere = {"host": "127.0.0.1", "port": 1, "user": "reader", "database": "x"}
    with (
        Archive(nowhere) as archive,
        pytest.raises(DatabaseUnavailableError, match=r"x at 127\.0\.0\.1:1"),
    ):
        archive.query("SELECT 1")


def test_a_slow_statement_is_stopped(archive_connect: dict[str, str]) -> None:
    with (
        Archive({**archive_connect, "statement_timeout_s": 0.1}) as archive,
        pytest.raises(TimeoutError, match=r"longer than 0\.1 s"),
    ):
        archive.query("SELECT pg_sleep(5)")


class CanceledRun(BaseException):
    """What a handler of signals raises in a run that is to end."""


def test_an_interrupt_in_a_statement_ends_as_itself_and_the_archive_goes_on(
    archive_connect: dict[str, str],
) -> None:
    def cancel(*_: object) -> None:
        raise CanceledRun

    usual = signal.signal(signal.SIGALRM, cancel)
    with Archive(archive_connect) as archive:
        archive.query("SELECT 1")
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            with pytest.raises(CanceledRun):
                archive.query("SELECT pg_sleep(50)")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, usual)

        assert archive.query("SELECT 1") == [(1,)]


@pytest.mark.usefixtures("archive_environment")
def test_the_environment_is_read_in_python_too(visits: pd.DataFrame) -> None:
    with Archive() as archive:
        assert archive.metadata_db_schema == "vsmd_test"
        add(archive, visits)
    with (
        Archive(None, "elsewhere") as other,
        pytest.raises(LookupError, match="schema"),
    ):
        other.get_visitseq_metadata(uuid4())


def test_the_pool_lends_connections_as_before(vsarch: Archive) -> None:
    connection = vsarch.pg_pool.getconn()

    assert connection.execute("SELECT 1").fetchone() == (1,)
    vsarch.pg_pool.putconn(connection)


@pytest.mark.usefixtures("archive_connect")
def test_constants_that_a_program_sets_in_the_door_are_read_at_the_call(
    archive_connect: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, key in (
        ("PGHOST", "host"), ("PGDATABASE", "dbname"), ("PGUSER", "user"),
        ("PGPORT", "port"),
    ):  # fmt: skip
        monkeypatch.delenv(f"VSARCHIVE_{name}", raising=False)
        monkeypatch.setattr(vseqmetadata, f"VSARCHIVE_{name}", archive_connect[key])
    monkeypatch.delenv("VSARCHIVE_PGSCHEMA", raising=False)
    monkeypatch.setattr(vseqmetadata, "VSARCHIVE_PGSCHEMA", "vsmd_test")

    with vseqmetadata.VisitSequenceArchiveMetadata() as archive:
        assert archive.query("SELECT current_database(), current_schema()") == [
            (archive_connect["dbname"], "vsmd_test")
        ]


def test_statements_composed_with_psycopg2_are_accepted(
    vsarch: VisitSequenceArchiveMetadata,
) -> None:
    tables = psycopg2_sql.SQL("SELECT {}, count(*) FROM {} WHERE visitseq_label = {}")
    query = tables.format(
        psycopg2_sql.Literal("it's"),
        psycopg2_sql.Identifier("vsmd_test", "simulations"),
        psycopg2_sql.Placeholder("label"),
    )

    assert vsarch.query(query, {"label": "x"}) == [("it's", 0)]
    found = vsarch.pd_read_sql(
        "SELECT count(*) AS n FROM {}", [psycopg2_sql.Identifier("simulations")]
    )
    assert list(found["n"]) == [0]
    with pytest.raises(ValueError, match="is not part of a statement"):
        vsarch.pd_read_sql("SELECT {}", [object()])  # type: ignore[list-item]

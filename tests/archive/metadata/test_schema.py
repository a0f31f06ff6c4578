from collections.abc import Iterator
from uuid import uuid4

import pandas as pd
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from archive_assets.metadata.roles import create_roles, missing_rights
from archive_assets.metadata.schema import (
    create_schema,
    schema_state,
    upgrade_schema,
)
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata

pytestmark = pytest.mark.postgresql
Archive = VisitSequenceArchiveMetadata

RELATIONS = {
    "visitseq", "simulations", "completed", "mixedvisitseq", "tags", "comments",
    "files", "conda_env", "nightly_stats", "maf_metrics", "maf_summary_metrics",
    "maf_metric_sets", "maf_healpix_stats", "simulations_extra", "conda_packages",
    "simulation_packages", "maf_summary",
}  # fmt: skip


@pytest.fixture
def archive(database_dsn: str) -> Iterator[Archive]:
    """A database without a schema."""
    with Archive(conninfo_to_dict(database_dsn), "vsmd") as found:
        yield found


@pytest.fixture
def original(archive: Archive) -> Archive:
    """A schema as the original leaves it: without stamp, indexes and registry."""
    create_schema(archive.database)
    archive.query(
        """
        DROP VIEW simulations_extra;
        ALTER TABLE tags DROP CONSTRAINT tags_visitseq_fkey;
        ALTER TABLE comments DROP CONSTRAINT comments_visitseq_fkey;
        ALTER TABLE files DROP CONSTRAINT files_visitseq_fkey;
        ALTER TABLE nightly_stats DROP CONSTRAINT nightly_stats_visitseq_fkey;
        ALTER TABLE maf_summary_metrics
            DROP CONSTRAINT maf_summary_metrics_visitseq_fkey;
        ALTER TABLE maf_healpix_stats DROP CONSTRAINT maf_healpix_stats_visitseq_fkey;
        DROP TABLE alembic_version, daily_counters, visitseq_registry;
        DROP FUNCTION register_visitseq, forget_visits_hash,
            unregister_visitseq, note_described CASCADE;
        DROP INDEX tags_unique, simulations_nights_idx, simulations_parent_idx,
            simulations_version_idx, nightly_stats_day_idx, visitseq_range_idx,
            simulations_range_idx, completed_range_idx, mixedvisitseq_range_idx,
            visitseq_creation_idx, simulations_creation_idx, completed_creation_idx,
            mixedvisitseq_creation_idx;
        ALTER TABLE visitseq DROP CONSTRAINT nights_in_order,
            DROP CONSTRAINT sha256_length, DROP CONSTRAINT telescope_name;
        ALTER TABLE tags DROP CONSTRAINT tag_of_sequence,
            DROP CONSTRAINT tag_not_empty;
        ALTER TABLE comments DROP CONSTRAINT comment_of_sequence;
        ALTER TABLE files DROP COLUMN file_size, DROP COLUMN hash_algorithm,
            DROP CONSTRAINT file_sha256_length;
        ALTER TABLE conda_env DROP COLUMN hash_algorithm;
        CREATE VIEW simulations_extra AS
        SELECT date(creation_time - interval '12 hours') AS sim_creation_day_obs,
               row_number() OVER (PARTITION BY date(creation_time - interval '12 hours')
                                  ORDER BY creation_time) AS daily_id,
               visitseq_uuid, visitseq_label, visitseq_url, telescope, first_day_obs,
               last_day_obs, creation_time, scheduler_version, config_url,
               sim_runner_kwargs, conda_env_sha256, parent_visitseq_uuid,
               parent_last_day_obs, '[]'::jsonb AS tags, '{}'::jsonb AS comments,
               '{}'::jsonb AS files
        FROM simulations;
        """,
        commit=True,
        return_result=False,
    )
    return archive


def insert_as_original(archive: Archive, created: str) -> object:
    rows = archive.query(
        "INSERT INTO simulations (visitseq_sha256, visitseq_label, telescope, "
        "first_day_obs, last_day_obs, creation_time) VALUES "
        "(sha256('x'), 'theirs', 'simonyi', '2026-12-01', '2026-12-03', %s) "
        "RETURNING visitseq_uuid",
        (created,),
        commit=True,
    )
    return rows[0][0]  # type: ignore[index]


def test_a_fresh_schema_has_the_relations_of_the_original(archive: Archive) -> None:
    assert schema_state(archive.database).revision is None

    state = create_schema(archive.database)

    assert state.is_current
    found = archive.query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'vsmd'"
    )
    assert {row[0] for row in found} >= RELATIONS  # type: ignore[index]
    with pytest.raises(ValueError, match="Schema already exists: vsmd"):
        create_schema(archive.database)


def test_only_a_test_schema_is_created_by_the_method_of_the_original(
    archive: Archive, database_dsn: str
) -> None:
    with pytest.raises(AssertionError, match="'vsmd' is not a test schema"):
        archive.create_schema_in_database()
    with Archive(conninfo_to_dict(database_dsn), "test") as other:
        other.create_schema_in_database()

        assert schema_state(other.database).is_current


def test_a_schema_of_the_original_is_upgraded_in_place(original: Archive) -> None:
    second = insert_as_original(original, "2026-12-01T15:00Z")
    first = insert_as_original(original, "2026-12-01T14:00Z")
    orphan = uuid4()
    for uuid in (first, first, orphan):
        original.query(
            "INSERT INTO tags VALUES (%s, 'prenight')",
            (uuid,),
            commit=True,
            return_result=False,
        )
    assert schema_state(original.database).revision == "0001"
    before = original.get_sim_uuid("2026-12-01", 2)

    state = upgrade_schema(original.database)

    assert state.is_current
    assert original.get_sim_uuid("2026-12-01", 1) == first
    assert original.get_sim_uuid("2026-12-01", 2) == second == before
    third = insert_as_original(original, "2026-12-01T13:00Z")
    assert original.get_sim_uuid("2026-12-01", 3) == third
    tags = original.query("SELECT count(*), count(DISTINCT visitseq_uuid) FROM tags")
    assert tags[0] == (2, 2)
    assert upgrade_schema(original.database) == state


def test_reading_works_before_the_upgrade_and_writing_says_what_to_do(
    original: Archive, visits: pd.DataFrame
) -> None:
    uuid = insert_as_original(original, "2026-12-01T14:00Z")

    assert original.get_visitseq_metadata(uuid)["visitseq_label"] == "theirs"  # type: ignore[arg-type]
    assert len(original.sims_on_nights("2026-12-02", tags=())) == 1
    with pytest.raises(LookupError, match="schema upgrade"):
        original.record_completed_metadata(visits, "x")


def test_an_old_client_can_still_insert_and_read(archive: Archive) -> None:
    create_schema(archive.database)
    uuid = insert_as_original(archive, "2026-12-01T14:00Z")

    archive.query(
        "INSERT INTO files (visitseq_uuid, file_type, file_sha256, file_url) "
        "VALUES (%(u)s, 'rewards', sha256('y'), 'file:///r.h5'); "
        "INSERT INTO comments (visitseq_uuid, comment) VALUES (%(u)s, 'good'); ",
        {"u": uuid},
        commit=True,
        return_result=False,
    )

    rows = archive.query("SELECT daily_id, files FROM simulations_extra")
    assert rows[0] == (1, {"rewards": "file:///r.h5"})
    assert archive.describe(uuid)["hash_algorithm"] == "rubin_sim-records"  # type: ignore[arg-type]


def test_a_renamed_schema_goes_on_working(database_dsn: str) -> None:
    with Archive(conninfo_to_dict(database_dsn), "test") as test:
        create_schema(test.database)
        test.query("ALTER SCHEMA test RENAME TO vsmd", commit=True, return_result=False)
    with Archive(conninfo_to_dict(database_dsn), "vsmd") as archive:
        insert_as_original(archive, "2026-12-01T14:00Z")

        assert schema_state(archive.database).is_current
        assert len(archive.sims_on_nights("2026-12-01", tags=())) == 1


def test_nothing_is_upgraded_where_there_is_no_archive(archive: Archive) -> None:
    with pytest.raises(Exception, match="holds no archive to upgrade"):
        upgrade_schema(archive.database)


def test_an_uuid_is_unique_over_all_kinds(archive: Archive) -> None:
    create_schema(archive.database)
    uuid = insert_as_original(archive, "2026-12-01T14:00Z")

    with pytest.raises(ValueError, match="already exists"):
        archive.query(
            "INSERT INTO completed (visitseq_uuid, visitseq_sha256, visitseq_label, "
            "telescope) VALUES (%s, sha256('x'), 'again', 'simonyi')",
            (uuid,),
            return_result=False,
        )


def test_roles_have_the_rights_of_their_work(
    archive: Archive, database_dsn: str, visits: pd.DataFrame
) -> None:
    create_schema(archive.database)
    create_roles(archive.database)
    assert create_roles(archive.database) == []

    def user(name: str) -> Archive:
        return Archive({**conninfo_to_dict(database_dsn), "user": name}, "vsmd")

    with user("writer") as writer:
        uuid = writer.record_simulation_metadata(visits, "by the writer")
        writer.tag(uuid, "prenight")
        writer.untag(uuid, "prenight")
        writer.trash(uuid)
        writer.restore(uuid)
        with writer.transaction() as connection:
            assert missing_rights(connection, "writer") == []
        with pytest.raises(PermissionError, match="user writer may not do this"):
            writer.query("DELETE FROM simulations", return_result=False)
    with user("reader") as reader:
        assert reader.get_visitseq_metadata(uuid)["visitseq_label"] == "by the writer"
        with pytest.raises(PermissionError, match="user reader may not do this"):
            reader.tag(uuid, "mine")
    with psycopg.connect(database_dsn) as plain:
        owner = plain.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'vsmd'"
        ).fetchall()
    assert owner == [("rubin",)]
